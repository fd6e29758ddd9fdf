"""The card of a data set, for the Hub and its readers."""

from typing import Any

import pytest
import yaml

from tests.stages.export.examples import ROWS, arena, card
from warrior_dagster.stages.export.sft import OF_INSTRUCTION


def test_the_card_is_read_by_the_hub_library() -> None:
    from huggingface_hub import DatasetCard

    data: dict[str, Any] = DatasetCard(card()).data.to_dict()  # type: ignore[no-untyped-call]
    assert data["license"] == "other"
    assert data["pretty_name"] == "Quick: #1"
    assert data["size_categories"] == ["1K<n<10K"]
    assert data["configs"][0]["data_files"] == [{"split": "train", "path": "train.parquet"}]


def test_the_card_has_models_counts_and_settings_but_no_address() -> None:
    text = card()
    assert "| a\\|b | tiny (local@0) | unknown | Apache-2.0 |" in text
    assert "| mined | 12,345 |" in text
    assert "gpu7" not in text
    assert "/srv" not in text
    fence = "`" * 5
    block = text.split(f"{fence}yaml\n")[1].split(f"\n{fence}\n")[0]
    assert yaml.safe_load(block)["system"] == "/no_think\n````\n# Not a heading"


def test_the_card_states_whether_answers_were_run_and_that_this_is_no_proof() -> None:
    unverified = "nothing was verified by execution"
    assert unverified in card()
    assert "tests" not in card()
    text = card(evidence=("execution", "opinion"))
    assert unverified not in text
    assert "does not mean that it was run or passed" in text
    assert text != card(evidence=("execution", "behaviour", "opinion"))
    without_judges = card(evidence=("execution", "behaviour"))
    assert unverified not in without_judges
    assert "preferences" not in without_judges


@pytest.mark.parametrize("kind", ["sft", "dpo", "kto"])
def test_every_format_has_language_and_difficulty_and_its_card_says_what_they_are(kind: str) -> None:
    rows = ROWS[kind](arena())
    assert {(row["language"], row["difficulty"]) for row in rows.to_dicts()} == {("Python", 7.0)}
    assert all(f"`{name}`" in card(kind) for name in OF_INSTRUCTION)


def test_a_kind_without_a_format_has_no_card() -> None:
    with pytest.raises(KeyError):
        card("grpo")
