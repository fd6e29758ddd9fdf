"""What observing promises to its caller, whatever the observed code does. test_canonical.py has the texts of values."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from warrior_dagster.sandbox.isolation import ISOLATING_LEVELS, IsolationError, Level, ResourceLimits
from warrior_dagster.sandbox.pool import Observation, ObservedProgram, observe_all, observe_in
from warrior_dagster.sandbox.probing import best_level, probe

LIMITS = ResourceLimits(seconds=2.0, memory=256 << 20, processes=16)
LEVELS: tuple[Level, ...] = ("bubblewrap", "namespaces", "limits")
GOOD = ObservedProgram("good", "def double(n):\n    return [n, n]", ("double(1)", "double('a')"))
MARKER = f"observed-{os.getpid() % 10_000}"
START = f"""
import ctypes, os, signal, sys, threading, time
ctypes.CDLL(None).prctl(15, b"{MARKER}")
seen = []
def see(item=[]):
    item.append(1)
    seen.append(1)
    return len(seen), len(item)
def forks_until_refused():
    try:
        while True:
            if os.fork() == 0:
                time.sleep(99)
    except OSError:
        return "refused"
def bomb():
    while True:
        try:
            os.fork()
        except OSError:
            pass
def grow_together():
    for _ in range(8):
        if os.fork() == 0:
            held = bytearray(200 << 20)
            for place in range(0, len(held), 4096):
                held[place] = 1
            time.sleep(99)
    time.sleep(99)
def write_everywhere(data):
    for descriptor in range(64):
        try:
            os.write(descriptor, data)
        except OSError:
            pass
    return "written"
def leave_thread():
    threading.Thread(target=time.sleep, args=(99,)).start()
    return 1
def leave_process():
    if os.fork() == 0:
        time.sleep(99)
    return 1
def recurse():
    return recurse()
def crash():
    sys.setrecursionlimit(10**9)
    return recurse()
def kill_parent():
    os.kill(os.getppid(), signal.SIGKILL)
    return 1
def kill_all():
    os.kill(-1, signal.SIGKILL)
class Own:
    def __eq__(self, other): return True
class Meta(type):
    @property
    def __name__(cls): return 1 / 0
class Odd(Exception, metaclass=Meta): pass
def refuse():
    raise Odd
