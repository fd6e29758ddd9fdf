"""The flow of instructions through the stages: bands of difficulty, and how many each stage kept and dropped."""

from collections import Counter
from collections.abc import Mapping

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import UNDECIDED
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.stages.curation.columns import topic_column
from warrior_dagster.stages.curation.difficulty import BANDS, ON_TOPIC
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

BAND_NAMES = (*(name for _, name in BANDS), "unrated")
FUNNEL = {
    "row_id": pl.String, "step": pl.Int64, "stage": pl.String, "competitor": pl.String,
    "rows": pl.Int64, "dropped": pl.Int64, "why": pl.String,
}  # fmt: skip


def difficulty_bands(rated: pl.DataFrame) -> pl.DataFrame:
    """Number and share of each competitor's instructions in each band, one row per competitor and band, in band order.

    `rated` has the `competitor` and `band` of each instruction.
    """
    every = rated.select("competitor").unique().join(pl.DataFrame({"band": BAND_NAMES}), how="cross")
    counted = rated.group_by("competitor", "band").agg(instructions=pl.len().cast(pl.Int64))
    count = pl.col("instructions")
    return (
        every.join(counted, on=["competitor", "band"], how="left")
        .with_columns(count.fill_null(0))
        .with_columns(share=count / count.sum().over("competitor"))
        .sort("competitor", pl.col("band").cast(pl.Enum(BAND_NAMES)))
        .select(pl.format("{}:{}", "competitor", "band").alias("row_id"), "competitor", "band", "instructions", "share")
    )


def funnel(stages: Mapping[str, pl.DataFrame], reasons: Mapping[str, str]) -> pl.DataFrame:
    """How many rows each stage kept and dropped, per competitor and in total (`competitor` "").

    `stages` has, in order, a frame with the `competitor` of each remaining instruction. `reasons` says why a stage drops rows.
    The first stage drops none.
    """
    names = sorted({name for frame in stages.values() for name in frame["competitor"].unique()})
    rows, before = [], dict[str, int]()
    for step, (stage, frame) in enumerate(stages.items()):
        counts = dict(frame["competitor"].value_counts().iter_rows())
        for name in ("", *names):
            left = len(frame) if name == "" else counts.get(name, 0)
            dropped = before.get(name, left) - left
            why = reasons.get(stage, "") if dropped and name == "" else ""  # reasons are given for the total only
            rows.append((f"{step}:{name}", step, stage, name, left, dropped, why))
            before[name] = left
    return pl.DataFrame(rows, schema=FUNNEL, orient="row")


def funnel_stages(arena: Arena, warehouse: Warehouse) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """The arguments of `funnel` for the current roster. Raises LookupError as `Warehouse.read` does."""
    roster = arena.roster
    mined = warehouse.read("mined_instructions", roster, ["competitor", "status"])
    unique = warehouse.read("unique_instructions", roster, ["competitor", "kept"])
    rated = warehouse.read("instruction_difficulty", roster, ["competitor", "kept", *topic_column(arena)])
    selected = warehouse.read("selected_instructions", roster, ["competitor", "instruction_id"])
    decided = warehouse.read("battle_outcomes", matchup_keys(roster), ["instruction_id", "outcome"]).drop_nulls("outcome")
    dropped = Counter(mined.filter(pl.col("status") != "ok")["status"].to_list())
    stages = {
        "mined": mined,
        "usable": mined.filter(status="ok"),
        "unique": unique.filter("kept"),
        **({"on topic": rated.filter(ON_TOPIC)} if topic_column(arena) else {}),
        "difficult enough": rated.filter("kept"),
        "selected": selected,
        "battled on": selected.join(decided, on="instruction_id", how="semi"),
    }
    if arena.export.undecided == "leave_out":
        scored = warehouse.read("answer_scores", [WHOLE], ["instruction_id", "decided_by"])
        by_evidence = scored.filter(~pl.col("decided_by").is_in(["", *UNDECIDED]))
        stages["decided"] = stages["battled on"].join(by_evidence, on="instruction_id", how="semi")
    if "sft" in arena.export.formats:
        stages["exported (sft)"] = warehouse.read("sft_dataset", [WHOLE], ["attacker"]).select(competitor="attacker")
    reasons = {
        "usable": ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in dropped.most_common()),
        "unique": f"near duplicates from {arena.deduplication.threshold:g} on",
        "on topic": "not about programming, by the panel's verdict",
        "difficult enough": f"scored below {arena.difficulty.keep:g}, or not at all",
        "selected": f"beyond {arena.selection.centres} centres a competitor",
        "battled on": "no two usable answers",
        "decided": "no evidence put the best answer first, but only a rating or its length",
        "exported (sft)": "the gold answer was cut off at the token limit, or a benchmark is in the row",
    }
    return stages, reasons
