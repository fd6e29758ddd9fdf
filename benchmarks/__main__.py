"""`make bench`: the benchmarks of curation and analysis in sequence, each in its own process.

Exits with 1 if one fails or a result misses its limit.
"""

import json
import subprocess
import sys

BENCHMARKS = ("dedup", "kcenter", "novelty", "ratings", "embedding", "exports", "growth")


def main() -> int:
    """The number of benchmarks that failed or missed a limit."""
    bad = 0
    for name in BENCHMARKS:
        command = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]
        missed = False
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            for line in running.stdout or []:
                print(line, end="", flush=True)
                missed |= line.startswith("{") and not json.loads(line).get("ok", True)
        bad += missed or running.returncode != 0
    return bad


if __name__ == "__main__":
    sys.exit(min(main(), 1))
