"""Nothing that is passed on says where it was made."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from tests.conftest import MODELS, FinishedRun
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.identity import folder_identity
from warrior_dagster.report import page
from warrior_dagster.stages.export.assets import card_of
from warrior_dagster.stages.export.publishing import public, public_name, public_names

PRICES = {"input": 2.0, "output": 10.0}


def test_no_exported_file_and_no_report_holds_a_path_of_the_machine(finished_run: FinishedRun) -> None:
    arena = finished_run.arena
    files = [file for file in Path(arena.export.folder).rglob("*") if file.is_file()]
    assert {file.suffix for file in files} >= {".md", ".parquet", ".jsonl", ".html"}
    assert not any(str(MODELS).encode() in file.read_bytes() for file in files)
    assert not any(str(Path(arena.warehouse).parent).encode() in file.read_bytes() for file in files)
    card = (Path(arena.export.folder) / "sft" / "README.md").read_text("utf-8")
    model = arena.competitors[0].model
    assert f"{Path(model).name} ({folder_identity(model)})" in card


def test_no_card_and_no_report_says_how_models_are_served(make_arena: Callable[..., Arena]) -> None:
    service = {"kind": "chat", "urls": ["https://gpu7"], "served_model": "my-lora", "api_key_env": "MY_KEY", "logprobs": True}
    arena = make_arena(engine={"serve": {"kind": "vllm", "extra_args": ["--block-size", "32"]}, "max_in_flight": 77})
    values = arena.model_dump(mode="json")
    values["competitors"].append({"name": "dan", "model": "big", "serve": service | {"price_per_million_tokens": PRICES}})
    arena = Arena.model_validate(values)
    for text in (card_of(arena, "sft", pl.DataFrame(), {}, 0), json.dumps(page.shown_settings(arena))):
        assert "bootstrap_rounds" in text
        assert not [word for word in ("served_model", "gpu7", "my-lora", "MY_KEY", "block-size", "77", "price") if word in text]


def test_local_folders_and_files_have_their_name_and_identity_in_whatever_is_published(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    texts = tmp_path / "my texts.jsonl"
    texts.write_text("{}")
    values = finished_run.arena.model_dump(mode="json")
    values["analysis"]["references"] = [
        {"name": "mine", "source": str(texts)},
        {"name": "gone", "source": "/srv/gone set.json"},
    ]
    values["competitors"][1]["system_prompt"] = "/no_think List what is in /usr/bin/env and ~/x."
    arena = Arena.model_validate(values)
    shown = public(arena.model_dump(mode="json", exclude={"warehouse", "export"}), public_names(arena))
    text = json.dumps(shown)
    assert not any(place in text for place in (str(tmp_path), str(MODELS), "/srv"))
    assert shown["analysis"]["references"][0]["source"].startswith("my texts.jsonl (sha256 44136fa3")
    assert shown["analysis"]["references"][1]["source"] == "gone set.json"
    assert shown["competitors"][1]["system_prompt"] == values["competitors"][1]["system_prompt"]
    assert shown["embedding"]["model"] == public_name(arena.embedding.model)
    assert "all-MiniLM-L6-v2 (local@" in shown["embedding"]["model"]
    assert page.shown_settings(arena)["analysis"] == shown["analysis"]
