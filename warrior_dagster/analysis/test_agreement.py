"""What tests say about the judges: how often the opinion of one is on the side that tests are on."""

import polars as pl

from warrior_dagster.analysis.audit import BATTLE, leanings, share

SHARE = "tested"


def with_tests(audited: pl.DataFrame, votes: pl.DataFrame, executed: pl.DataFrame, *, soft: bool = False) -> pl.DataFrame:
    """The judges' audit with what tests say of each.

    Args:
        audited: the rows of `audit.audit`.
        votes: opinions, as there.
        executed: the votes of tests, rows of `judging.VOTE_SCHEMA`.
        soft: as there.

    Returns:
        The same rows with

        - `tested`, a share as the others, with `tested_of`, `tested_low` and `tested_high`: of battles where the judge leans to
          a side and the tests of the other judges together lean to one, those where it is the same. Where no other judge has
          a say, as with three competitors, its own tests count: it wrote them before it saw an answer, but whoever
          misunderstands an instruction may do so twice.
        - `accuracy`: of all battles that these tests decide, the share where the judge is right if the tests are. Where it
          leans to no side, or abstains, that is one half.
    """
    reference = sides_of_tests(executed)
    leaning = leanings(votes, soft=soft).with_columns(own=pl.col("leaning") - 0.5)
    judged = votes.select(*BATTLE, "judge").unique()
    both = judged.join(reference, on=[*BATTLE, "judge"]).join(leaning, on=[*BATTLE, "judge"], how="left")
    leans = pl.col("own").fill_null(0.0)
    cases = both.filter(leans != 0).select("judge", hit=(pl.col("own") > 0) == (pl.col("tests") > 0))
    right = pl.when(leans == 0).then(0.5).otherwise(((leans > 0) == (pl.col("tests") > 0)).cast(pl.Float64))
    accuracy = both.group_by("judge").agg(accuracy=right.mean())
    return (
        audited.join(share(cases, SHARE), on="judge", how="left")
        .join(accuracy, on="judge", how="left")
        .with_columns(pl.col(f"{SHARE}_of").fill_null(0))
        .sort("judge")
    )


def sides_of_tests(executed: pl.DataFrame) -> pl.DataFrame:
    """The side that tests are on, from each judge's place: `tests` above 0 for left, below for right; none where they tie."""
    own = (pl.col("p_left") - 0.5).fill_null(0.0)
    others = pl.when(pl.len().over(BATTLE) > 1).then(own.sum().over(BATTLE) - own).otherwise(own)
    return executed.select(*BATTLE, "judge", tests=others).filter(pl.col("tests") != 0)