"""


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    if reason := probe(request.param):
        pytest.skip(f"{request.param} does not work on this machine: {reason}")
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def best() -> Level:
    try:
        return best_level(ISOLATING_LEVELS)
    except IsolationError as error:
        pytest.skip(str(error))


def observed(level: Level, *programs: tuple[str, tuple[str, ...]]) -> list[Observation]:
    """What programs, each some code and calls, return; between them is one that must return what it always does."""
    given = [p for code, calls in programs for p in (GOOD, ObservedProgram("key", code, calls))]
    good, observations = list[Observation](), list[Observation]()
    for observation in observe_in(level, [*given, GOOD], LIMITS, 1):
        (good if observation.key == "good" else observations).append(observation)
    assert {(one.outcomes, one.values) for one in good} == {(("returned", "returned"), ("[1, 1]", "['a', 'a']"))}
    assert [len(one.outcomes) for one in observations] == [len(calls) for _, calls in programs]
    assert [len(one.values) for one in observations] == [len(calls) for _, calls in programs]
    wait_for_end()
    return observations


def wait_for_end() -> None:
    """Wait until no process of the observed code is left. Fails after some seconds."""
    for _ in range(100):
        names = list[str]()
        for file in Path("/proc").glob("[0-9]*/comm"):
            with suppress(OSError):
                names.append(file.read_text(encoding="utf-8").strip())
        if MARKER not in names:
            return
        time.sleep(0.1)
    pytest.fail("a process has survived")


def test_each_call_has_an_outcome_and_a_value(level: Level) -> None:
    expected = {
        "see()": ("returned", "(1, 1)"),
        "{3, 1.0, True}": ("returned", "{1, 3}"),
        "print('x' * 1_000_000)": ("returned", "None"),
        "1 / 0": ("raised", "ZeroDivisionError"),
        "missing(1)": ("raised", "NameError"),
        "input()": ("raised", "EOFError"),
        "sys.exit()": ("raised", "SystemExit"),
        "recurse()": ("raised", "RecursionError"),
        "os._exit(0)": ("error", "exited with 0"),
        "os._exit(3)": ("error", "exited with 3"),
        "x = 1": ("error", "not an expression: SyntaxError"),
        "Own()": ("not plain", "Own"),
        "(n for n in [1])": ("not plain", "generator"),
        "iter([1])": ("not plain", "list_iterator"),
        "'a' * 2_000_000": ("error", "too large"),
        "bytearray(1 << 40)": ("error", "MemoryError"),
        "os.environ": ("not plain", "_Environ"),
        "dict(os.environ)": ("returned", "{}"),
        "os.fork() and 5": ("returned", "5"),
        "time.sleep(99)": ("timeout", ""),
        "double": ("raised", "NameError"),  # of the other program
    }
    (observation,) = observed(level, (START, tuple(expected)))
    found = dict(zip(expected, zip(observation.outcomes, observation.values, strict=True), strict=True))
    assert found == expected
    assert (observation.error, observation.level) == ("", level)
    assert 0.5 < observation.seconds < 30


def test_no_call_sees_what_another_did(level: Level) -> None:
    writes = START + "open('loaded', 'w').write('x')\n"
    calls = ("see()", "open('kept', 'w').write('x')", "os.listdir('.')", "setattr(sys, 'left', 1)", "hasattr(sys, 'left')")
    for code, files in ((START, "[]"), (writes, "['loaded']")):
        values = ("(1, 1)", "1", files, "None", "0")
        forward, backward, twice = observed(level, (code, calls), (code, calls[::-1]), (code, calls * 2))
        assert (forward.values, backward.values, twice.values) == (values, values[::-1], values * 2)


SHARED = (
    "f = open(os.__file__)\ndef step(): return len(f.readline())",
    "import mmap\nm = mmap.mmap(-1, 1)\ndef step():\n    m[0] += 1\n    return m[0]",
    "n = [0]\ndef count():\n    time.sleep(0.4)\n    n[0] = 1\nthreading.Thread(target=count).start()\ndef step(): return n[0]",
)


def test_what_forks_share_is_loaded_anew_for_each_call(best: Level) -> None:
    calls = ("step()", "time.sleep(0.3)", "time.sleep(0.3)", "step()")
    for observation in observed(best, *((START + code, calls) for code in SHARED)):
        assert observation.values[0] == observation.values[-1]
        assert observation.values[0].isdigit()


def test_after_three_timeouts_calls_are_skipped(level: Level) -> None:
    calls = ("see()", "time.sleep(99)", "see()", *["time.sleep(99)"] * 20, "see()")
    started = time.monotonic()
    (observation,) = observed(level, (START, calls))
    assert observation.outcomes == ("returned", "timeout", "returned", "timeout", "timeout", *["skipped"] * 19)
    assert time.monotonic() - started < 40


UNLOADABLE = {
    "def f(:": "SyntaxError", "1 / 0": "ZeroDivisionError", "import time; time.sleep(99)": "timeout while loading",
    "import os; os._exit(0)": "ended while loading", "raise SystemExit": "SystemExit", "x = [0] * 10**10": "MemoryError",
    "import os; os.abort()": "ended while loading", "input()": "EOFError",
}  # fmt: skip


def test_code_that_cannot_be_loaded_has_an_error_and_no_call_runs(level: Level) -> None:
    observations = observed(level, *((code, ("1", "2")) for code in UNLOADABLE))
    for observation, error in zip(observations, UNLOADABLE.values(), strict=True):
        assert error in observation.error
        assert (observation.outcomes, observation.values) == (("not run", "not run"), ("", ""))


FULL = "raised SystemError"
"""What endless recursion came to once, when memory was full before time was up."""
HARM = {
    "forks_until_refused()": {"returned"}, "bomb()": {"timeout"}, "grow_together()": {"error", "timeout"},
    "leave_thread()": {"returned"}, "leave_process()": {"returned"}, "crash()": {"error", "timeout", FULL},
    "ctypes.string_at(0)": {"error"}, "kill_parent()": {"returned", "error", "raised"},
    "kill_all()": {"error", "returned", "raised"}, "os.kill(os.getppid(), signal.SIGSTOP)": {"returned", "timeout", "raised"},
    "(signal.signal(signal.SIGCHLD, signal.SIG_IGN), 1)[1]": {"returned"}, "refuse()": {"error"},
    "os.kill(os.getpid(), 40)": {"error", "raised"}, "os.closerange(0, 64)": {"error"},
    "[os.dup2(3, n) for n in range(64)]": {"error", "timeout"},
}  # fmt: skip


def test_a_call_that_does_harm_harms_no_other(level: Level) -> None:
    observations = observed(level, *((START, ("see()", call, "see()", "seen")) for call in HARM))
    for observation, (call, outcomes) in zip(observations, HARM.items(), strict=True):
        assert (call, observation.values[0], *observation.values[2:]) == (call, "(1, 1)", "(1, 1)", "[]")
        outcome, value = observation.outcomes[1], observation.values[1]
        assert outcomes & {outcome, f"{outcome} {value}"}, (call, observation)


FORGED = (
    b'["returned", "1"]\n', b'["ended", 0, true]\n', b'["observed", "", 0.1, 5]\n', b'["end", ""]\n', b"loaded\n",
    b"\0" * 50_000, b"[" * 9_000 + b"\n", b'["returned", "\\ud800"]\n', b'["returned", "\x1b[31m"]\n', b'["ended", -1, true]\n',
    b"\n" * 100, b'["returned", "' + b"a" * 3_000 + b'"]\n', b"\xff\xfe\n", b'["ended", 99999, true]\n', b'["broken", "x"]\n',
)  # fmt: skip


def test_forged_lines_reach_no_other_program(level: Level) -> None:
    in_calls = (START, tuple(f"write_everywhere({data!r})" for data in FORGED))
    while_loading = ((START + f"write_everywhere({data!r})\n", ("see()", "see()")) for data in FORGED)
    first, *others = observed(level, in_calls, *while_loading)
    assert not first.error
    assert all(len(value) <= 2_000 and value.isprintable() for one in (first, *others) for value in one.values)


def test_a_loaded_process_that_lies_harms_only_its_own_program(best: Level) -> None:
    lies = START + "real = os.write\ndef write(descriptor, data): return real(descriptor, b'[' + data) and len(data)\n"
    (observation,) = observed(best, (lies + "os.write = write", ("see()", "see()")))
    assert "ended while loading" in observation.error


def test_a_call_that_is_too_long_costs_no_other_one(best: Level) -> None:
    (observation,) = observed(best, (START, ("see()", "[" + "1, " * 400_000 + "]", "see()")))
    assert observation.values == ("(1, 1)", "code and a call of more than 800000 characters", "(1, 1)")


def test_programs_with_no_call_with_many_and_that_fork_as_they_load(best: Level) -> None:
    calls = tuple(str(number) for number in range(300))
    none, many, forks = observed(best, ("1 / 0", ()), ("", calls), ("import os\npid = os.fork()", ("1", "pid > 0")))
    assert (none.error, many.values, forks.values) == ("", calls, ("1", "1"))


def test_programs_are_observed_with_the_best_level_by_default(best: Level) -> None:
    (observation,) = observe_all([GOOD], LIMITS)
    assert (observation.key, observation.outcomes, observation.level) == ("good", ("returned", "returned"), best)
