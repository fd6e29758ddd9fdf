"""Collects the advisories about the locked packages into advisories.json, so that the audit needs no network.

Run it as `python -m requirements.advisories`, or `make advisories`, after each `make lock`. They come from the database of the
Python Packaging Authority (CC-BY 4.0). With an argument, the folder of a clone of it, no network is used.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from requirements.audit import FOLDER, in_range, locked

SOURCE = "https://github.com/pypa/advisory-database"


def collect(clone: Path, names: set[str]) -> dict[str, Any]:
    """The snapshot of a clone: its date, and each package's advisories; none for a package without any."""
    packages: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(names)}
    for file in sorted((clone / "vulns").glob("*/*.yaml")):
        if canonicalize_name(file.parent.name) in names:
            advisory = yaml.load(file.read_text("utf-8"), yaml.CSafeLoader)
            if not advisory.get("withdrawn"):
                for affected in advisory["affected"]:
                    packages.get(canonicalize_name(affected["package"]["name"]), []).append(shortened(advisory, affected))
    shown = subprocess.run(["git", "-C", clone, "log", "-1", "--format=%cs"], capture_output=True, text=True, check=True)
    return {"source": SOURCE, "date": shown.stdout.strip(), "packages": packages}


def shortened(advisory: dict[str, Any], affected: dict[str, Any]) -> dict[str, Any]:
    """What the audit needs of an advisory; `versions` are those that no range has."""
    ranges = [
        [{kind: readable(version) for kind, version in event.items() if kind != "limit"} for event in one["events"]]
        for one in affected.get("ranges", ())
        if one["type"] == "ECOSYSTEM"
    ]
    listed = dict.fromkeys(map(readable, affected.get("versions", ())))
    versions = [one for one in listed if not any(in_range(Version(one), events) for events in ranges)]
    summary = " ".join((advisory.get("summary") or advisory.get("details", "")).split())[:120]
    names = [advisory["id"], *advisory.get("aliases", ())]
    return {"id": names[0], "aliases": names[1:], "summary": summary, "ranges": ranges, "versions": versions}


def readable(version: str) -> str:
    """A version as Python packages have it; of a few old ones, such as 2.6.0-cu124, the numbers."""
    try:
        return str(Version(version))
    except InvalidVersion:
        numbers = re.match(r"\d+(\.\d+)*", version)
        return numbers[0] if numbers else "0"


def main(clone: str | None = None) -> None:
    """Write requirements/advisories.json."""
    with TemporaryDirectory() as temporary:
        if clone is None:
            subprocess.run(["git", "clone", "--quiet", "--depth", "1", SOURCE, temporary], check=True)
        snapshot = collect(Path(clone or temporary), {package.name for package in locked(FOLDER)})
    (FOLDER / "advisories.json").write_text(json.dumps(snapshot, indent=1) + "\n", "utf-8")
    packages = snapshot["packages"]
    print(f"{sum(map(len, packages.values()))} advisories about {len(packages)} packages, {snapshot['date']}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
