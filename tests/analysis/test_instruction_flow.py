"""The funnel and the bands: every instruction is counted once."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.analysis.instruction_flow import BAND_NAMES, difficulty_bands, funnel

NAMES = st.sampled_from(["ann", "bob"])


@given(st.lists(NAMES, max_size=20), st.lists(st.integers(0, 20), max_size=4))
def test_kept_and_dropped_rows_add_up_to_those_of_the_previous_stage(names: list[str], cuts: list[int]) -> None:
    frames = {"mined": pl.DataFrame({"competitor": names}, schema={"competitor": pl.String})}
    for number, cut in enumerate(sorted(cuts, reverse=True)):
        frames[f"stage {number}"] = frames["mined"].head(cut)
    rows = funnel(frames, dict.fromkeys(frames, "because"))
    for name in {"", *names}:
        own = rows.filter(competitor=name).sort("step")
        assert own["rows"].to_list() == [len(f) if name == "" else f.filter(competitor=name).height for f in frames.values()]
        assert own["dropped"].to_list() == [0, *(-own["rows"].diff()).to_list()[1:]]
        assert own.filter(pl.col("dropped") == 0)["why"].unique().to_list() in ([""], [])
    total = rows.filter(competitor="")["rows"].to_list()
    parts = rows.filter(pl.col("competitor") != "").group_by("step").agg(pl.col("rows").sum()).sort("step")["rows"].to_list()
    assert not names or total == parts


@given(st.lists(st.tuples(NAMES, st.sampled_from(BAND_NAMES)), max_size=30))
def test_the_bands_of_a_competitor_add_up_to_its_instructions(rated: list[tuple[str, str]]) -> None:
    schema = {"competitor": pl.String, "band": pl.String}
    rows = difficulty_bands(pl.DataFrame(rated, schema=schema, orient="row"))
    for name in {name for name, _ in rated}:
        own = rows.filter(competitor=name)
        assert own["band"].to_list() == list(BAND_NAMES)
        assert own["instructions"].to_list() == [rated.count((name, band)) for band in BAND_NAMES]
        assert own["share"].sum() == pytest.approx(1)
    assert rows["competitor"].n_unique() == len({name for name, _ in rated})
