"""A process with a child, for tests of what is left after it is killed."""

import time
from collections.abc import Callable
from pathlib import Path

# Starts a child in the same process group, as vLLM does, and writes both pids. With `stubborn` it ignores SIGTERM.
FAMILY = """
import os, signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.05)


def family_pids(note: Path) -> list[int]:
    wait_for(lambda: note.exists() and len(note.read_text().split()) == 2)
    return [int(pid) for pid in note.read_text().split()]
