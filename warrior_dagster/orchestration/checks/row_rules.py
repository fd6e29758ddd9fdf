"""The rules for rows. Each returns the problem of each partition with wrong rows, as text.

Frames have `partition` and `row_id` besides the columns that a rule names.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from warrior_dagster.config.battles import OPINION

Problems = dict[str, str]
SHOWN = 5
"""Rows that a problem names; it counts the others."""
WITHIN = 1e-6
"""Sums of floats this near are equal: scores are rounded to nine digits, ratings are sums over many battles."""


def named(wrong: pl.DataFrame, what: str) -> Problems:
    """The problem of each partition with wrong rows: their number, and the ids of the first."""
    each = wrong.group_by("partition").agg(pl.len(), ids=pl.col("row_id").sort().head(SHOWN)).sort("partition")
    return {
        partition: f"{count} {'row' if count == 1 else 'rows'} {what}: {', '.join(ids)}{', …' * (count > SHOWN)}"
        for partition, count, ids in each.iter_rows()
    }


def nothing_usable(rows: pl.DataFrame, usable: pl.Expr, what: str) -> Problems:
    """Partitions that have rows, but no `usable` one."""
    each = rows.group_by("partition").agg(pl.len(), usable.sum().alias("usable")).filter(usable=0).sort("partition")
    return {partition: f"none of its {count} rows is {what}" for partition, count, _ in each.iter_rows()}


def repeated_ids(rows: pl.DataFrame) -> Problems:
    """Rows with the id of another row."""
    return named(rows.filter(pl.struct("partition", "row_id").is_duplicated()), "with the id of another")


def repeated_texts(rows: pl.DataFrame, text: pl.Expr, what: str) -> Problems:
    """Rows with the text of another row, in any partition."""
    return named(rows.filter(text.is_duplicated()), f"with {what} of another")


def unreadable(rows: pl.DataFrame, verdicts: pl.Expr, failed: pl.Expr, limit: float) -> Problems:
    """Partitions in which more than a share `limit` of the verdicts could not be read; both are counts per row."""
    each = rows.group_by("partition").agg(verdicts.sum().alias("of"), failed.sum().alias("failed"))
    above = each.filter(pl.col("failed") > limit * pl.col("of")).sort("partition")
    return {
        partition: f"{failed} of {of} verdicts could not be read; at most {limit:.0%} may be"
        for partition, of, failed in above.iter_rows()
    }


def shares(outcomes: pl.DataFrame, weights: Mapping[str, float] | None = None) -> Problems:
    """Battles whose local score is not the left side's share of the votes, and pairs that occur twice (METHOD 5).

    A row without a battle has a null `local_left`. With several kinds of votes, `weights` has the weight of one vote of each
    kind, and a column `from_KIND` the sum of that kind's votes. Where judges sit an exam, opinions weigh differently, and a
    column `opinions` has their number.
    """
    left, right, x = pl.col("votes_left"), pl.col("votes_right"), pl.col("local_left")
    total = left + right
    sums = {kind: pl.col(f"from_{kind}") for kind in weights} if weights else {OPINION: total}
    numbers = {kind: of_kind / (weights or {}).get(kind, 1.0) for kind, of_kind in sums.items()}
    opinions = numbers.setdefault(OPINION, pl.lit(0.0))
    if "opinions" in outcomes.columns:
        numbers[OPINION] = pl.col("opinions")
    number = pl.sum_horizontal(numbers.values())
    whole = pl.sum_horizontal(f"from_{kind}" for kind in weights) if weights else total
    share = pl.when(total > 0).then(left / total).otherwise(0.5)
    fought = outcomes.drop_nulls("local_left")
    is_share = (
        x.is_between(0, 1)
        & ((x - share).abs() <= WITHIN)
        & ((number - pl.col("decided") - pl.col("tie")).abs() <= WITHIN)
        & ((total - whole).abs() <= WITHIN)
        & ((opinions > 0) == (numbers[OPINION] > 0))
    )
    pair = pl.concat_list("left", "right").list.sort()
    return {
        **named(fought.filter(pl.struct("instruction_id", pair).is_duplicated()), "on a pair that occurs twice"),
        **named(fought.filter(~is_share.fill_null(False)), "where the local scores are not the shares of the votes"),
    }


def ratings(rated: pl.DataFrame, roster: Sequence[str], initial: float) -> Problems:
    """Ratings that are not one per competitor, or whose mean is not the initial rating (METHOD 5). No rows are no problem."""
    if rated.is_empty():
        return {}
    (partition,) = rated["partition"].unique()
    if sorted(rated["competitor"]) != sorted(roster):
        return {partition: f"ratings of {', '.join(sorted(rated['competitor']))}; expected one of each competitor"}
    surplus = float((rated["rating"] - initial).sum())
    if abs(surplus) <= WITHIN * len(roster) * max(1.0, abs(initial)):
        return {}
    return {partition: f"ratings add up to {surplus:+.6g} around {initial:g}, and not to zero: {', '.join(rated['row_id'])}"}


def scores(scored: pl.DataFrame) -> Problems:
    """Groups whose scores do not add up to the number of pairs, are outside 0 to n - 1, or whose gold answer is not their one
    best answer (METHOD 5).
    """
    of_group, score, n = "instruction_id", pl.col("score"), pl.len().over("instruction_id")
    best = score.max().over(of_group)
    sums = (score.sum().over(of_group) - n * (n - 1) / 2).abs() <= WITHIN * n
    inside = score.is_between(-WITHIN, n - 1 + WITHIN)
    gold = (pl.col("gold").sum().over(of_group) == 1) & (~pl.col("gold") | (score == best))
    return {
        **named(scored.filter(~gold.fill_null(False)), "of groups whose gold answer is not their one best"),
        **named(scored.filter(~inside.fill_null(False)), "with scores outside 0 to n - 1"),
        **named(scored.filter(~sums.fill_null(False)), "of groups whose scores do not add up to their number of pairs"),
    }


def not_the_best(rows: pl.DataFrame, scored: pl.DataFrame, answers: pl.DataFrame, kind: str) -> Problems:
    """Rows of a data set whose good answer is not good: for sft and dpo not the best of the instruction, for kto not above its
    group's mean. `answers` has the text of each `instruction_id` and `competitor`.
    """
    score, of_group = pl.col("score"), "instruction_id"
    good = score == score.max().over(of_group) if kind != "kto" else (score - score.mean().over(of_group)).round(9) > 0
    truth = scored.select("instruction_id", "competitor", good=good).join(answers, on=["instruction_id", "competitor"])
    by = "chosen_competitor" if kind == "dpo" else "competitor"
    turns = pl.col({"sft": "messages", "dpo": "chosen", "kto": "completion"}[kind])
    shown = rows.with_columns(shown=turns.list.last().struct.field("content"), competitor=pl.col(by))
    shown = shown.filter("label") if kind == "kto" else shown
    joined = shown.join(truth, on=["instruction_id", "competitor"], how="left")
    right = pl.col("good") & (pl.col("answer") == pl.col("shown"))
    return named(joined.filter(~right.fill_null(False)), "whose good answer is not the best one, or has changed")


def below(partitions: Sequence[str], reached: int, of: int, least: float, what: str) -> Problems:
    """All partitions if less than a share `least` of all rows reaches something. No rows are no problem."""
    if not of or reached >= least * of:
        return {}
    return dict.fromkeys(partitions, f"{reached} of {of} {what}; expected at least {least:.0%}")


def missing_labels(rows: pl.DataFrame) -> Problems:
    """Partitions of a KTO data set whose labels are all true or all false. No rows are no problem."""
    each = rows.group_by("partition").agg(pl.len(), pl.col("label").sum().alias("good")).sort("partition")
    return {
        partition: f"all {count} labels are {'true' if good else 'false'}: KTO needs desirable and undesirable answers"
        for partition, count, good in each.iter_rows()
        if good in (0, count)
    }
