"""Selection of each competitor's instructions by k-centre-greedy, in roster order (METHOD, section 3)."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from warrior_dagster.config.stages import Selection
from warrior_dagster.stages.curation.columns import RATED
from warrior_dagster.stages.curation.covering import Points
from warrior_dagster.stages.curation.kcenter import k_center_in_parts


def select_centres(
    instructions: pl.DataFrame,
    roster: Sequence[str],
    settings: Selection,
    vectors: Callable[[str, pl.DataFrame], Points],
    device: str = "cpu",
) -> pl.DataFrame:
    """Select each competitor's centres, in order of choice (`rank`), starting from those of the earlier competitors.

    Adding a competitor to the end of `roster` changes no earlier row. `vectors(competitor, rows)` returns the vectors of some
    rows of a competitor; the rows are sorted by id.
    """
    given, parts = None, list[pl.DataFrame]()
    for name in roster:
        own = instructions.filter(competitor=name).sort("row_id")

        def read(first: int, last: int, name: str = name, own: pl.DataFrame = own) -> Points:
            return vectors(name, own[first:last])

        chosen, radii, points = k_center_in_parts(read, len(own), settings.centres, given, settings.part_rows, device)
        given = points if given is None else np.concatenate([given, points])
        rank, radius = pl.Series("rank", range(len(chosen)), pl.Int64), pl.Series("radius", radii, pl.Float64)
        parts.append(own[chosen.tolist()].select(RATED).with_columns(rank, radius))
    return pl.concat(parts)
