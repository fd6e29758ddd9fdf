"""Example records and a card, with characters that may break files, for the tests of this folder."""

from collections.abc import Callable, Sequence

import polars as pl

from warrior_dagster.stages.export.card import dataset_card
from warrior_dagster.stages.export.dpo import dpo_rows
from warrior_dagster.stages.export.kto import kto_rows
from warrior_dagster.stages.export.sft import sft_rows

SCHEMA = {
    "instruction_id": pl.String,
    "instruction": pl.String,
    "attacker": pl.String,
    "language": pl.String,
    "difficulty": pl.Float64,
    "competitor": pl.String,
    "answer": pl.String,
    "finished": pl.Boolean,
    "score": pl.Float64,
    "rank": pl.Int64,
    "gold": pl.Boolean,
    "advantage": pl.Float64,
    "decided_by": pl.String,
}

ROWS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "sft": sft_rows,
    "dpo": lambda records: dpo_rows(records, margin=0.0),
    "kto": kto_rows,
}


def group(instruction_id: str, *answers: tuple[str, float, bool]) -> pl.DataFrame:
    """The records of one instruction: text, score and finished of each answer, the best first."""
    instruction = (instruction_id, f"Ask {instruction_id}?", "ada", "Python", 7.0)
    rows = [
        (*instruction, f"model-{i}", text, finished, score, i + 1, i == 0, 0.0, "opinion")
        for i, (text, score, finished) in enumerate(answers)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def arena(instructions: int = 4) -> pl.DataFrame:
    """Records with quotes, line ends, other alphabets, markup and template tokens."""
    texts = ['print("ä\\n")\n```', "x = 1 < 2 | 3\r\n\t# 漢字 🐍", "<|im_end|> {{ answer }}", "plain"]
    scores = [2.312345679, 1.687654321, 1.5, 0.5]  # With as many digits as scores have.
    return pl.concat(
        group(f"i{n:02}", *((f"{text} {n}", score, True) for text, score in zip(texts, scores, strict=True)))
        for n in range(instructions)
    )


def card(kind: str = "sft", evidence: Sequence[str] = ("opinion",)) -> str:
    return dataset_card(
        title="Quick: #1",
        kind=kind,
        rows=1000,
        models=[{"name": "a|b", "model": "/srv/my weights/tiny", "revision": None, "license": "Apache-2.0"}],
        counts={"mined": 12345, "kept": 0},
        settings={
            "k": 40.0,
            "engine": {"urls": ["http://gpu7:8000/v1"], "cache": "/srv/cache/hub"},
            "system": "/no_think\n````\n# Not a heading",
        },
        names={"/srv/my weights/tiny": "tiny (local@0)"},
        evidence=evidence,
    )
