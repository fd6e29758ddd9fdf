"""The instructions that are still to come: as many as so far, if there are any to go by, and as many as there can be."""

from collections import Counter
from math import ceil
from typing import NamedTuple

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.stages.curation import embedding, selection
from warrior_dagster.stages.curation.assets import instruction_embeddings
from warrior_dagster.warehouse.tables import Warehouse


class ToCome(NamedTuple):
    """The number of further instructions of each attacker."""

    expected: Counter[str]
    most: Counter[str]
    """If all of them pass every stage; at least the expected number."""

    def plus(self, known: Counter[str]) -> "ToCome":
        """These and known ones that are still to pass a stage."""
        return ToCome(self.expected + known, self.most + known)


def passed_on(to_come: ToCome, passed: int, known: int, what: str) -> tuple[ToCome, str]:
    """The further instructions that pass a stage, by the share that passed so far, and the text of that basis."""
    if not to_come.most.total():
        return to_come, ""
    share, how = (passed / known, f"as {passed} of {known} {what} so far") if known else (1.0, f"at most, if all {what}")
    return ToCome(Counter({name: ceil(count * share) for name, count in to_come.expected.items()}), to_come.most), how


def centres(arena: Arena, warehouse: Warehouse, kept: pl.DataFrame, to_come: ToCome) -> tuple[pl.DataFrame, ToCome, str]:
    """The known selected instructions, the number of further ones of each competitor, and that estimate's basis.

    Instructions without a vector count as further ones, which get their share of a competitor's centres.
    """
    embedded = kept.join(vectors(arena, warehouse), on=["instruction_id", "instruction"], maintain_order="left")
    to_embed = kept.join(embedded, on="instruction_id", how="anti")["competitor"].to_list()
    how = f"{len(to_embed)} instructions are still to be embedded and selected from" if to_embed else ""
    to_come, limit = to_come.plus(Counter(to_embed)), arena.selection.centres
    most = Counter({name: min(limit, count) for name, count in to_come.most.items()})
    if embedded.is_empty():
        return kept.clear(), ToCome(Counter({name: min(limit, n) for name, n in to_come.expected.items()}), most), how
    chosen = selection.select_centres(embedded, arena.roster, arena.selection, lambda _, rows: rows["vector"].to_numpy())
    parts, new = [], Counter[str]()
    for name in arena.roster:
        known, further = len(embedded.filter(competitor=name)), to_come.expected[name]
        size = min(limit, known + further)
        new[name] = ceil(size * further / max(known + further, 1))
        parts.append(chosen.filter(competitor=name).head(size - new[name]))
    return pl.concat(parts), ToCome(new, most), how


def vectors(arena: Arena, warehouse: Warehouse) -> pl.DataFrame:
    """All vectors of the arena's embedder, also those under the old name of a renamed competitor."""
    columns = ["instruction_id", "instruction", "vector"]
    if "embedder" not in warehouse.columns(instruction_embeddings.name):
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return (
        warehouse.read(instruction_embeddings.name, None, [*columns, "embedder"])
        .filter(embedder=embedding.embedder_name(arena.embedding))
        .select(columns)
        .unique(columns[:2], maintain_order=True)
    )
