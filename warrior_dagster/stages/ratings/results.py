"""Competitors by their results alone: a numbering that depends on no name and on no order."""

from collections.abc import Sequence
from itertools import groupby

import polars as pl

from warrior_dagster.stages.ratings.elo import WINNER_OF_OUTCOME, count_outcomes

Results = dict[tuple[int, int], tuple[int, int, int]]
"""For each ordered pair that met, the first one's wins, ties and losses."""


def by_results(battles: pl.DataFrame, competitors: Sequence[str]) -> tuple[pl.DataFrame, list[str], list[list[str]]]:
    """The battles, sorted and with the earlier competitor at the left; the competitors, sorted by their results; and the groups
    of them that results cannot tell apart.

    Competitors are sorted by their results against each opponent, then by those of the opponents, and so on (colour
    refinement). Where this leaves several equal, as with two that won and lost alike, one of them is put first and the others
    are sorted again. So battles that differ in names, in the order of competitors or rows, or in sides are the same after this
    but for the names. Raises as `elo.elo`.
    """
    results = results_of(battles, competitors)
    equal = refined([0] * len(competitors), results)
    colours = equal
    while len(set(colours)) < len(colours):
        first = next(i for i in sorted(range(len(colours)), key=colours.__getitem__) if colours.count(colours[i]) > 1)
        colours = refined([2 * colour + (colour == colours[first] and i != first) for i, colour in enumerate(colours)], results)
    order = sorted(range(len(colours)), key=colours.__getitem__)
    ordered = [competitors[i] for i in order]
    left, right = (pl.col(side).cast(pl.Enum(ordered)).to_physical() for side in ("left", "right"))
    oriented = battles.select(
        left=pl.when(left < right).then("left").otherwise("right"),
        right=pl.when(left < right).then("right").otherwise("left"),
        outcome=pl.when(left < right).then("outcome").otherwise(1.0 - pl.col("outcome")),
    ).sort(left, right, "outcome")
    return oriented, ordered, [[competitors[i] for i in group] for _, group in groupby(order, key=equal.__getitem__)]


def results_of(battles: pl.DataFrame, competitors: Sequence[str]) -> Results:
    """The results of each pair, from both sides."""
    results: dict[tuple[int, int], list[int]] = {}
    place = {winner: number for number, winner in enumerate(WINNER_OF_OUTCOME.values())}
    for left, right, winner, count in count_outcomes(battles, competitors).iter_rows():
        results.setdefault((left, right), [0, 0, 0])[place[winner]] += count
        results.setdefault((right, left), [0, 0, 0])[2 - place[winner]] += count
    return {pair: (counts[0], counts[1], counts[2]) for pair, counts in results.items()}


def refined(colours: list[int], results: Results) -> list[int]:
    """The colours, split until competitors of one colour have the same results against each colour."""
    while True:
        against: list[list[tuple[int, tuple[int, int, int]]]] = [[] for _ in colours]
        for (a, b), counts in results.items():
            against[a].append((colours[b], counts))
        signatures = [(colour, sorted(own)) for colour, own in zip(colours, against, strict=True)]
        ranked = sorted(signatures)
        found = [ranked.index(signature) for signature in signatures]
        if len(set(found)) == len(set(colours)):
            return found
        colours = found
