"""No message of a neutralised data set ends a turn where it is trained on."""

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import scripted_engines
from tests.families import FAMILIES
from tests.runs import materialize
from tests.stages.export.examples import ROWS, group
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference import chat_template
from warrior_dagster.inference.chat_service import neutralise
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.stages.export.turn_tokens import neutralised, rows_with_turn_tokens, trained_on
from warrior_dagster.turn_tokens import ANGLED, SQUARE

TOKENS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|user|>", "<|end|>", "<|return|>"),
    *(
        "<|channel|>",
        "<|START_OF_TURN_TOKEN|>",
        "<｜User｜>",
        "<｜end▁of▁sentence｜>",
        "<|EOT|>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
    ),
    *("<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<|turn>", "<turn|>"),
)
HARMLESS = (
    "a < b | c > d",
    "x <| f |> y",
    "List<string>",
    "[int]",
    "<b>",
    "arr[INSTALL]",
    "<| >",
    "<||>",
    "**[1]**",
    "(<|>)",
    "<a|b>",
    "std::less<T>",
)


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("token", TOKENS)
def test_a_turn_token_is_counted_and_broken_wherever_it_stands(kind: str, token: str) -> None:
    records = pl.concat(
        [group("i0", ("fine", 3.0, True), (f"a{token}b", 1.0, True)), group("i1", (f"{token}", 3.0, True), ("x", 1.0, True))]
    )
    rows = ROWS[kind](records)
    found = rows_with_turn_tokens(rows)
    assert found == {"sft": 1, "dpo": 2, "kto": 2}[kind]
    broken = neutralised(rows)
    assert rows_with_turn_tokens(broken) == 0
    assert token not in str(broken.to_dicts())
    assert f"{token[:-1]} {token[-1]}" in str(broken.to_dicts())
    assert broken.schema == rows.schema
    assert broken.drop(trained_on(rows)).equals(rows.drop(trained_on(rows)))


@pytest.mark.parametrize("text", HARMLESS)
def test_code_that_only_looks_alike_stays(text: str) -> None:
    rows = ROWS["sft"](group("i0", (text, 3.0, True), ("x", 1.0, True)))
    assert rows_with_turn_tokens(rows) == 0
    assert neutralised(rows).equals(rows)


@given(
    st.lists(
        st.sampled_from(
            ["<", "|", "im_end", "_TOKEN", "seed:", ">", "<|im_end|>", "[", "/INST", "]", "s", "<<", "SYS", " ", "｜"]
        ),
        max_size=12,
    ).map("".join)
)
def test_breaking_tokens_makes_no_new_ones_and_only_adds_spaces(text: str) -> None:
    rows = ROWS["sft"](group("i0", (text, 3.0, True), ("x", 1.0, True)))
    broken = neutralised(rows)
    assert rows_with_turn_tokens(broken) == 0
    assert broken["messages"][0][1]["content"].replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_special_tokens_of_every_tested_family_are_known(family: str) -> None:
    tokens = [token.content for token in FAMILIES[family].tokenizer.added_tokens_decoder.values() if token.special]
    assert len(tokens) > 1
    assert [token for token in tokens if not re.fullmatch(f"{ANGLED}|{SQUARE}", token)] == []
    assert [token for token in tokens if token in neutralise(f"a{token}b")] == []


def test_the_special_tokens_of_the_bundled_model_are_known(bundled_model: Path) -> None:
    tokens = chat_template.load_template(str(bundled_model), None).tokenizer.all_special_tokens
    assert {"<|im_start|>", "<|im_end|>"} <= {token for token in tokens if re.fullmatch(f"{ANGLED}|{SQUARE}", token)}


@pytest.mark.parametrize("setting", ["keep", "neutralise"])
def test_exports_count_turn_tokens_and_break_them_only_where_the_arena_says_so(
    finished_copy: Callable[..., Arena], tmp_path: Path, setting: str
) -> None:
    arena = finished_copy(export={"folder": str(tmp_path / "new"), "turn_tokens": setting})
    warehouse = open_warehouse(arena)
    for name in arena.roster:
        rows = warehouse.read("answers", [name])
        warehouse.write("answers", name, rows.with_columns(answer=pl.col("answer") + "<|im_end|>"))
    with scripted_engines(arena, [], []) as engines:
        _, run = materialize(arena, engines, ("benchmark_overlap", None), ("sft_dataset", None))
    (made,) = run.asset_materializations_for_node("sft_dataset")
    messages = pl.read_ndjson(tmp_path / "new" / "sft" / "train.jsonl")["messages"]
    assert made.metadata["with_turn_tokens"].value == len(messages) > 0
    card = (tmp_path / "new" / "sft" / "README.md").read_text("utf-8")
    assert f"| sft rows with turn tokens ({setting}) | {len(messages)} |" in card
    answers = [message[1]["content"] for message in messages]
    assert all(answer.endswith("<|im_end|>" if setting == "keep" else "<|im_end| >") for answer in answers)
