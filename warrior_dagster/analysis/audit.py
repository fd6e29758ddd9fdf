"""The judge audit: how reliable each judge is, without ground truth. A judge is compared with its own verdicts in the reverse
order of the answers, and with the other judges.
"""

import polars as pl

from warrior_dagster.analysis.exam_scores import without_vote
from warrior_dagster.analysis.intervals import wilson
from warrior_dagster.stages.battles.opinions.judging import LEFT_FIRST
from warrior_dagster.stages.battles.outcomes import vote_shares

POSITION_BIAS = 0.9
"""A judge that votes for one position at least this often has a position bias. Our choice."""
BATTLE = ("left", "right", "instruction_id")
SHARES = ("first", "consistent", "agrees", "longer")


def audit(votes: pl.DataFrame, lengths: pl.DataFrame, *, soft: bool = False) -> pl.DataFrame:
    """Audit each judge by its `votes` (rows of VOTE_SCHEMA): one row per judge, by name.

    `lengths` has `instruction_id`, `competitor` and `length` (characters) of every answer voted on. If `soft`, preferences come
    from the votes' probabilities, not from the verdicts. The columns are `votes`, `abstained` and `tied` (shares of its votes;
    a failed verdict is an abstention), and four shares, each with its number of cases (`_of`) and Wilson's 95 % interval
    (`_low`, `_high`), null without a case:

    - `first`: of the decided votes, those for the answer shown first. One half means no position bias.
    - `consistent`: of the battles judged in both orders, those with the same verdict in both.
    - `agrees`: of the battles where the judge and the other judges together each prefer a side, those with the same side.
    - `longer`: of the decided votes on answers of different lengths, those for the longer answer.
    """
    decided = votes.filter(pl.col("status") == "decided").with_columns(for_left=pl.col("verdict") == "left")
    first = decided.select("judge", hit=pl.col("for_left") == (pl.col("order") == LEFT_FIRST))
    both = votes.filter(pl.col("status") != "failed").group_by("judge", *BATTLE).agg(pl.col("verdict"))
    consistent = both.filter(pl.col("verdict").list.len() == 2).select("judge", hit=pl.col("verdict").list.n_unique() == 1)
    left, right = pl.col("length_left"), pl.col("length_right")
    longer = (
        decided.join(lengths.select("instruction_id", left="competitor", length_left="length"), on=["instruction_id", "left"])
        .join(lengths.select("instruction_id", right="competitor", length_right="length"), on=["instruction_id", "right"])
        .filter(left != right)
        .select("judge", hit=pl.col("for_left") == (left > right))
    )
    verdicts = votes.group_by("judge").agg(
        votes=pl.len().cast(pl.Int64), abstained=(pl.col("status") == "failed").mean(), tied=(pl.col("status") == "tie").mean()
    )
    for name, cases in zip(SHARES, (first, consistent, agreements(preferences(votes, soft=soft)), longer), strict=True):
        verdicts = verdicts.join(share(cases, name), on="judge", how="left")
    return verdicts.with_columns(pl.col(f"^({'|'.join(SHARES)})_of$").fill_null(0)).sort("judge")


def preferences(votes: pl.DataFrame, *, soft: bool = False) -> pl.DataFrame:
    """Each judge's `preference` for the left answer of a battle, 0 to 1: the mean over both orders of its verdicts (1, 0.5 or
    0) or, if `soft`, of their probabilities.
    """
    readable = vote_shares(votes, "soft" if soft else "hard").filter(pl.col("status") != "failed")
    return readable.group_by(*BATTLE, "judge").agg(preference=pl.col("p_left").mean()).sort(*BATTLE, "judge")


def agreements(preferences: pl.DataFrame) -> pl.DataFrame:
    """`judge` and `hit` (both prefer the same side) for each battle and judge where it and the others' sum prefer a side."""
    own = pl.col("preference") - 0.5
    return (
        preferences.with_columns(own=own, others=own.sum().over(BATTLE) - own)
        .filter((pl.col("own") != 0) & (pl.col("others").abs() > 1e-9))
        .select("judge", hit=(pl.col("own") > 0) == (pl.col("others") > 0))
    )


def share(cases: pl.DataFrame, name: str) -> pl.DataFrame:
    """For each judge: the share of its cases with `hit`, the number of cases, and the interval."""
    counted = cases.group_by("judge").agg(pl.col("hit").mean().alias(name), pl.len().cast(pl.Int64).alias(f"{name}_of"))
    low, high = wilson(pl.col(name), pl.col(f"{name}_of"))
    return counted.with_columns(low.alias(f"{name}_low"), high.alias(f"{name}_high"))


def krippendorff_alpha(preferences: pl.DataFrame) -> float | None:
    """Krippendorff's alpha of all judges for interval data (Krippendorff, 2011): 1 is full agreement, 0 is chance.

    1 - D_o / D_e: the observed squared differences within battles, relative to those expected among all values. Only battles
    with two or more judges count. None without such a battle, or if all values are equal.
    """
    value = pl.col("preference")
    # The sum of (a - b)^2 over all ordered pairs of m values is 2 (m sum(v^2) - sum(v)^2).
    spread = 2 * (pl.len() * (value**2).sum() - value.sum() ** 2)
    battles = preferences.group_by(BATTLE).agg(m=pl.len(), spread=spread).filter(pl.col("m") > 1)
    n = int(battles["m"].sum())
    together = preferences.join(battles, on=BATTLE, how="semi").select(spread).item()
    if n == 0 or together <= 0:
        return None
    observed = float((battles["spread"] / (battles["m"] - 1)).sum()) / n
    return 1.0 - observed / (float(together) / (n * (n - 1)))


def faults(audited: pl.DataFrame) -> dict[str, str]:
    """Each unreliable judge with the reasons: it has a position bias, is less consistent or agrees less than chance, or
    has no vote after its exam.
    """
    found: dict[str, str] = {}
    for row in audited.iter_rows(named=True):
        reasons = []
        if row["first"] is not None and not 1 - POSITION_BIAS < row["first"] < POSITION_BIAS:
            position = "first" if row["first"] > 0.5 else "second"
            reasons.append(f"{max(row['first'], 1 - row['first']):.0%} of its votes are for the answer shown {position}")
        if row["consistent"] is not None and row["consistent_high"] < 0.5:
            reasons.append(f"only {row['consistent']:.0%} of its verdicts are the same in both orders, less than chance")
        if row["agrees"] is not None and row["agrees_high"] < 0.5:
            reasons.append(f"it agrees with the other judges in only {row['agrees']:.0%} of battles, less than chance")
        if silent := without_vote(row):
            reasons.append(silent)
        if reasons:
            found[row["judge"]] = "; ".join(reasons)
    return found
