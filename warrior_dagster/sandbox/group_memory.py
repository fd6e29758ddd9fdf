"""The memory that a process and all its descendants hold: Linux' own limits bound only each process alone."""

from contextlib import suppress
from pathlib import Path


def group_memory(pid: int) -> int:
    """Bytes of memory, without files that are mapped, of a process and its descendants. What forks share counts for each."""
    total, waiting = 0, [str(pid)]
    while waiting:
        folder = Path("/proc", waiting.pop())
        with suppress(OSError):  # it has ended
            status = (folder / "status").read_text(encoding="ascii", errors="replace")
            lines = (line.split() for line in status.splitlines() if line.startswith(("RssAnon:", "RssShmem:")))
            total += sum(int(line[1]) << 10 for line in lines)
            for task in (folder / "task").iterdir():
                with suppress(OSError):
                    waiting += (task / "children").read_text(encoding="ascii").split()
    return total
