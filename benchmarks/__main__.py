"""`make bench`: curation's and analysis' benchmarks one after the other, each in a process of its own.

Exits with 1 if one fails or a result falls short of what it promises.
"""

import json
import subprocess
import sys

BENCHMARKS = ("dedup", "kcenter", "novelty", "ratings", "embedding", "exports", "growth")


def main() -> int:
    """How many benchmarks failed or fell short."""
    bad = 0
    for name in BENCHMARKS:
        command = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]
        short = False
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            for line in running.stdout or []:
                print(line, end="", flush=True)
                short |= line.startswith("{") and not json.loads(line).get("ok", True)
        bad += short or running.returncode != 0
    return bad


if __name__ == "__main__":
    sys.exit(min(main(), 1))
