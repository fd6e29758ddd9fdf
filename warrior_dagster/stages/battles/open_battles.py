"""Which battles judges are asked about: all, or only those that the kinds of evidence before `opinion` leave open."""

from collections.abc import Iterable, Mapping

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import OPINION, Battles, votes_table
from warrior_dagster.stages.battles.outcomes import leads, preferring, vote_shares
from warrior_dagster.stages.battles.votes import VOTES_PER_BATTLE, check_votes
from warrior_dagster.warehouse.tables import Warehouse


def closing_kinds(settings: Battles) -> tuple[str, ...]:
    """The kinds of evidence that close battles to judges; none if these are asked about all."""
    return () if settings.opinions == "all" else settings.evidence[: settings.evidence.index(OPINION)]


def closing_tables(settings: Battles) -> list[str]:
    """The tables with the votes of these kinds."""
    return [votes_table(kind) for kind in closing_kinds(settings)]


def open_battles(pairs: pl.DataFrame, votes: Iterable[pl.DataFrame], settings: Battles) -> pl.DataFrame:
    """The battles of a matchup that judges are asked about, from the frame of `pairing.pairs` and the matchup's votes of the
    `closing_kinds`.

    If battles.opinions is `open`, those are left out that one of these kinds decides, by the rule of `weighted_outcomes`, and
    those between two answers of one text, which tie whatever is said of them.
    """
    kinds, battles = closing_kinds(settings), pairs.drop_nulls()
    if not kinds:
        return battles
    together = pl.concat([vote_shares(frame, settings.votes) for frame in votes]).sort("row_id")
    closed = leads(together, kinds).filter(preferring(kinds) != "")
    different = battles.filter(pl.col("answer_left") != pl.col("answer_right"))
    return different.join(closed, on="instruction_id", how="anti", maintain_order="left")


def read_open(arena: Arena, warehouse: Warehouse, battles: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """`open_battles` of each matchup. Raises LookupError, before judges are asked, if a battle lacks votes of an earlier kind
    on its present answers.
    """
    kinds = closing_kinds(arena.battles)
    votes = {kind: warehouse.read(votes_table(kind), list(battles)) for kind in kinds}
    found = {}
    for matchup, pairs in battles.items():
        own = {kind: rows.filter(partition=matchup) for kind, rows in votes.items()}
        for kind, rows in own.items():
            check_votes(pairs, rows, VOTES_PER_BATTLE[kind](arena, matchup), votes_table(kind))
        found[matchup] = open_battles(pairs, own.values(), arena.battles)
    return found
