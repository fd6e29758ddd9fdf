"""A right answer never fails: its objects can be used as in plain Python, and where they would decide, the check abstains."""

import json
import subprocess
import sys
import tempfile

import pytest

from tests.sandbox.honest import HONEST
from tests.sandbox.hostile import plain
from warrior_dagster.sandbox.isolation import IsolationError, ResourceLimits
from warrior_dagster.sandbox.pool import Program, Result, run_all

TESTS = {name: (code, (*passing, *abstaining)) for name, (code, passing, abstaining) in HONEST.items()}


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """The result of each program."""
    programs = [Program(name, code, checks) for name, (code, checks) in TESTS.items()]
    try:
        return {result.key: result for result in run_all(programs, ResourceLimits(5.0))}
    except IsolationError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", HONEST)
def test_a_right_answer_passes_or_its_check_abstains(results: dict[str, Result], name: str) -> None:
    _, passing, abstaining = HONEST[name]
    result = results[name]
    expected = dict.fromkeys(passing, "passed") | dict.fromkeys(abstaining, "abstained")
    wrong = [
        (check, outcome, reason)
        for check, outcome, reason in zip(TESTS[name][1], result.outcomes, result.reasons, strict=True)
        if outcome != expected[check]
    ]
    assert (result.error, wrong) == ("", [])


def test_all_checks_hold_in_a_plain_interpreter() -> None:
    pairs = [(code, check) for code, checks in TESTS.values() for check in checks]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", plain.__file__]
        done = subprocess.run(command, input=json.dumps(pairs), cwd=folder, capture_output=True, text=True, check=True)
    passed = json.loads(done.stdout)
    assert [pair for pair, held in zip(pairs, passed, strict=True) if not held] == []
    assert len(passed) > 200
