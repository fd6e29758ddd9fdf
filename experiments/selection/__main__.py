"""`make experiment-selection`: does the arena choose well? One JSON line a result; tables and pictures go to docs/selection/.

    python -m experiments.selection [ARENA.yaml] [FOLDER]

What was asked before is in the arena's ledger: killed and started again it goes on. docs/selection.md says what it shows.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console

from experiments.selection import drawing, rules
from experiments.selection.asking import Evidence, gather, right
from experiments.selection.simulated import sweep
from experiments.selection.tasks import tasks
from warrior_dagster.analysis.pictures import STYLE
from warrior_dagster.arena import Arena
from warrior_dagster.arena_file import load_arena, missing_here
from warrior_dagster.build import open_engines
from warrior_dagster.inference.progress import calmly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HERE = Path(__file__).parent
say = partial(Console(stderr=True, highlight=False, soft_wrap=True).print)


def main(file: Path = HERE / "arena.yaml", folder: Path = HERE.parent.parent / "docs" / "selection") -> None:
    """The simulated arena, then the real one: with the whole prompts, and with tests from prompts without examples."""
    arena = load_arena(file)
    if missing := missing_here(arena):
        raise SystemExit("\n".join(map(str, missing)))
    folder.mkdir(parents=True, exist_ok=True)
    simulated = pl.DataFrame(list(sweep()))
    write(simulated, folder / "simulated.csv")
    draw(drawing.sweeps(simulated), folder / "simulated.svg")
    problems = tasks()
    with open_engines(arena, calmly(say)) as engines:
        for variant, stripped in (("whole", False), ("stripped", True)):
            weigh(variant, arena, problems, gather(arena, engines, problems, stripped=stripped), folder)


def weigh(variant: str, arena: Arena, problems: pl.DataFrame, known: Evidence, folder: Path) -> None:
    """Decide by the hidden tests, and write what came out."""
    truth = right(known.answers, problems)
    ids = problems["instruction_id"].to_list()
    matrix = rules.matrix(known.answers, truth, ids, arena.roster)
    chosen = rules.picks(known.answers, known.pairs, known.opinions, known.executed, arena.roster, arena.battles)
    hits = rules.hits(matrix, known.answers, chosen, ids, arena.roster)
    rows = rules.table(hits, matrix, arena.roster)
    judges = rules.verdicts({m: pl.concat([known.opinions[m], known.executed[m]]) for m in known.pairs}, truth)
    for name, frame in (("rules", rows), ("judges", judges)):
        write(frame, folder / f"{name}_{variant}.csv")
        for row in frame.iter_rows(named=True):
            print(json.dumps({"experiment": "selection", "prompts": variant, "table": name, **row}), flush=True)
    write(pl.DataFrame({"task_id": problems["task_id"], **hits}), folder / f"tasks_{variant}.csv")
    draw(drawing.bars(rows, arena.roster), folder / f"rules_{variant}.svg")
    draw(drawing.over_alpha(rows), folder / f"alpha_{variant}.svg")


def write(frame: pl.DataFrame, file: Path) -> None:
    """As CSV, numbers to four places."""
    frame.with_columns(pl.col(pl.Float64).round(4)).write_csv(file)


def draw(figure: "Figure", file: Path) -> None:
    """As SVG, the same bytes for the same numbers."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
