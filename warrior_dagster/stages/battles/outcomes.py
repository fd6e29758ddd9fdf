"""From votes to a battle's outcome: the shares of both sides, and the weights of several kinds of votes (METHOD section 5)."""

from collections.abc import Iterable, Mapping

import polars as pl

from warrior_dagster.config.battles import OPINION, Battles

TIE_WITHIN = 1e-9
"""Local scores this near one half are ties: sums of probabilities are not exact."""


STATUSES = ("decided", "tie", "failed")


def vote_shares(votes: pl.DataFrame, how: str) -> pl.DataFrame:
    """The votes with their shares as p_left and p_right: their probabilities if `how` is `soft`, and if it is `hard` 1 for the
    side of the verdict, or one half for both in a tie.
    """
    if how == "soft":
        return votes
    side = {"left": 1.0, "tie": 0.5, "right": 0.0}
    for_left = pl.col("verdict").replace_strict(side, return_dtype=pl.Float64)
    return votes.with_columns(p_left=for_left, p_right=1 - for_left)


def by_judge(votes: pl.DataFrame, judges: Mapping[str, float] | None) -> pl.DataFrame:
    """Vote shares, those of opinions times the weight of the judge. Opinions of a judge without weight are left out: they count
    neither as votes nor as abstentions. All are as they were if `judges` is None.
    """
    if judges is None:
        return votes
    of_judge = pl.col("judge").replace_strict(judges, default=0.0, return_dtype=pl.Float64)
    weight = pl.when(pl.col("evidence") == OPINION).then(of_judge).otherwise(1.0)
    weighed = votes.with_columns(pl.col("p_left", "p_right") * weight)
    return weighed.filter(weight > 0)


def outcomes(
    pairs: pl.DataFrame, votes: pl.DataFrame, left: str, right: str, how: str, judges: Mapping[str, float] | None = None
) -> pl.DataFrame:
    """One row per battle, from the frame of `pairing.pairs` and the matchup's votes of one kind.

    votes_left and votes_right are the sums of `vote_shares` over the votes that did not fail; where both answers are the same
    text, half of all for each, because a judge that prefers one of them says nothing about the text. local_left is votes_left /
    (votes_left + votes_right), or one half without votes. outcome is 1, 0.5 or 0 for left. Both are null where a side has no
    usable answer. `judges` has the weights of judges that sat an exam (see `by_judge`); `opinions` is then the number of their
    votes in the sums.
    decided_by is "" in ties, and else `opinion`: `weighted_outcomes` says it of several kinds of votes.
    """
    found = tallied(pairs, by_judge(vote_shares(votes, how), judges), left, right)
    return found.drop("opinions") if judges is None else found


def tallied(pairs: pl.DataFrame, shares: pl.DataFrame, left: str, right: str) -> pl.DataFrame:
    """The rows of `outcomes`, with `opinions`, from shares that are already weighed."""
    by_battle = shares.sort("row_id").group_by("instruction_id", maintain_order=True)
    counted = by_battle.agg(
        votes_left=pl.col("p_left").sum(),
        votes_right=pl.col("p_right").sum(),
        **{status: (pl.col("status") == status).sum().cast(pl.Int64) for status in STATUSES},
        opinions=((pl.col("evidence") == OPINION) & (pl.col("status") != "failed")).sum().cast(pl.Int64),
    )
    total = pl.col("votes_left") + pl.col("votes_right")
    battle = pl.col("answer_left").is_not_null() & pl.col("answer_right").is_not_null()
    same_text = pl.col("answer_left") == pl.col("answer_right")
    local = pl.col("local_left")
    outcome = pl.when((local - 0.5).abs() <= TIE_WITHIN).then(0.5).otherwise((local > 0.5).cast(pl.Float64))
    return (
        pairs.join(counted, on="instruction_id", how="left", maintain_order="left")
        .with_columns(pl.col("votes_left", "votes_right", *STATUSES, "opinions").fill_null(0))
        .with_columns(votes_left=pl.when(same_text).then(total / 2).otherwise("votes_left"),
                      votes_right=pl.when(same_text).then(total / 2).otherwise("votes_right"))
        .with_columns(pl.when(battle).then(pl.when(total > 0).then(pl.col("votes_left") / total).otherwise(0.5))
                      .alias("local_left"))
        .select(
            pl.col("instruction_id").alias("row_id"), "instruction_id", "attacker",
            pl.lit(left).alias("left"), pl.lit(right).alias("right"),
            "votes_left", "votes_right", *STATUSES, "opinions", "local_left",
            pl.when(battle).then(outcome).alias("outcome"),
            pl.when(battle & (outcome != 0.5)).then(pl.lit(OPINION)).otherwise(pl.lit("")).alias("decided_by"),
        )
    )  # fmt: skip


