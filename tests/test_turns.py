import subprocess
import sys
import time
from pathlib import Path

from warrior_dagster.turns import our_turn

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from warrior_dagster.turns import our_turn
with our_turn(Path(sys.argv[1]), lambda: None) as descriptor:
    child = subprocess.Popen(["sleep", "0.5"], pass_fds=(descriptor,), stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_a_lock_is_free_again_when_its_holder_and_those_it_was_handed_to_have_ended(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "engine.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        holder.stdout.readline()
        handed_over = time.monotonic()
        holder.kill()
        told: list[str] = []
        with our_turn(path, lambda: told.append("waiting")):
            waited = time.monotonic() - handed_over
    assert told == ["waiting"]
    assert waited > 0.3
    with our_turn(path, lambda: told.append("again")):
        assert told == ["waiting"]
