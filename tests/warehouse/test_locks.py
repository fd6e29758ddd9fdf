import subprocess
import sys
from pathlib import Path

from warrior_dagster.warehouse.locks import our_turn

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from warrior_dagster.warehouse.locks import our_turn
with our_turn(Path(sys.argv[1]), lambda: None) as descriptor:
    subprocess.Popen(["cat"], pass_fds=(descriptor,), stdout=subprocess.DEVNULL)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_free_again_when_its_holder_and_those_it_was_handed_to_have_ended(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "engine.lock"
    told: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdout.readline()
        holder.kill()
        holder.wait()

        def waiting() -> None:
            told.append("waiting")
            assert holder.stdin
            holder.stdin.close()  # the child, which was handed the lock, ends

        with our_turn(path, waiting):
            assert told == ["waiting"]
    with our_turn(path, lambda: told.append("again")):
        assert told == ["waiting"]
