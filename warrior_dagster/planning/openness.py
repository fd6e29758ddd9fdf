"""Which battles need opinions if judges are only asked about those that running code leaves open, as far as that is known."""

from typing import NamedTuple

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.planning.known_votes import Known, known_votes
from warrior_dagster.stages.battles.open_battles import closing_kinds, open_battles
from warrior_dagster.warehouse.tables import Warehouse

AT_MOST = "at most, as some of these battles may need none"


class Openness(NamedTuple):
    """The battles with two answers, by matchup."""

    open: dict[str, pl.DataFrame]
    """Those that judges are asked about."""
    unknown: dict[str, pl.DataFrame]
    """Those of which not all is known that running code will say, so that they may need no opinion."""
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


def openness(arena: Arena, warehouse: Warehouse, battles: dict[str, pl.DataFrame], known: Known) -> Openness:
    """Divides battles, the frames of `pairing.pairs` by matchup, by the votes of earlier evidence that are known."""
    if not closing_kinds(arena.battles):
        return Openness(battles, {}, 0)
    decided, votes = known_votes(arena, warehouse, battles, known)
    to_ask, unknown, closed = dict[str, pl.DataFrame](), dict[str, pl.DataFrame](), 0
    for matchup, pairs in battles.items():
        fought = pairs.drop_nulls()
        different = fought.filter(pl.col("answer_left") != pl.col("answer_right"))
        met, missing = (
            different.join(decided, on="instruction_id", how=how, maintain_order="left") for how in ("semi", "anti")
        )
        to_ask[matchup] = open_battles(met, votes[matchup], arena.battles)
        if len(missing):
            unknown[matchup] = missing
        closed += len(fought) - len(to_ask[matchup]) - len(missing)
    return Openness(to_ask, unknown, closed, AT_MOST)
