"""The services' files are valid."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt-get install systemd")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/srv/warrior/app", str(ROOT)))
    files = [str(tmp_path / unit.name) for unit in UNITS]
    found = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def test_the_services_share_an_environment_and_none_listens_to_other_machines() -> None:
    services = [unit for unit in UNITS if unit.suffix == ".service"]
    assert services
    for unit in services:
        lines = unit.read_text().splitlines()
        assert {"User=warrior", "EnvironmentFile=/etc/warrior/warrior.env"} <= set(lines)
        assert "0.0.0.0" not in unit.read_text()
