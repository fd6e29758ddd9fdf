"""What put the gold answer of an instruction first: a kind of evidence, or only a rating or its length (docs/selection.md).

What no evidence decided is no better than a guess, so a data set may leave it out.
"""

from collections.abc import Sequence

import polars as pl

from warrior_dagster.config.battles import BEHAVIOUR, LENGTH, RATING

WITHIN = 1e-9
"""Sums of local scores this near are equal: their floats are not exact."""
ANSWER = ["instruction_id", "competitor"]


def with_deciders(scored: pl.DataFrame, answers: pl.DataFrame, outcomes: pl.DataFrame, kinds: Sequence[str]) -> pl.DataFrame:
    """The scores with two more columns, `decided_by` and `agreement`.

    `decided_by` is the same on all rows of an instruction. It is one of

    - a kind of evidence, if the gold answer's local part is the highest and not all are equal: the kind that contributed most
      to its lead over the group's mean. Of kinds that contributed the same, the first of `kinds`. Where pairs did not meet, the
      ratings stand in for their battles; it is `rating` if these contributed more than every kind. Not where other answers have
      the same local part and are known to return something else on at least half of the inputs: evidence did not choose then.
    - `behaviour`, if all local parts are equal and the gold answer returns what the others return (`agreement` above one half).
    - `rating`, if the ratings differ. Evidence alone may have preferred another answer, or several alike.
    - `length`, if nothing else differs.
    - "", if the answer had no opponent.

    `agreement` is an answer's mean agreement with its opponents, null where it is unknown.

    Args:
        scored: rows of `scores.final_scores`.
        answers: instruction_id, competitor and answer (its text).
        outcomes: instruction_id, left, right, local_left, decided_by (a kind, or "") and, where it is known what answers
            return, agreement: the share of inputs on which both return the same.
        kinds: the arena's kinds of evidence, in order.
    """
    battles = battles_of_answers(outcomes, scored)
    agreement = battles.group_by(ANSWER, maintain_order=True).agg(pl.col("agreement").mean())
    found = scored.join(agreement, on=ANSWER, how="left", maintain_order="left")
    contributed = contributions(battles, scored, answers, kinds)
    part = pl.col("local_part")
    gold = found.with_columns(
        lowest=part.min().over("instruction_id"),
        first=part.max().over("instruction_id") - part <= WITHIN,
        ratings_differ=(pl.col("elo_part").max() - pl.col("elo_part").min()).over("instruction_id") > WITHIN,
    )
    agreed = agreement_with_equals(battles, gold.filter("first"), answers)
    gold = gold.filter("gold").join(agreed, on=ANSWER, how="left", maintain_order="left")
    all_equal = part - pl.col("lowest") <= WITHIN
    decided = (
        pl.when(pl.col("opponents") == 0)
        .then(pl.lit(""))
        .when("first", ~all_equal, pl.col("with_equals").is_null() | (pl.col("with_equals") > 0.5))
        .then("most")
        .when("first", all_equal, pl.col("agreement") > 0.5)
        .then(pl.lit(BEHAVIOUR))
        .when("ratings_differ")
        .then(pl.lit(RATING))
        .otherwise(pl.lit(LENGTH))
    )
    of_group = gold.join(contributed, on=ANSWER, how="left").select("instruction_id", decided_by=decided)
    return found.join(of_group, on="instruction_id", how="left", maintain_order="left")


def agreement_with_equals(battles: pl.DataFrame, first: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """For each of the answers that are `first` of their instruction by votes, its mean agreement with the other texts that are,
    as `with_equals`; without a row where no other one is, or where it is unknown what they return.
    """
    texts = first.select(ANSWER).join(answers.select(*ANSWER, "answer"), on=ANSWER)
    rivals = texts.select("instruction_id", opponent="competitor", rival="answer")
    between = battles.join(texts, on=ANSWER).join(rivals, on=["instruction_id", "opponent"]).sort(*ANSWER, "opponent")
    between = between.filter(pl.col("answer") != pl.col("rival")).drop_nulls("agreement")
    each = between.unique([*ANSWER, "rival"], keep="first", maintain_order=True)
    return each.group_by(ANSWER, maintain_order=True).agg(with_equals=pl.col("agreement").mean())


def battles_of_answers(outcomes: pl.DataFrame, scored: pl.DataFrame) -> pl.DataFrame:
    """Each battle from both sides, in order: instruction_id, competitor, opponent, x, decided_by, agreement.

    Battles of answers that are not scored are left out.
    """
    known = pl.col("agreement") if "agreement" in outcomes.columns else pl.lit(None, dtype=pl.Float64).alias("agreement")
    both = pl.concat(
        outcomes.select("instruction_id", known, "decided_by", competitor=pl.col(own), opponent=pl.col(other), x=x)
        for own, other, x in (("left", "right", pl.col("local_left")), ("right", "left", 1.0 - pl.col("local_left")))
    )
    for side in ("competitor", "opponent"):
        both = both.join(scored.select("instruction_id", pl.col("competitor").alias(side)), on=["instruction_id", side])
    return both.sort(*ANSWER, "opponent")


def contributions(battles: pl.DataFrame, scored: pl.DataFrame, answers: pl.DataFrame, kinds: Sequence[str]) -> pl.DataFrame:
    """For each answer, as `most`, what contributed most to its lead over the mean local part of its group.

    The local part of a text that several competitors gave is a mean over these, so it is their battles together that count.
    """
    of_kind = {kind: (pl.col("x") - 0.5).filter(pl.col("decided_by") == kind).sum() for kind in kinds}
    leads = battles.group_by(ANSWER, maintain_order=True).agg(**of_kind)
    texts = scored.join(answers.select(*ANSWER, "answer"), on=ANSWER, maintain_order="left")
    together = texts.join(leads, on=ANSWER, how="left", maintain_order="left").with_columns(
        pl.col(*kinds).fill_null(0.0).mean().over("instruction_id", "answer")
    )
    lead = pl.col("local_part") - pl.col("opponents") / 2  # the local parts of a pair add up to 1
    together = together.with_columns((lead - pl.sum_horizontal(*kinds)).alias(RATING))
    most = pl.max_horizontal(*kinds, RATING)
    first = pl.coalesce(pl.when(pl.col(name) >= most - WITHIN).then(pl.lit(name)) for name in (*kinds, RATING))
    return together.select(*ANSWER, most=first)
