"""Which sample of its answer a competitor battles with: the one that agrees most with its others on what they return.

All of it follows from the competitor's own samples and own tests, so an appended competitor changes no answer of the others.
"""

import polars as pl

from warrior_dagster.config.battles import Execution
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.behaviours import observing
from warrior_dagster.stages.battles.behaviours.agreement import RETURNED, agreements, with_others
from warrior_dagster.stages.battles.sandbox_runs import NEEDS_MODULE, RunCounts

OBSERVED_SCHEMA = {**observing.SCHEMA, "sample": pl.Int64}
"""One row per sample and input of its competitor's own tests."""
SETTLED_SCHEMA = {
    **answering.SAMPLE_SCHEMA,
    "agreement": pl.Float64,
    "settled_by": pl.String,
    "least_like": pl.Int64,
    "least_agreement": pl.Float64,
}
"""One row per competitor and instruction, with the sample that was settled on, and:

agreement: its mean agreement with the competitor's other samples, 0 to 1; null where none of these returned a plain value.
settled_by: `agreement`, or `first sample` where nothing could be compared.
least_like: the number of the usable sample that agrees least with it, if one that returns something else exists.
least_agreement: how far that one agrees with it.
"""
AGREEMENT, FIRST_SAMPLE = "agreement", "first sample"
DECIMALS = 9
"""Means are rounded to this: the sums of equal agreements in another order are not exactly equal."""
ON = ["instruction_id", "sample"]


def observe(
    samples: pl.DataFrame, inputs: pl.DataFrame, before: pl.DataFrame, run: observing.Run, settings: Execution
) -> tuple[pl.DataFrame, RunCounts]:
    """Run one competitor's usable samples on `inputs`, those of its own tests; rows of OBSERVED_SCHEMA.

    Only where there is a choice: an answer with one usable sample is not run. `samples` has rows of answering.SAMPLE_SCHEMA;
    the rest is as in observing.observe.
    """
    rows, counts = observing.observe(several(samples), inputs, before, run, settings)
    numbers = samples.select("instruction_id", "sample", answer_key="completion_key")
    rows = rows.join(numbers, on=["instruction_id", "answer_key"], how="left", maintain_order="left")
    number = pl.col("sample").cast(pl.String).str.zfill(2)
    of_sample = pl.format("{}:{}:{}", "instruction_id", number, pl.col("row_id").str.split(":").list.last())
    return rows.with_columns(row_id=of_sample).select(list(OBSERVED_SCHEMA)), counts


def several(samples: pl.DataFrame) -> pl.DataFrame:
    """The samples of one competitor to instructions of which several are usable."""
    return samples.filter(pl.col("usable").sum().over("instruction_id") > 1)


def settle(samples: pl.DataFrame, observed: pl.DataFrame) -> pl.DataFrame:
    """The answer that a competitor settles on for each instruction; rows of SETTLED_SCHEMA, sorted by instruction.

    `samples` has all rows of answering.SAMPLE_SCHEMA of one competitor, `observed` those of OBSERVED_SCHEMA. Of the usable
    samples the one with the highest mean agreement with the others is taken; of equal ones a finished sample before an
    unfinished one, then one that returned a plain value on any input, then the first. So it is the first finished sample where
    nothing can be run. Samples that returned no plain value agree with nothing and are not counted among the others. Without a
    usable sample it is the first.
    """
    named = observed.with_columns(competitor=pl.col("sample").cast(pl.String))
    means = with_others(named).select(
        "instruction_id", pl.col("agreement").round(DECIMALS), sample=pl.col("competitor").cast(pl.Int64)
    )
    returning = observed.filter(outcome=RETURNED).select(*ON, returns=pl.lit(True)).unique()
    ranked = (
        samples.join(means, on=ON, how="left")
        .join(returning, on=ON, how="left")
        .with_columns(pl.col("returns").fill_null(False))
        .with_columns(informed=pl.col("returns").any().over("instruction_id"))
        .sort(
            *("instruction_id", "usable", pl.col("agreement").fill_null(0.0), pl.col("status") == "ok", "returns", "sample"),
            descending=[False, True, True, True, True, False],
        )
    )
    chosen = ranked.unique("instruction_id", keep="first", maintain_order=True)
    unlike = least_like(chosen, samples, named)
    by = pl.when("informed").then(pl.lit(AGREEMENT)).otherwise(pl.lit(FIRST_SAMPLE))
    return (
        chosen.join(unlike, on="instruction_id", how="left", maintain_order="left")
        .with_columns(row_id="instruction_id", settled_by=by)
        .select(list(SETTLED_SCHEMA))
    )


def least_like(chosen: pl.DataFrame, samples: pl.DataFrame, named: pl.DataFrame) -> pl.DataFrame:
    """For each chosen sample that returned a plain value the usable one with another text that agrees least with it, if not
    fully: instruction_id, least_like, least_agreement. Samples that need a missing module are left out: they may be right.
    """
    unknown = named.filter(outcome=NEEDS_MODULE).select(*ON).unique()
    others = samples.filter("usable").join(unknown, on=ON, how="anti")
    others = others.select("instruction_id", other=pl.col("sample").cast(pl.String), other_answer="answer")
    one = chosen.filter("usable", "returns").select("instruction_id", "answer", one=pl.col("sample").cast(pl.String))
    return (
        agreements(named)
        .join(one, on=["instruction_id", "one"])
        .join(others, on=["instruction_id", "other"])
        .filter(pl.col("agreement") < 1, pl.col("answer") != pl.col("other_answer"))
        .select("instruction_id", least_like=pl.col("other").cast(pl.Int64), least_agreement="agreement")
        .sort("instruction_id", "least_agreement", "least_like")
        .unique("instruction_id", keep="first", maintain_order=True)
    )
