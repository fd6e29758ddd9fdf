"""What the sandbox guarantees to its caller. test_hostile.py has what the tested code cannot do."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from warrior_dagster.sandbox import pool, probing
from warrior_dagster.sandbox.host import Outcome, ProgramRun, Sandbox
from warrior_dagster.sandbox.isolation import IsolationError, Level, ResourceLimits
from warrior_dagster.sandbox.pool import REFERENCE_SECONDS, Program, Result, run_all, slowdown
from warrior_dagster.sandbox.probing import best_level, probe

QUICK = ResourceLimits(seconds=0.5)


@pytest.fixture(scope="module")
def levels() -> tuple[Level, ...]:
    """The level that isolates on this machine. Skips the test if none does."""
    try:
        return (best_level(("bubblewrap", "namespaces")),)
    except IsolationError as error:
        pytest.skip(str(error))


def run_one(levels: tuple[Level, ...], code: str, *checks: str) -> Result:
    """The result of one program."""
    (result,) = run_all([Program("key", code, checks)], QUICK, levels=levels, workers=1)
    return result


CODE = """
import dataclasses, random
seen = []
def count(): return len(seen)
def see(item): seen.append(item)
def double(n): return n + n
def sort(items): items.sort()
def evens(most): yield from range(0, most, 2)
def apply(function, value): return function(value)
def adder(by): return lambda n: by + n
def refuse(why): raise ValueError(why)
class Own(ValueError): pass
def refuse_own(): raise Own("own")
@dataclasses.dataclass
class Point:
    x: "int"
    def moved(self, by): return Point(self.x + by)
def kinds():
    import collections
    Pair = collections.namedtuple("Pair", "one other")
    return collections.OrderedDict(a=Pair(1, 2.5), b={None, True}, c=b"x")
if __name__ == "__main__":
    print(input())
