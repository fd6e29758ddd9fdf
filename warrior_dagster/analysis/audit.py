"""What the votes say about the judges rather than about the answers: which of them is worth listening to.

No truth is needed: a judge is compared with itself when it sees the two answers the other way round, and with the other judges.
"""

import polars as pl

from warrior_dagster.analysis.intervals import wilson
from warrior_dagster.stages.battles.opinions.judging import LEFT_FIRST

ALWAYS = 0.9
"""A judge that decides for one place this often reads the order rather than the answers. Our choice."""
BATTLE = ("left", "right", "instruction_id")

SHARES = ("first", "consistent", "agrees", "longer")


def audit(votes: pl.DataFrame, lengths: pl.DataFrame, *, soft: bool = False) -> pl.DataFrame:
    """Audit each judge by its votes.

    Args:
        votes: rows of `judging.VOTE_SCHEMA`.
        lengths: `instruction_id`, `competitor` and `length` (characters) of every answer voted on.
        soft: votes count by their probabilities, so that a judge leans to a side by these, whatever its letters are.

    Returns:
        One row a judge, by name: `votes`, `abstained` and `tied` (shares of its votes; a failed verdict is an abstention), and
        four shares, each with the number of cases it is of (`_of`) and a 95 % interval by Wilson (`_low`, `_high`), null where
        there is no case:

        - `first`: of decided votes, those for the answer that it saw first. One half is no position bias.
        - `consistent`: of battles that it could judge in both orders, those with the same verdict in both.
        - `agrees`: of battles where it and the other judges together each lean to a side, those where it is the same side.
        - `longer`: of decided votes on answers of different lengths, those for the longer one.
    """
    decided = votes.filter(pl.col("status") == "decided").with_columns(for_left=pl.col("verdict") == "left")
    first = decided.select("judge", hit=pl.col("for_left") == (pl.col("order") == LEFT_FIRST))
    both = votes.filter(pl.col("status") != "failed").group_by("judge", *BATTLE).agg(pl.col("verdict"))
    consistent = both.filter(pl.col("verdict").list.len() == 2).select("judge", hit=pl.col("verdict").list.n_unique() == 1)
    given = [
        lengths.select("instruction_id", pl.col("competitor").alias(side), pl.col("length").alias(f"length_{side}"))
        for side in ("left", "right")
    ]
    longer = (
        decided.join(given[0], on=["instruction_id", "left"])
        .join(given[1], on=["instruction_id", "right"])
        .filter(pl.col("length_left") != pl.col("length_right"))
        .select("judge", hit=pl.col("for_left") == (pl.col("length_left") > pl.col("length_right")))
    )
    verdicts = votes.group_by("judge").agg(
        votes=pl.len().cast(pl.Int64),
        abstained=(pl.col("status") == "failed").mean(),
        tied=(pl.col("status") == "tie").mean(),
    )
    for name, cases in zip(SHARES, (first, consistent, agreements(leanings(votes, soft=soft)), longer), strict=True):
        verdicts = verdicts.join(share(cases, name), on="judge", how="left")
    return verdicts.with_columns(pl.col(f"^({'|'.join(SHARES)})_of$").fill_null(0)).sort("judge")


def leanings(votes: pl.DataFrame, *, soft: bool = False) -> pl.DataFrame:
    """How far each judge leans to the left answer of a battle: the mean of its verdicts (1, 0.5 or 0), or of their
    probabilities, in both orders.
    """
    value = (
        pl.col("p_left")
        if soft
        else pl.col("verdict").replace_strict({"left": 1.0, "tie": 0.5, "right": 0.0}, return_dtype=pl.Float64)
    )
    readable = votes.filter(pl.col("status") != "failed")
    return readable.group_by(*BATTLE, "judge").agg(leaning=value.mean()).sort(*BATTLE, "judge")


def agreements(leanings: pl.DataFrame) -> pl.DataFrame:
    """`judge` and `hit`, a row for each battle and judge where it and the others' sum both lean: whether to the same side."""
    own = pl.col("leaning") - 0.5
    return (
        leanings.with_columns(own=own, others=own.sum().over(BATTLE) - own)
        .filter((pl.col("own") != 0) & (pl.col("others").abs() > 1e-9))
        .select("judge", hit=(pl.col("own") > 0) == (pl.col("others") > 0))
    )


def share(cases: pl.DataFrame, name: str) -> pl.DataFrame:
    """Of each judge the share of its cases that hit, their number, and the interval."""
    counted = cases.group_by("judge").agg(pl.col("hit").mean().alias(name), pl.len().cast(pl.Int64).alias(f"{name}_of"))
    low, high = wilson(pl.col(name), pl.col(f"{name}_of"))
    return counted.with_columns(low.alias(f"{name}_low"), high.alias(f"{name}_high"))


def krippendorff_alpha(leanings: pl.DataFrame) -> float | None:
    """Agreement of all judges beyond chance, for interval data (Krippendorff, 2011): 1 is full, 0 what chance gives.

    1 - D_o / D_e, the squared differences seen within battles over those expected among all values. Only battles with two
    judges or more count; None where there are none, or where all values are the same.
    """
    value = pl.col("leaning")
    # The sum of (a - b)^2 over all ordered pairs of m values is 2 (m sum(v^2) - sum(v)^2).
    spread = 2 * (pl.len() * (value**2).sum() - value.sum() ** 2)
    battles = leanings.group_by(BATTLE).agg(m=pl.len(), spread=spread).filter(pl.col("m") > 1)
    n = int(battles["m"].sum())
    together = leanings.join(battles, on=BATTLE, how="semi").select(spread).item()
    if n == 0 or together <= 0:
        return None
    observed = float((battles["spread"] / (battles["m"] - 1)).sum()) / n
    return 1.0 - observed / (float(together) / (n * (n - 1)))


def faults(audited: pl.DataFrame) -> dict[str, str]:
    """Why a judge is not to be listened to, by judge: it goes by the place of an answer, or does worse than a coin."""
    found: dict[str, str] = {}
    for row in audited.iter_rows(named=True):
        reasons = []
        if row["first"] is not None and not 1 - ALWAYS < row["first"] < ALWAYS:
            place = "first" if row["first"] > 0.5 else "second"
            reasons.append(f"{max(row['first'], 1 - row['first']):.0%} of its votes are for the answer that it saw {place}")
        if row["consistent"] is not None and row["consistent_high"] < 0.5:
            reasons.append(f"in {row['consistent']:.0%} of battles its verdict is the same in both orders, less than a coin's")
        if row["agrees"] is not None and row["agrees_high"] < 0.5:
            reasons.append(f"in {row['agrees']:.0%} of battles it is on the other judges' side, less than a coin")
        if reasons:
            found[row["judge"]] = "; ".join(reasons)
    return found
