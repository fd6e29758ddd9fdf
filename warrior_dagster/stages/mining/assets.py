"""Mining: the instructions that each competitor writes when it completes the bare prefix of its own chat template."""

from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import MINED_FROM
from warrior_dagster.materialization.recording import Step, record, split
from warrior_dagster.materialization.table import Requests, table
from warrior_dagster.stages.mining import sampling


@table(
    group="mining",
    partitioned_by="competitor",
    columns=tuple(sampling.SCHEMA),
    meanings={
        "competitor": MINED_FROM,
        "temperature": "The sampling temperature of the sample.",
        "top_p": "The nucleus sampling of the sample.",
        "status": "`ok`, or why the sample is not usable: `empty`, `unfinished`, `too_short`, `too_long`, `garbled`, `answer`"
        " (it begins like an answer, or asks for a task), `repetitive`, or `failed`, where the request failed.",
        "instruction": "The text of the instruction, cleaned; empty if the sample is not usable.",
    },
    reads={},
    settings=lambda arena: [arena.mining, arena.languages],
    origins=origins(),
    usable=pl.col("status") == "ok",
    usable_row="usable",
    on_card=True,
    requests=Requests(lambda arena, _: (0, arena.mining.max_tokens)),
)
def mined_instructions(step: Step) -> dg.MaterializeResult:
    """Instructions that a competitor writes when it completes the empty beginning of a user's turn. Every sample is a row; one
    that is not usable has the reason as its status. The partition of a service that only chats is empty.
    """
    mined = sampling.mine(step.arena, step.engines, step.keys, step.log)
    rows = pl.DataFrame(mined.rows, schema=sampling.SCHEMA)
    return record(step, split(rows, step), describe=statuses, result=mined)


def statuses(mined: pl.DataFrame) -> dict[str, Any]:
    """How many samples are usable, and why the others are not."""
    if mined.is_empty():
        return {"usable": 0, "statuses": "not mined: a service that only chats"}
    kinds = mined["status"].value_counts(sort=True)
    return {"usable": mined.filter(status="ok").height, "statuses": dict(kinds.iter_rows())}


TABLES = [mined_instructions]
