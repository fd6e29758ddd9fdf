"""The plan as an asset: what the arena would cost now, to be materialized and read in the UI before anything is paid for."""

from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import UNTRACKED
from warrior_dagster.materialization.recording import Step, as_table, record
from warrior_dagster.materialization.table import table
from warrior_dagster.planning.adoption import asked_again
from warrior_dagster.planning.cost import PlanLine, costs, totals
from warrior_dagster.planning.plan import walk
from warrior_dagster.planning.runs import planned_runs
from warrior_dagster.planning.sentence import sentence
from warrior_dagster.stages.battles.assets import TABLES
from warrior_dagster.warehouse.tables import WHOLE

SCHEMA = {
    **dict.fromkeys(("row_id", "stage", "model"), pl.String),
    **dict.fromkeys(("in_ledger", "to_send", "estimated", "prompt_tokens", "completion_tokens", "engine_starts"), pl.Int64),
    **dict.fromkeys(("seconds", "gpu_hours", "gpu_hours_low", "gpu_hours_high", "cost", "cost_low", "cost_high"), pl.Float64),
    "bytes": pl.Int64,
    "basis": pl.String,
}
BASIS_CHARS = 300
"""The longest cell of the plan in Dagster's UI."""


def row_of(line: PlanLine) -> dict[str, Any]:
    """A line of a plan with the columns of SCHEMA."""
    bounds = {
        f"{name}_{which}": getattr(getattr(line, which), name) for name in ("gpu_hours", "cost") for which in ("low", "high")
    }
    row = {"row_id": f"{line.stage}:{line.model}", **bounds}
    return {name: row[name] if name in row else getattr(line, name) for name in SCHEMA}


def read_by_plans(arena: Arena) -> list[str]:
    """The tables that a plan reads as far as they exist: vectors, and what running code has shown."""
    return ["instruction_embeddings", *(one.name for one in TABLES if one.runs and one.enabled(arena))]


@table(
    group="plan",
    partitioned_by="nothing",
    columns=tuple(SCHEMA),
    meanings={
        "stage": "The table that the requests fill.",
        "model": "The model that is asked.",
        "in_ledger": "Completions that exist already.",
        "to_send": "Completions that would be asked for.",
        "estimated": "How many of `to_send` are estimated.",
        "prompt_tokens": "Tokens of the prompts that would be sent.",
        "completion_tokens": "Tokens of the completions that would be asked for.",
        "engine_starts": "How often the model's engine is started for the stage.",
        "seconds": "Time that they take, engine starts included; empty if no speed is known.",
        "gpu_hours": "GPU hours that they take; empty if no speed is known.",
        "gpu_hours_low": "The lower bound of the GPU hours.",
        "gpu_hours_high": "The upper bound of the GPU hours.",
        "cost": "What they cost; empty if no price is known.",
        "cost_low": "The lower bound of the cost.",
        "cost_high": "The upper bound of the cost.",
        "bytes": "Bytes on disk that the completions and their rows take.",
        "basis": "How the numbers were estimated, and why requests would be sent again.",
    },
    reads=lambda arena: dict.fromkeys(read_by_plans(arena), UNTRACKED),  # a plan is made before anything else
    origins=origins(),
    kinds=("lancedb",),
    reads_ledger=True,
)
def arena_plan(step: Step) -> dg.MaterializeResult:
    """What materializing everything would take now, a row for each stage and model: completions that are paid and those to
    ask for, tokens, engine starts, GPU hours and cost with a lower and an upper bound, bytes on disk. No engine is started and
    nothing is asked; estimated numbers say how they are made. `runs` are those of code in the sandbox, with the least time that
    they take on this machine. `asked_again` says which completions were paid before, under an earlier identity of their model,
    and how to use those.
    """
    stages = walk(step.arena, step.ledger, step.warehouse)
    lines, of_code = costs(step.arena, step.ledger, stages), planned_runs(step.arena, step.warehouse, stages)
    rows = pl.DataFrame(list(map(row_of, lines)), schema=SCHEMA)
    metadata: dict[str, Any] = {
        "in_one_sentence": sentence(step.arena, lines, of_code),
        **totals(lines),
        **({"not_mined": names} if (names := step.arena.not_mined) else {}),
        "plan": as_table(rows, BASIS_CHARS),
    }
    if of_code:
        metadata["runs"] = as_table(pl.DataFrame(of_code), BASIS_CHARS)
    if again := asked_again(step.arena, lines, step.ledger, step.warehouse):
        metadata["asked_again"] = dg.MetadataValue.md("\n\n".join(again))
    return record(step, {WHOLE: rows}, metadata=metadata)