"""
EXPECTED: tuple[tuple[str, Outcome], ...] = (
    ("assert double(2) == 4", "passed"),
    ("assert double(2) == 5", "failed"),
    ("assert double(2) == 4, 'the message is left out'", "passed"),
    ("assert double(None) == 5", "error"),
    ("assert missing(2) == 5", "error"),
    ("assert double(2) == double(2.0) and double('a') in ('aa', 'bb') and 3 < double(2) < 5", "passed"),
    ("assert double(2) == 4 and double(3) == 5", "failed"),
    ("assert double(2) == 5 or double(3) == 6", "passed"),
    ("assert not double(1) == 3", "passed"),
    ("assert double([1]) == sorted([1, 1])", "passed"),
    ("assert double(0.1) == 0.2 and abs(double(0.1) - 0.3) > 0.05", "passed"),
    ("for n in range(3):\n    assert double(n) == 2 * n", "passed"),
    ("for n in range(3):\n    assert double(n) == n", "failed"),
    ("try:\n    double(None)\n    assert False\nexcept TypeError:\n    pass", "passed"),
    ("try:\n    double(1)\n    assert False\nexcept TypeError:\n    pass", "failed"),
    ("try:\n    assert double(1) == 3\nexcept AssertionError:\n    pass", "passed"),
    ("items = [3, 1]\nsort(items)\nassert items == [1, 3]", "passed"),
    ("assert Point(1).moved(2).x == 3 and Point(1).x != 2 and 'Point' in str(Point(1))", "passed"),
    ("assert Point(1) == Point(1)", "abstained"),
    ("assert Point(1) == 1", "failed"),
    ("assert Point(1) != 1", "abstained"),
    ("assert Point(1) is not None and not isinstance(double(1), str)", "passed"),
    ("assert isinstance(Point(1), Point)", "abstained"),
    ("assert isinstance(Point(1), (int, str))", "failed"),
    ("assert type(double(1)) is int and type(double('1')) == str", "passed"),
    ("assert list(evens(6)) == [0, 2, 4] and next(evens(1)) == 0 and sum(evens(5)) == 6", "passed"),
    ("assert 4 in list(evens(6)) and 3 not in set(evens(6))", "passed"),
    ("assert 4 in evens(6)", "abstained"),
    ("assert apply(lambda n, by=1: [n + by], 2) == [3] and apply(str.upper, 'a') == 'A' and apply(len, 'abc') == 3", "passed"),
    ("assert apply(lambda n: n / 0, 2) == 3", "error"),
    ("assert adder(2)(3) == 5 and adder('a')('b') == 'ab' and callable(adder(1)) and not callable(double(1))", "passed"),
    ("assert all(double(n) == 2 * n for n in range(5)) and sorted(map(double, [2, 1])) == [2, 4]", "passed"),
    ("assert double(10**30) == 2 * 10**30 and double(-0.0) == 0 and double(float('nan')) != double(1)", "passed"),
    ("try:\n    refuse('no')\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'no'", "passed"),
    ("try:\n    refuse_own()\nexcept ValueError as error:\n    assert type(error).__name__ == 'Own'", "passed"),
    ("refuse_own()", "error"),
    ("assert kinds() == {'a': (1, 2.5), 'b': {None, True}, 'c': b'x'}", "passed"),
    ("from decimal import Decimal\nassert double(Decimal('0.75')) == 1.5 and Decimal('1.5') < Decimal(2)", "passed"),
    ("import datetime\nassert double(datetime.timedelta(1)) == datetime.timedelta(2)", "abstained"),
    ("assert (n for n in [1]) and 2 in (n for n in [1, 2]) and 2 in double([2])", "passed"),
    ("assert sum(seen) == 0\nsee(1)\nassert count() == 1", "passed"),
    ("open('kept', 'x').write('1')\nassert open('kept').read() == '1'", "passed"),
    ("assert double(2) is None", "failed"),
    ("raise AssertionError", "failed"),
    ("double(2)", "passed"),
    ("assert double(2) = 4", "error"),
    ("while True: pass", "timeout"),
    ("assert __name__ == '__main__'", "passed"),
    ("import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()):\n    double(1)", "abstained"),
    ("try:\n    refuse_own()\nexcept Own:\n    pass", "abstained"),
)


def test_each_check_is_judged_separately(levels: tuple[Level, ...]) -> None:
    result = run_one(levels, CODE, *(check for check, _ in EXPECTED))
    results = list(zip((check for check, _ in EXPECTED), result.outcomes, result.reasons, strict=True))
    assert [row for row, (_, outcome) in zip(results, EXPECTED, strict=True) if row[1] != outcome] == []
    assert all((outcome == "passed") == (reason == "") for _, outcome, reason in results)
    assert (result.error, (result.level,)) == ("", levels)
    assert result.seconds > 0.5  # one check reaches its time limit


def test_a_check_leaves_nothing_for_the_next(levels: tuple[Level, ...]) -> None:
    check = "assert double(1) == 2 and count() == 0\nsee(1)\nimport sys, os\n"
    check += "assert os.listdir('.') == [] and not hasattr(sys, 'left')\n"
    check += "sys.left = open('left', 'w').write('x')"
    results = list(run_all([Program(str(n), CODE, (check, check)) for n in range(3)], QUICK, levels=levels, workers=1))
    assert [result.outcomes for result in results] == [("passed", "passed")] * 3


@pytest.mark.parametrize(
    ("code", "error"),
    [("def f(:", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("import numpy", "ModuleNotFoundError"),
     ("input()", "EOFError"),
     ("import os; os.abort()", "ended by SIGABRT while loading"), ("while True: pass", "timeout while loading"),
     ("x = '\0'\0", "null bytes")],
)  # fmt: skip
def test_code_that_cannot_be_loaded_has_an_error_and_no_check_runs(levels: tuple[Level, ...], code: str, error: str) -> None:
    result = run_one(levels, code, "assert 1 == 1", "assert 2 == 2")
    assert error in result.error
    assert result.outcomes == ("not run", "not run")
    assert error in run_one(levels, code).error


def test_a_program_without_checks_is_only_loaded(levels: tuple[Level, ...]) -> None:
    assert run_one(levels, "x = 1") == Result("key", (), (), "", 0.0, levels[0])


def test_a_sandbox_that_ends_costs_only_one_verdict(levels: tuple[Level, ...]) -> None:
    sandbox = Sandbox(levels[0], ResourceLimits(60.0))
    name = f"ends-{os.getpid() % 10_000}"

    def kill() -> None:
        wait_for(lambda: count_named(name) == 1)
        assert sandbox.process
        os.killpg(sandbox.process.pid, 9)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        sleeps = f"import ctypes\nctypes.CDLL(None).prctl(15, b'{name}')\ntime.sleep(1e6)"
        run = sandbox.run("import time", ("assert 1 == 1", sleeps, "assert time.sleep(0) is None"))
    finally:
        killer.join()
        sandbox.close()
    assert run.outcomes == ["passed", "error", "passed"]
    assert "ended" in run.reasons[1]


def test_programs_are_read_as_needed_and_results_come_when_ready(levels: tuple[Level, ...]) -> None:
    taken = []

    def programs() -> Iterator[Program]:
        for number in range(1000):
            taken.append(number)
            yield Program(str(number), "", ("assert 1 == 1",))

    results = run_all(programs(), QUICK, levels=levels, workers=2)
    assert next(results).outcomes == ("passed",)
    results.close()  # type: ignore[attr-defined]
    assert len(taken) < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sandbox-")]


def test_an_error_of_the_callers_iterator_reaches_the_caller(levels: tuple[Level, ...]) -> None:
    def programs() -> Iterator[Program]:
        yield Program("one", "", ())
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(run_all(programs(), QUICK, levels=levels, workers=2))


def test_without_isolation_it_refuses_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "probe", lambda level: "" if level == "limits" else "Linux refuses")
    with pytest.raises(IsolationError, match=r"apt-get install bubblewrap[\s\S]*namespaces: Linux refuses"):
        run_all([], QUICK)
    assert best_level(("bubblewrap", "limits")) == "limits"


def test_an_isolation_that_does_not_isolate_is_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Sandbox, "run", lambda self, code, checks: ProgramRun(["failed"], [*[""] * (len(checks) - 1), "it read a file"], [0.0])
    )
    assert "it read a file" in probe.__wrapped__("namespaces")


@pytest.mark.parametrize(("seconds", "factor"), [(0.0, 1.0), (REFERENCE_SECONDS * 3, 3.0), (60.0, 10.0)])
def test_time_limits_follow_the_machine_within_bounds(monkeypatch: pytest.MonkeyPatch, seconds: float, factor: float) -> None:
    monkeypatch.setattr(Sandbox, "run", lambda self, code, checks: ProgramRun(["passed"], [""], [seconds]))
    assert slowdown(Sandbox("limits", ResourceLimits(1.0))) == pytest.approx(factor)


def test_the_calibration_check_passes(levels: tuple[Level, ...]) -> None:
    assert run_one(levels, pool.CALIBRATION_CODE, *pool.CALIBRATION_CHECKS).outcomes == ("passed",)


def test_nothing_of_this_process_is_inherited(levels: tuple[Level, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "secret")
    descriptor = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        code = "import os\ndef opened(): return [n for n in range(3, 999) if exists(n)]\n"
        code += "def exists(n):\n    try: os.fstat(n)\n    except OSError: return False\n    return True"
        result = run_one(levels, code, "assert opened() == [3, 4]", "assert dict(os.environ) == {}")
    finally:
        os.close(descriptor)
    assert result.outcomes == ("passed", "passed")


@pytest.mark.parametrize("level", ["bubblewrap", "namespaces"])
def test_no_process_survives_when_the_caller_is_killed(level: Level) -> None:
    if probe(level):
        pytest.skip(f"{level} does not work on this machine")
    name = f"orphan-{os.getpid() % 10_000}"
    script = f"""
from warrior_dagster.sandbox.isolation import ResourceLimits
from warrior_dagster.sandbox.pool import Program, run_all
code = "import ctypes; ctypes.CDLL(None).prctl(15, b'{name}')"
program = Program("", code, ("import time; time.sleep(1e6)",))
list(run_all([program], ResourceLimits(seconds=600), levels=("{level}",), workers=1))
"""
    caller = subprocess.Popen(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(Path(pool.__file__).parents[2])}
    )
    try:
        wait_for(lambda: count_named(name) == 1)
    finally:
        caller.kill()
        caller.wait()
    wait_for(lambda: count_named(name) == 0)


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait until it is true. Fails after 30 seconds."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count_named(name: str) -> int:
    """How many processes have this name."""
    count = 0
    for file in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            count += file.read_text(encoding="utf-8").strip() == name
    return count
