"""Which battles need opinions if judges are only asked about those that running code leaves open, as far as that is known."""

from typing import NamedTuple

import polars as pl

from warrior_dagster.config.battles import Battles
from warrior_dagster.stages.battles.open_battles import BATTLE, closing_tables, open_battles
from warrior_dagster.warehouse.tables import Warehouse

AT_MOST = "at most, as some of these battles may need none"


class Openness(NamedTuple):
    """The battles with two answers, by matchup."""

    open: dict[str, pl.DataFrame]
    """Those that judges are asked about."""
    unknown: dict[str, pl.DataFrame]
    """Those whose answers have not met the tests yet, so that they may need no opinion."""
    closed: int
    """The number of the others."""
    how: str = ""
    """The basis of estimates, where not all battles need opinions."""

    @property
    def saves(self) -> str:
        """What the closed ones save, in words; empty without any."""
        if not self.closed:
            return ""
        need = "1 battle needs" if self.closed == 1 else f"{self.closed} battles need"
        return f"{need} no opinion: running code decides, or both answers are the same"


def openness(warehouse: Warehouse, battles: dict[str, pl.DataFrame], settings: Battles) -> Openness:
    """Divides battles, the frames of `pairing.pairs` by matchup, by the votes of earlier evidence in the warehouse."""
    tables = closing_tables(settings)
    if not tables:
        return Openness(battles, {}, 0)
    votes = {table: warehouse.read_existing(table, battles) for table in tables}
    known, unknown, closed = dict[str, pl.DataFrame](), dict[str, pl.DataFrame](), 0
    for matchup, pairs in battles.items():
        fought = pairs.drop_nulls()
        different = met = fought.filter(pl.col("answer_left") != pl.col("answer_right"))
        own = [rows.filter(partition=matchup) for rows in votes.values() if rows is not None]
        for rows in own:
            met = met.join(rows, on=BATTLE, how="semi", maintain_order="left")
        met = met if len(own) == len(tables) else met.clear()
        known[matchup] = open_battles(met, own, settings) if len(met) else met
        if len(missing := different.join(met, on="instruction_id", how="anti", maintain_order="left")):
            unknown[matchup] = missing
        closed += len(fought) - len(known[matchup]) - len(missing)
    return Openness(known, unknown, closed, AT_MOST)
