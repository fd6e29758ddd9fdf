"""A naive judge: the answer and the check share an interpreter, and exit status 0 is a pass. Shows which attacks are real.

As a script it reads [[code, check], ...] as JSON and prints as JSON whether each passed.
"""

import json
import os
import signal
import sys

SECONDS = 10


def passes(code: str, check: str) -> bool:
    """Whether a check passes in a child, which has no limits but time."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    signal.alarm(SECONDS)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    names = {"__name__": "answer"}
    exec(code, names)
    exec(check, names)
    sys.exit(0)


def main() -> None:
    """Judge what standard input brings."""
    print(json.dumps([passes(code, check) for code, check in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
