"""Programs that try to pass unfairly, to survive or to do harm, run next to well-behaved ones.

As a script it needs only the standard library, so that another user can run it with a separate interpreter.
"""

import json
import sys
from dataclasses import asdict
from typing import Any

from warrior_dagster.sandbox.isolation import Isolation, Level, ResourceLimits
from warrior_dagster.sandbox.pool import Program, Result, run_in
from warrior_dagster.sandbox.probing import probe_isolation

MARK = "import ctypes; ctypes.CDLL(None).prctl(15, b'{marker}')\nimport os, sys, threading, time\n"
"""Sets the name of the process and of all its forks."""
GOOD = Program(
    "good",
    "def double(n):\n    return [n, n]\nprint('x' * 1_000_000)",
    ("assert double(2) == [2, 2]", "import time; time.sleep(0.05)\nassert double(0) == [0, 0]", "assert 'y' in double('y')"),
)
ALWAYS = """
class Equal:
    def __eq__(self, other): return True
    __ne__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = lambda self, other: True
    __hash__ = lambda self: 0
class Number(int):
    __eq__ = __lt__ = __gt__ = lambda self, other: True
    __hash__ = lambda self: 0
class Many(list):
    __eq__ = lambda self, other: True
def f(n): return Equal()
def number(n): return Number(7)
def many(n): return Many([Equal()])
def inside(n): return [n, Equal()]
"""
FRAMES = """
def objects():
    import gc
    frame = sys._getframe()
    while frame:
        yield from frame.f_locals.values()
        yield from frame.f_globals.values()
        yield from frame.f_code.co_consts
        frame = frame.f_back
    yield from gc.get_objects()
"""
FORGED = """
def f():
    for found in objects():
        if hasattr(found, "token") and hasattr(found, "request"):
            for message in (["ended"], ["compared", 0, True], ["assert", 0, ["true"]], ["assert", 0, []], ["assert", 9, []]):
                found.send(__import__("json").dumps(message))
            found.send("not json")
    time.sleep(60)
"""
PATCHED = """
import builtins, operator
class Never(Exception): pass
builtins.AssertionError = Never
builtins.abs = builtins.isinstance = builtins.len = builtins.sorted = lambda *_: 0
builtins.exec = builtins.compile = lambda *_, **__: None
operator.eq = lambda *_: True
for name, module in list(sys.modules.items()):
    for key, value in list(vars(module).items()):
        if key in ("evaluate_assert", "compare_chain", "dumps", "encoded", "OPERATORS", "ASSERT_HOOK", "__judge__"):
            setattr(module, key, lambda *_, **__: True)
__judge__ = lambda *_: None
def abs(x): return 0
def f(n): return 1.0
"""
STOLEN = """
def read(path):
    with open(path, "rb") as file: return len(file.read()) > 0
def listed(path): return len(os.listdir(path)) > 0
"""
EVERYWHERE: dict[str, tuple[str, tuple[str, ...]]] = {
    "fork bomb": ("def f():\n    while True:\n        try: os.fork()\n        except OSError: pass", ("assert f() == 1",)),
    "exit at once": ("sys.exit(0)", ("assert 1 == 1",)),
    "end at once": ("os._exit(0)", ("assert 1 == 1",)),
    "exit": (
        "import atexit\natexit.register(os._exit, 0)\n"
        "def exits(): sys.exit(0)\ndef ends(): os._exit(0)\ndef thread():\n    threading.Thread(target=exits).start()\n"
        "def end_later(): threading.Timer(0.05, os._exit, (0,)).start()\ndef raises(): raise SystemExit(0)",
        ("assert exits() == 1", "assert ends() == 1", "assert thread() == 1", "assert raises() == 1", "ends()", "exits()",
         "try:\n    exits()\nfinally:\n    assert True", "end_later()\nimport time; time.sleep(5)\nassert True"),
    ),
    "patches json": ("import json\njson.dumps = lambda *_, **__: '[\"ended\"]'\ndef f(): return 1", ("assert f() == 2",)),
    "patches": (
        PATCHED,
        ("assert abs(f(2) - 9.0) < 0.1", "assert f(1) == 2", "assert len([f(2)]) == 5", "assert isinstance(f(3), str)"),
    ),
    "equal to everything": (
        ALWAYS,
        ("assert f(1) == 2", "assert 2 == f(1)", "assert f(1) in (1, 2)", "assert f(1) > 0", "assert number(1) == 8",
         "assert many(1) == [1]", "assert inside(1) == [1, 2]", "assert f(1) == sorted([2, 1])", "assert f(1) is None",
         "assert 0 < f(1) < 5", "assert sorted([2, 1]) == f(1)", "assert {'a': f(1)} == {'a': 3}"),
    ),
    "forges": (FRAMES + FORGED, ("assert f() == 1",)),
    "looks for the answer": (
        FRAMES + "def f(n):\n    prefix = ''.join(reversed('emases nepo'))\n"
        "    return next((o for o in objects() if isinstance(o, str) and o.startswith(prefix)), n)",
        ("assert f(2) == 'open sesame 8213'",),
    ),
    "writes to every descriptor": (
        "def f():\n    for fd in range(256):\n"
        "        try: os.write(fd, b'[\"ended\"]\\n')\n        except OSError: pass\n    time.sleep(9)",
        ("assert f() == 1",),
    ),
    "sleeps": ("def f(): time.sleep(1e6)", ("assert f() == 1",)),
    "sleeps while loading": ("time.sleep(1e6)", ("assert 1 == 1", "assert 2 == 2")),
    "is busy": (
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\ndef f():\n    while True: pass", ("assert f() == 1",)
    ),
    "memory": ("def f(): return len(bytearray(4 << 30))", ("assert f() == 4 << 30", "assert f() == 4294967296")),
    "memory of a file": ("def f(): return os.memfd_create('x')", ("assert f() > 0",)),
    "daemon": (
        "def f():\n    if os.fork() == 0:\n        try: os.setsid()\n        except OSError: pass\n"
        "        if os.fork() == 0: time.sleep(1e6)\n        os._exit(0)\n    os._exit(0)",
        ("assert f() == 1",),
    ),
    "kills": (
        "import signal\ndef f(*pids):\n    for pid in pids:\n        for number in (signal.SIGSTOP, signal.SIGKILL):\n"
        "            try: os.kill(pid, number)\n            except OSError: pass\n    return 0",
        ("assert f(__import__('os').getppid(), 1) == 1", "assert f(-1) == 1", "assert f(1) == 2",
         "assert f(*range(2, 9)) == 3"),
    ),
    "starves its parent": (
        "import resource\ndef f():\n    resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))", ("assert f() == 1",)
    ),
    "traces": ("def f(): return ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)", ("assert f() == 0",)),
    "makes namespaces": ("def f(): return ctypes.CDLL(None).unshare(0x10000000)", ("assert f() == 0",)),
    "output": (
        "def f():\n    for _ in range(64): os.write(1, b'x' * 1_000_000); sys.stderr.write('x' * 1_000_000)",
        ("assert f() == 1",),
    ),
    "large values": (
        "def f(): return 'x' * 50_000_000\ndef g(): return {n * (2**61 - 1) for n in range(5000)}\n"
        "def h():\n    held = []\n    held.append(held)\n    return held\ndef nested():\n    held = []\n"
        "    for _ in range(100_000): held = [held]\n    return held",
        ("assert f() == 'x'", "assert g() == {1}", "assert h() == [1]", "assert nested() == [1]"),
    ),
    "asserts without end": ("def f(): return 1", ("while True:\n    assert f() == 1",)),
    "sockets": (
        "import socket\ndef tcp(port): return socket.create_connection(('127.0.0.1', port), 1).fileno() > 0\n"
        "def udp(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))\n"
        "def named(): return socket.socket(socket.AF_UNIX).connect('\\0{marker}') is None",
        ("assert tcp({port}) == True", "assert udp() == 1", "assert named() == True"),
    ),
    "environment": ("", ("import os\nassert os.environ.get('PLANTED') == 'secret'", "import os\nassert os.environ")),
}  # fmt: skip
CONTAINED: dict[str, tuple[str, tuple[str, ...]]] = {
    "reads": (
        STOLEN,
        ("assert read('{secret}') == True", "assert read('/etc/passwd') == True", "assert read('/proc/1/environ') == True",
         "assert listed('/home') == True", "assert listed('{folder}') == True", "assert read('/etc/hostname') == True",
         "assert listed('/proc/self/fd') == True", "assert read('/etc/shadow') == True"),
    ),
    "fills the disk": (
        "def fill():\n    done = 0\n    try:\n        for number in range(1_000_000):\n"
        "            with open(f'file-{number}', 'wb') as file: done += file.write(b'x' * 4_000_000)\n"
        "    except OSError: pass\n    return done\n"
        "def empty():\n    try:\n        for n in range(1_000_000): open(f'e{n}', 'w').close()\n    except OSError: return n\n"
        "def elsewhere():\n    for folder in ('/', '/dev', '/dev/shm', '/usr', '/usr/lib', '/var/tmp', '/proc', '/run'):\n"
        "        try: open(f'{folder}/written', 'w').close()\n        except OSError: continue\n        return True",
        ("assert fill() > 17_000_000", "assert empty() > 5000", "assert elsewhere() == True"),
    ),
}  # fmt: skip


