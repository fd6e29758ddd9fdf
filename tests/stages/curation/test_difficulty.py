import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.stages import Difficulty
from warrior_dagster.inference.request import Completion
from warrior_dagster.stages.curation.difficulty import BANDS, difficulty, score_of

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
    (row,) = difficulty(instruction, ratings, keep).to_dicts()
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
