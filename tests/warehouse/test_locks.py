import subprocess
import sys
from pathlib import Path

from warrior_dagster.warehouse.locks import file_lock

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from warrior_dagster.warehouse.locks import file_lock
with file_lock(Path(sys.argv[1]), lambda: None) as descriptor:
    subprocess.Popen(["cat"], pass_fds=(descriptor,), stdout=subprocess.DEVNULL)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_released_when_its_holder_and_all_inheriting_processes_end(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "engine.lock"
    waits: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        holder.stdout.readline()
        holder.kill()
        holder.wait()

        def on_wait() -> None:
            waits.append("waiting")
            assert holder.stdin
            holder.stdin.close()  # ends the child that inherited the lock

        with file_lock(path, on_wait):
            assert waits == ["waiting"]
    with file_lock(path, lambda: waits.append("again")):
        assert waits == ["waiting"]