SINGLE_USE = ("fork bomb", "end at once", "forges", "daemon", "kills", "sockets", "reads", "fills the disk")
"""The programs for isolation without nesting, which is slow: those that it stops in another way."""


def hostile_programs(isolation: Isolation, facts: dict[str, Any]) -> list[Program]:
    """The programs for an isolation, each followed by a well-behaved one."""
    programs = []
    chosen = EVERYWHERE | ({} if isolation.level == "limits" else CONTAINED)
    for name, (code, checks) in chosen.items():
        if not isolation.nested and name not in SINGLE_USE:
            continue
        texts = [MARK + code, *checks]
        for fact, value in facts.items():
            texts = [text.replace("{" + fact + "}", str(value)) for text in texts]
        programs += [Program(name, texts[0], tuple(texts[1:])), GOOD]
    return programs


def run(level: Level, nested: bool, facts: dict[str, Any], modules: tuple[str, ...] = ()) -> list[Result]:
    """Run all programs on two workers."""
    limits = ResourceLimits(seconds=0.4, memory=256 << 20, processes=16, modules=modules)
    isolation = Isolation(level, nested)
    return list(run_in(isolation, hostile_programs(isolation, facts), limits, 2))


def main() -> None:
    """Print as JSON why the isolation is unusable here, or the results of all programs."""
    arguments = json.loads(sys.argv[1])
    unusable = probe_isolation(Isolation(arguments["level"], arguments["nested"]))
    print(json.dumps(unusable or [asdict(result) for result in run(**arguments)]))


if __name__ == "__main__":
    main()
