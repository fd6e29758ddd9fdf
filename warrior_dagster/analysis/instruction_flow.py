"""What became of the instructions: their bands of difficulty, and how many each stage left and dropped."""

from collections.abc import Mapping

import polars as pl

from warrior_dagster.stages.curation.difficulty import BANDS

BAND_NAMES = (*(name for _, name in BANDS), "unrated")
FUNNEL = {
    "row_id": pl.String,
    "step": pl.Int64,
    "stage": pl.String,
    "competitor": pl.String,
    "rows": pl.Int64,
    "dropped": pl.Int64,
    "why": pl.String,
}


def difficulty_bands(rated: pl.DataFrame) -> pl.DataFrame:
    """How many of each competitor's instructions are in each band, and which share: a row for each, in the bands' order.

    `rated` has `competitor` and `band` of instructions.
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
    """Rows after each stage, of each competitor and (`competitor` "") of all, and how many it dropped.

    `stages` has, in order, a frame with the `competitor` that every remaining instruction was mined from; `reasons` says why a
    stage drops what it drops. The first stage drops none.
    """
    names = sorted({name for frame in stages.values() for name in frame["competitor"].unique()})
    rows, before = [], dict[str, int]()
    for step, (stage, frame) in enumerate(stages.items()):
        counts = dict(frame["competitor"].value_counts().iter_rows())
        for name in ("", *names):
            left = len(frame) if name == "" else counts.get(name, 0)
            dropped = before.get(name, left) - left
            why = reasons.get(stage, "") if dropped and name == "" else ""  # they are told of all together
            rows.append((f"{step}:{name}", step, stage, name, left, dropped, why))
            before[name] = left
    return pl.DataFrame(rows, schema=FUNNEL, orient="row")
