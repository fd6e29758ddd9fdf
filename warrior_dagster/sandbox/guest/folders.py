"""The folder in which a check runs: how many files it may have, and that nothing in it remains."""

import os

from warrior_dagster.sandbox.guest import kernel

MAX_FILES = 4_096  # where no mount limits them


class Broken(Exception):
    """The sandbox cannot go on: a check has left files, or this process has lost its place in what the host sends."""


def has_too_many_files(folder: str) -> bool:
    """Whether there are more than MAX_FILES files in a folder, or some that cannot be counted."""
    used = os.statvfs(folder)
    if folder == kernel.TMP:  # a mount of its own
        return used.f_files - used.f_ffree > MAX_FILES
    count, waiting = 0, [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > MAX_FILES:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except FileNotFoundError:
            continue
        except OSError:
            return True
    return False


def temporary_folder() -> str:
    import tempfile  # not at the top: seldom needed, and every fork would have it in its memory

    return tempfile.mkdtemp()


def empty(folder: str) -> None:
    """Remove all that a check left. Raises Broken if that is not possible."""
    if not os.listdir(folder):
        return
    import shutil

    try:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except (OSError, RecursionError) as error:
        raise Broken("a check's files cannot be removed") from error
