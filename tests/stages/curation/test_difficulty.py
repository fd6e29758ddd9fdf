import logging
import math
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import scripted_engines
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.stages import Difficulty
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.stages.curation.difficulty import BANDS, difficulty, rate, score_of, topic_of

REASONED = Difficulty.model_validate({})
DIRECT = Difficulty.model_validate({"verdict": "direct"})


@pytest.mark.parametrize(
    ("text", "score"),
    [("Good.\n[[7]]", 7.0), ("[[10]]", 10.0), ("[[ 6.5 ]]", 6.5), ("[[0]]", None), ("[[11]]", None), ("7", None)],
)
def test_a_reasoned_score_is_read_from_the_last_line(text: str, score: float | None) -> None:
    found, reason = score_of(Completion("k", 0, text, "stop"), REASONED)
    assert found == score
    assert bool(reason) == (score is None)


@given(st.lists(st.floats(0.01, 1.0), min_size=10, max_size=10))
def test_a_direct_score_is_the_expected_value_under_the_digit_probabilities(weights: list[float]) -> None:
    logprobs = {str(d): math.log(w) for d, w in enumerate(weights)}
    score, _ = score_of(Completion("k", 0, "5", "stop", logprobs=logprobs), DIRECT)
    assert score == pytest.approx(sum((d + 1) * w for d, w in enumerate(weights)) / sum(weights))


def rated(*scores: float | None, keep: float = 6.0) -> dict[str, object]:
    instruction = pl.DataFrame(
        {"row_id": ["i"], "instruction_id": ["i"], "competitor": ["a"], "language": ["Python"], "instruction": ["x"]}
    )
    ratings = [
        {
            "instruction_id": "i",
            "judge": f"j{n}",
            "score": s,
            "reason": "" if s else "why",
            "text": "t",
            "completion_key": "k",
        }
        for n, s in enumerate(scores)
    ]
    (row,) = difficulty(instruction, ratings, Difficulty(keep=keep)).to_dicts()
    return row


@pytest.mark.parametrize(
    ("score", "band"),
    [
        (10, "excellent"),
        (9, "excellent"),
        (8, "good"),
        (6, "good"),
        (5, "average"),
        (3, "average"),
        (2, "poor"),
        (1, "poor"),
    ],
)
def test_bands_are_those_of_the_method(score: float, band: str) -> None:
    assert rated(score)["band"] == band
    assert len(BANDS) == 4


def test_a_panels_score_is_the_mean_without_abstentions() -> None:
    row = rated(4.0, None, 9.0)
    assert (row["score"], row["scored_by"], row["abstained"], row["kept"]) == (6.5, 2, 1, True)
    assert [r["reason"] for r in row["ratings"]] == ["", "why", ""]  # type: ignore[attr-defined]


def test_the_threshold_itself_is_kept() -> None:
    assert rated(6.0)["kept"]
    assert not rated(5.99)["kept"]


def test_an_unscored_instruction_is_not_kept() -> None:
    row = rated(None, None)
    assert (row["score"], row["band"], row["kept"]) == (None, "unrated", False)


@pytest.mark.parametrize(("text", "found"), [("Code.\n[[Yes]]", 1.0), ("[[no]]", 0.0), ("[[Maybe]]", None), ("Yes", None)])
def test_a_reasoned_topic_is_read_from_the_last_line(text: str, found: float | None) -> None:
    on_topic, reason = topic_of(Completion("k", 0, text, "stop"), REASONED)
    assert on_topic == found
    assert bool(reason) == (found is None)


def test_a_direct_topic_is_the_probability_of_yes() -> None:
    logprobs = {"Y": math.log(0.6), "N": math.log(0.2)}
    assert topic_of(Completion("k", 0, "Y", "stop", logprobs=logprobs), DIRECT)[0] == pytest.approx(0.75)


def instructions(count: int) -> pl.DataFrame:
    columns = {"row_id": [f"{i:02}" for i in range(count)], "competitor": ["ann", "bob"] * (count // 2)}
    frame = pl.DataFrame(columns).with_columns(instruction_id="row_id", language=pl.lit("Python"))
    return frame.with_columns(instruction=pl.format("What about {}?", "row_id"))


def choices(log: list[Request]) -> list[str]:
    return ["topic" if "about programming?" in request.prompt else "score" for request in log]


@pytest.mark.parametrize("panel", [1, 2])
def test_what_the_panel_calls_off_topic_is_dropped_with_the_reason_and_never_rated(
    make_arena: Callable[..., Arena], panel: int
) -> None:
    values = {"verdict": "direct", "keep": 1.0, "off_topic": "drop", "panel": panel}
    arena, log = make_arena(difficulty=values), list[Request]()
    unique = instructions(20)
    with scripted_engines(arena, log, []) as engines:
        result = rate(arena, engines, unique, logging.getLogger())
    rows = difficulty(unique, result.rows, arena.difficulty)
    off = rows.filter(pl.col("on_topic") < 0.5)
    assert 0 < len(off) < 20
    assert choices(log).count("topic") == 20 * panel
    assert choices(log).count("score") == (20 - len(off)) * panel
    rated = [request.prompt for request in log if choices([request]) == ["score"]]
    assert not any(f"about {one}?" in prompt for one in off["row_id"] for prompt in rated)
    assert off["kept"].sum() == 0
    assert off["scored_by"].unique().to_list() == [0]
    for ratings in off["ratings"]:
        assert [r["score"] for r in ratings] == [None] * panel
        assert all(r["reason"].startswith("about programming with a probability of 0.") for r in ratings)
        assert all(r["completion_key"] for r in ratings)
    assert rows.filter(pl.col("on_topic") >= 0.5)["kept"].all()


def test_an_instruction_without_a_verdict_on_its_topic_is_rated() -> None:
    settings = Difficulty.model_validate({"off_topic": "drop"})
    silent = {"instruction_id": "00", "judge": "bob", "reason": "cut off", "on_topic": None, "score": None}
    scored = {"instruction_id": "00", "judge": "bob", "reason": "", "on_topic": None, "score": 7.0}
    (row,) = difficulty(instructions(2).head(1), [silent, scored], settings).to_dicts()
    assert (row["on_topic"], row["score"], row["abstained"], row["kept"]) == (None, 7.0, 1, True)


def test_by_default_nothing_is_asked_about_the_topic_and_no_column_is_added(make_arena: Callable[..., Arena]) -> None:
    arena, log = make_arena(), list[Request]()
    with scripted_engines(arena, log, []) as engines:
        result = rate(arena, engines, instructions(4), logging.getLogger())
    assert choices(log) == ["score"] * 4
    assert "on_topic" not in difficulty(instructions(4), result.rows, arena.difficulty).columns
