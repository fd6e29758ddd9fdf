"""A competitor whose files raise anything fails by name, and the others get their rows."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.broken_models import BOMB, BREAKS, REFUSES_A_TEXT, broken, copied
from tests.conftest import scripted_engines
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.dispatch import DispatchResult, dispatch
from warrior_dagster.stages.battles import answering

LOG = logging.getLogger("test")
INSTRUCTIONS = pl.DataFrame(
    {"row_id": ["1", "2"], "instruction_id": ["1", "2"], "instruction": ["Sort a list.", f"Now {BOMB}."]}
)


def answered(arena: Arena, *names: str) -> DispatchResult:
    with scripted_engines(arena, [], []) as engines:
        return answering.answer(arena, engines, INSTRUCTIONS, names, LOG)


def arena_with(make_arena: Callable[..., Arena], model: Path, bad: Path, **of_bad: Any) -> Arena:
    """Ann and cyd, who are sound, and bob, whose model is `bad`."""
    models = {"ann": {"model": str(model)}, "bob": {"model": str(bad)} | of_bad, "cyd": {"model": str(model)}}
    return make_arena(competitors=[{"name": name} | values for name, values in models.items()])


@pytest.mark.parametrize("fault", BREAKS)
def test_a_model_whose_files_are_broken_fails_its_competitor_alone(
    make_arena: Callable[..., Arena], bundled_model: Path, tmp_path: Path, fault: str
) -> None:
    arena = arena_with(make_arena, bundled_model, broken(bundled_model, tmp_path / "bad", fault))
    result = answered(arena, "ann", "bob", "cyd")
    assert {(row["competitor"], row["status"]) for row in result.rows} == {("ann", "ok"), ("cyd", "ok")}
    assert set(result.failures) == {"bob"}
    assert str(tmp_path / "bad") in result.failures["bob"]
    assert BREAKS[fault][1] in result.failures["bob"]
    assert "\n" not in result.failures["bob"]


def test_a_template_that_refuses_one_text_does_not_stop_those_who_share_the_model(
    make_arena: Callable[..., Arena], bundled_model: Path, tmp_path: Path
) -> None:
    folder = copied(bundled_model, tmp_path / "picky")
    (folder / "chat_template.jinja").write_text(REFUSES_A_TEXT)
    arena = make_arena(competitors=[{"name": n, "model": str(folder)} for n in ("ann", "bob", "cyd")])
    harmless = INSTRUCTIONS.filter(row_id="1")
    with scripted_engines(arena, [], []) as engines:
        asked = {"ann": INSTRUCTIONS, "bob": harmless, "cyd": harmless}
        result = dispatch(
            arena,
            engines,
            asked,
            lambda one: answering.requests(one, asked[one.name], arena.answers.sampling),
            answering.read,
            engines.progress("answers", 4, LOG),
        )
    assert set(result.failures) == {"ann"}
    assert "TypeError" in result.failures["ann"]
    assert {row["competitor"] for row in result.rows if row["competitor"] != "ann"} == {"bob", "cyd"}


def test_a_system_prompt_that_a_template_refuses_fails_before_anything_is_sent(
    make_arena: Callable[..., Arena], bundled_model: Path, tmp_path: Path
) -> None:
    folder = copied(bundled_model, tmp_path / "picky")
    (folder / "chat_template.jinja").write_text(REFUSES_A_TEXT)
    arena = arena_with(make_arena, bundled_model, folder, system_prompt=f"You {BOMB}.")
    result = answered(arena, "bob")
    assert "TypeError" in result.failures["bob"]
    assert result.usage == {}
