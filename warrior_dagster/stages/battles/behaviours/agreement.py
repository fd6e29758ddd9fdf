"""How far answers agree on what they return. An exception, or a value that is not plain, agrees with nothing."""

from collections.abc import Mapping

import polars as pl

from warrior_dagster.stages.battles.sandbox_runs import NEEDS_MODULE, NOT_RUN

RETURNED = "returned"
"""The outcome of an input on which an answer returned a plain value, the same twice."""
PAIRS = {
    **dict.fromkeys(("instruction_id", "one", "other"), pl.String),
    "agreement": pl.Float64,
    "inputs": pl.Int64,
}


def agreement(one: Mapping[str, str | None], other: Mapping[str, str | None]) -> float | None:
    """The share of all inputs of two answers on which both returned the same plain value; None if there is no input.

    Each answer is given as the text of what it returned by input, None where it returned no plain value.
    """
    inputs = one.keys() | other.keys()
    same = sum(one.get(i) is not None and one.get(i) == other.get(i) for i in inputs)
    return same / len(inputs) if inputs else None


def agreements(observed: pl.DataFrame) -> pl.DataFrame:
    """The agreement of every two answers to an instruction: a row of PAIRS in each direction, in the order of its keys.

    `observed` has a row per answer and input: instruction_id, competitor, input, outcome and value.
    """
    seen = observed.select(
        "instruction_id", "input", name="competitor", value=pl.when(pl.col("outcome") == RETURNED).then("value")
    )
    counts = seen.group_by("instruction_id", "name").len()
    pairs = counts.join(counts, on="instruction_id", suffix="_other").filter(pl.col("name") != pl.col("name_other"))
    shared = (
        seen.join(seen, on=["instruction_id", "input"], suffix="_other")
        .group_by("instruction_id", "name", "name_other")
        .agg(shared=pl.len(), same=(pl.col("value") == pl.col("value_other")).sum())
    )
    found = pairs.join(shared, on=["instruction_id", "name", "name_other"], how="left")
    found = found.with_columns(pl.col("shared", "same").fill_null(0).cast(pl.Int64), pl.col("^len.*$").cast(pl.Int64))
    inputs = pl.col("len") + pl.col("len_other") - pl.col("shared")
    return found.select(
        "instruction_id", one="name", other="name_other", agreement=pl.col("same") / inputs, inputs=inputs
    ).sort("instruction_id", "one", "other")  # fmt: skip


def with_agreement(outcomes: pl.DataFrame, observed: pl.DataFrame, left: str, right: str) -> pl.DataFrame:
    """The battles of a matchup with the `agreement` of the two answers, null where it is unknown: one of them was run on no
    input, or needs a module that the sandbox does not have, or neither returned a plain value on any input.
    """
    known = ~((pl.col("outcome") == NOT_RUN).all() | (pl.col("outcome") == NEEDS_MODULE).any())
    both = observed.filter(pl.col("competitor").is_in([left, right]), known.over("instruction_id", "competitor"))
    comparable = (pl.col("outcome") == RETURNED).any().over("instruction_id")
    pairs = agreements(both.filter(comparable)).filter(one=left)
    return outcomes.join(pairs.select("instruction_id", "agreement"), on="instruction_id", how="left", maintain_order="left")


def with_peers(observed: pl.DataFrame) -> pl.DataFrame:
    """The rows of `agreements` whose `other` is a peer. An answer that returned no plain value on any input is nobody's peer:
    it says nothing about the others.
    """
    peers = observed.filter(outcome=RETURNED).select("instruction_id", other="competitor").unique()
    return agreements(observed).join(peers, on=["instruction_id", "other"])


def with_others(observed: pl.DataFrame) -> pl.DataFrame:
    """The mean agreement of each answer with the others to its instruction: instruction_id, competitor, agreement, peers.

    `observed` is that of `agreements`. `agreement` is null without peers.
    """
    means = with_peers(observed).group_by("instruction_id", competitor="one").agg(
        agreement=pl.col("agreement").sort_by("other").mean(), peers=pl.len().cast(pl.Int64)
    )  # fmt: skip
    return (
        observed.select("instruction_id", "competitor")
        .unique()
        .join(means, on=["instruction_id", "competitor"], how="left")
        .with_columns(pl.col("peers").fill_null(0))
        .sort("instruction_id", "competitor")
    )


def with_third(pairs: pl.DataFrame, left: str, right: str, weights: Mapping[str, float]) -> pl.DataFrame:
    """The mean agreement of two sides with the same third answers: instruction_id, left, right, peers.

    `pairs` has rows of `with_peers`, and `weights` one weight of each third competitor for both sides. So two answers that
    return the same have the same mean, whoever gave them. An instruction without a third answer has no row.
    """
    one, other = (pairs.filter(one=name).select("instruction_id", "other", "agreement") for name in (left, right))
    third = one.join(other, on=["instruction_id", "other"], suffix="_right").sort("other")
    weight = pl.col("other").replace_strict(weights, return_dtype=pl.Float64)
    left_mean, right_mean = ((pl.col(name) * weight).sum() / weight.sum() for name in ("agreement", "agreement_right"))
    means = third.group_by("instruction_id", maintain_order=True)
    return means.agg(left=left_mean, right=right_mean, peers=pl.len().cast(pl.Int64))


def by_model(observed: pl.DataFrame, models: Mapping[str, str]) -> dict[str, float | int | None]:
    """The mean agreement of two answers of one model and of two models, and the number of pairs of each; None without any.

    `models` has the model of each competitor. Answers that returned no plain value are left out. If answers of one model agree
    much more than those of two, they may agree because they share mistakes.
    """
    speaks = (pl.col("outcome") == RETURNED).any().over("instruction_id", "competitor")
    pairs = agreements(observed.filter(speaks)).filter(pl.col("one") < pl.col("other"))
    same = pl.col("one").replace_strict(models, return_dtype=pl.String) == pl.col("other").replace_strict(
        models, return_dtype=pl.String
    )
    found = dict[str, float | int | None]()
    for name, shares in {"within_models": pairs.filter(same), "between_models": pairs.filter(~same)}.items():
        found[f"agreement_{name}"] = float(shares["agreement"].sum()) / len(shares) if len(shares) else None
        found[f"pairs_{name}"] = len(shares)
    return found
