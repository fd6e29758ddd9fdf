"""Agreement of the judges' opinions with the results of tests."""

import polars as pl

from warrior_dagster.analysis.audit import BATTLE, preferences, share

SHARE = "tested"


def with_tests(audited: pl.DataFrame, votes: pl.DataFrame, executed: pl.DataFrame, *, soft: bool = False) -> pl.DataFrame:
    """Add each judge's agreement with the tests to `audited`, the rows of `audit.audit`.

    `votes` (the opinions) and `soft` are as in `audit.audit`; `executed` are the votes of tests, rows of VOTE_SCHEMA. Adds

    - `tested`, a share with `tested_of`, `tested_low` and `tested_high`: of the battles where the judge and the tests of the
      other judges together each prefer a side, those with the same side. If no other judge votes, as with three competitors,
      its own tests count. It wrote them before it saw an answer, but may have misunderstood the instruction both times.
    - `accuracy`: of all battles that these tests decide, the share where the judge prefers the same side as the tests. A battle
      without a preference, or with an abstention, counts as one half.
    """
    judged = votes.select(*BATTLE, "judge").unique().join(preferences_of_tests(executed), on=[*BATTLE, "judge"])
    both = judged.join(preferences(votes, soft=soft), on=[*BATTLE, "judge"], how="left")
    side = (pl.col("preference") - 0.5).fill_null(0.0)
    hit = (side > 0) == (pl.col("tests") > 0)
    cases = both.filter(side != 0).select("judge", hit=hit)
    accuracy = both.group_by("judge").agg(accuracy=pl.when(side == 0).then(0.5).otherwise(hit.cast(pl.Float64)).mean())
    with_shares = audited.join(share(cases, SHARE), on="judge", how="left").join(accuracy, on="judge", how="left")
    return with_shares.with_columns(pl.col(f"{SHARE}_of").fill_null(0)).sort("judge")


def preferences_of_tests(executed: pl.DataFrame) -> pl.DataFrame:
    """The side that the other judges' tests prefer, per judge: `tests` above 0 for left, below 0 for right. No row for ties."""
    own = (pl.col("p_left") - 0.5).fill_null(0.0)
    others = pl.when(pl.len().over(BATTLE) > 1).then(own.sum().over(BATTLE) - own).otherwise(own)
    return executed.select(*BATTLE, "judge", tests=others).filter(pl.col("tests") != 0)