def weighted_outcomes(
    pairs: pl.DataFrame,
    votes: Iterable[pl.DataFrame],
    left: str,
    right: str,
    settings: Battles,
    judges: Mapping[str, float] | None = None,
) -> pl.DataFrame:
    """The rows of `outcomes` from votes of several kinds, with how much each kind contributed.

    If battles.combine is `first`, only the votes of the first kind in battles.evidence that prefers one side count. Else all
    votes add up, each times its weight. `judges` is as in `outcomes`. The columns `from_KIND` are the sums over both sides of
    votes that count; `decided_by` is the kind that decided, or that contributed most to the outcome; "" for ties.
    """
    kinds, weights = settings.evidence, weights_of(settings)
    together = by_judge(pl.concat([vote_shares(frame, settings.votes) for frame in votes]), judges)
    weight = pl.col("evidence").replace_strict(weights, return_dtype=pl.Float64)
    together = together.with_columns(pl.col("p_left", "p_right") * weight).sort("row_id")
    deciders = leads(together, kinds)
    if settings.combine == "first":
        deciders = deciders.with_columns(decided_by=preferring(kinds))
        together = together.join(deciders.select("instruction_id", "decided_by"), on="instruction_id", maintain_order="left")
        together = together.filter((pl.col("decided_by") == "") | (pl.col("evidence") == pl.col("decided_by")))
    else:
        side = pl.sum_horizontal(kinds).sign()
        most = pl.max_horizontal(pl.col(kind) * side for kind in kinds)
        largest = pl.coalesce(*(pl.when(pl.col(kind) * side == most).then(pl.lit(kind)) for kind in kinds))
        deciders = deciders.with_columns(decided_by=largest)
    amounts = together.group_by("instruction_id").agg(
        (pl.col("p_left") + pl.col("p_right")).filter(pl.col("evidence") == kind).sum().alias(f"from_{kind}") for kind in kinds
    )
    found = tallied(pairs, together, left, right).drop("decided_by", *(["opinions"] if judges is None else []))
    for more in (deciders.select("instruction_id", "decided_by"), amounts):
        found = found.join(more, on="instruction_id", how="left", maintain_order="left")
    tied = pl.col("outcome").is_null() | (pl.col("outcome") == 0.5)
    return found.with_columns(
        pl.col("^from_.*$").fill_null(0.0), decided_by=pl.when(tied).then(pl.lit("")).otherwise("decided_by")
    )


def leads(shares: pl.DataFrame, kinds: Iterable[str]) -> pl.DataFrame:
    """How far the votes of each kind lead for the left side, a column for each, by instruction; `shares` are in order."""
    lead = pl.col("p_left") - pl.col("p_right")
    of_kind = {kind: lead.filter(pl.col("evidence") == kind).sum() for kind in kinds}
    return shares.group_by("instruction_id", maintain_order=True).agg(**of_kind)


def preferring(kinds: Iterable[str]) -> pl.Expr:
    """The first kind whose lead prefers a side, from the columns of `leads`; "" if none does."""
    return pl.coalesce(*(pl.when(pl.col(kind).abs() > TIE_WITHIN).then(pl.lit(kind)) for kind in kinds), pl.lit(""))


def weights_of(settings: Battles) -> dict[str, float]:
    """What one vote of each kind of an arena's evidence weighs."""
    return {kind: getattr(settings.weights, kind) if settings.combine == "sum" else 1.0 for kind in settings.evidence}
