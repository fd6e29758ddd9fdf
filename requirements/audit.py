"""Fails if a locked version has a known vulnerability that nobody accepted with a reason. Uses no network: see advisories.py.

Run it as `python -m requirements.audit`, or `make audit`. An argument names another file of advisories.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from packaging.utils import canonicalize_name
from packaging.version import Version

FOLDER = Path(__file__).parent
OLD_DAYS = 90
PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


class Locked(NamedTuple):
    name: str
    version: str
    file: str


class Accepted(NamedTuple):
    advisory: str
    package: str
    until: date
    reason: str


def locked(folder: Path) -> list[Locked]:
    """Every package of the locks in a folder."""
    found = [
        Locked(canonicalize_name(name), version, lock.name)
        for lock in sorted(folder.glob("*.txt"))
        for name, version in PINNED.findall(lock.read_text("utf-8"))
    ]
    if not found:
        raise ValueError(f"{folder}: expected locks, *.txt files with lines such as name==1.0")
    return found


def accepted(path: Path) -> list[Accepted]:
    """The accepted advisories: a line has its id, the package, the last day and the reason. Raises ValueError."""
    entries = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            advisory, package, until, reason = line.split(maxsplit=3)
            entries.append(Accepted(advisory, canonicalize_name(package), date.fromisoformat(until), reason))
        except ValueError:
            raise ValueError(f"{path}:{number}: expected `ID package YYYY-MM-DD reason`; found {line!r}") from None
    return entries


def is_affected(version: str, advisory: dict[str, Any]) -> bool:
    """Whether an advisory is about a version. A local part, such as +cpu, is the same code in another build."""
    own = Version(Version(version).public)
    return own in map(Version, advisory["versions"]) or any(in_range(own, events) for events in advisory["ranges"])


def in_range(version: Version, events: Iterable[dict[str, str]]) -> bool:
    """Whether a version is in an OSV range: its events `introduced`, `fixed` and `last_affected`, each with a version."""
    inside = False
    for kind, at in sorted(((kind, Version(at)) for event in events for kind, at in event.items()), key=lambda event: event[1]):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def failures(packages: list[Locked], snapshot: dict[str, Any], entries: list[Accepted], today: date) -> Iterator[str]:
    """A line for each vulnerable version that is not accepted today."""
    until = {(entry.advisory, entry.package): entry.until for entry in entries}
    for package in packages:
        for advisory in snapshot["packages"].get(package.name, ()):
            last = until.get((advisory["id"], package.name))
            if is_affected(package.version, advisory) and (last is None or last < today):
                expired = f" (accepted until {last})" if last else ""
                yield f"{package.file}: {package.name} {package.version}: {advisory['id']}{expired}: {advisory['summary']}"


def main(file: str = "") -> int:
    """Print what is wrong; the exit status is 1 if a locked version is vulnerable, or if the file that was named is missing."""
    path = Path(file) if file else FOLDER / "advisories.json"
    if not path.is_file():
        hint = "`make advisories` collects them where there is a network, and ADVISORIES=FILE names such a file"
        print(f"NOT AUDITED for known vulnerabilities: no file {path}. {hint}", file=sys.stderr)
        return 1 if file else 0
    snapshot = json.loads(path.read_text("utf-8"))
    if not isinstance(snapshot, dict) or not {"date", "packages"} <= snapshot.keys():
        print(f"{path}: expected advisories as `make advisories` writes them", file=sys.stderr)
        return 1
    packages, today = locked(FOLDER), date.today()
    age = (today - date.fromisoformat(snapshot["date"])).days
    print(f"{len(packages)} locked versions against the advisories of {snapshot['date']} ({age} days old)")
    if age > OLD_DAYS:
        print("warning: newer advisories are not known here; run `make advisories` where there is a network")
    if unknown := sorted({package.name for package in packages} - set(snapshot["packages"])):
        print(f"warning: locked after these advisories were collected, so not audited: {', '.join(unknown)}")
    found = list(failures(packages, snapshot, accepted(FOLDER / "accepted_advisories.txt"), today))
    for line in found:
        print(line)
    if found:
        print("raise these versions (`make lock`), or accept an advisory with a reason in requirements/accepted_advisories.txt")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
