"""`datasets` and TRL's trainers accept every export without changes."""

from pathlib import Path
from typing import Any

import pytest

from tests.stages.export.examples import ROWS, arena, card
from warrior_dagster.stages.export.files import write_dataset

TEMPLATED = {"sft": {"text"}, "dpo": {"prompt", "chosen", "rejected"}, "kto": {"prompt", "completion", "label"}}
PREPARED = {
    "sft": {"input_ids", "labels"},
    "dpo": {"prompt_ids", "chosen_ids", "rejected_ids"},
    "kto": {"prompt_ids", "completion_ids", "KL_completion_ids", "label"},
}


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and a temporary cache."""
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def load(kind: str, form: str, folder: Path) -> Any:
    """The exported rows, loaded with `datasets.load_dataset` as a user would."""
    import datasets

    paths = write_dataset(ROWS[kind](arena()), folder, kind, card(kind))
    if form == "folder":
        return datasets.load_dataset(paths["folder"], split="train")
    builder = {"parquet": "parquet", "jsonl": "json"}[form]
    return datasets.load_dataset(builder, data_files=paths[form], split="train")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("form", ["parquet", "jsonl", "folder"])
@pytest.mark.parametrize("kind", ROWS)
def test_datasets_loads_the_same_rows_from_either_file_and_the_folder(kind: str, form: str, tmp_path: Path) -> None:
    dataset = load(kind, form, tmp_path)
    assert dataset.to_list() == ROWS[kind](arena()).to_dicts()
    assert dataset.features == load(kind, "parquet", tmp_path / "again").features
    assert "large" not in str(dataset.features).lower()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("kind", ROWS)
def test_trl_detects_the_format_and_applies_a_chat_template(kind: str, tmp_path: Path, bundled_model: Path) -> None:
    from transformers import AutoTokenizer
    from trl.data_utils import apply_chat_template, is_conversational

    tokenizer = AutoTokenizer.from_pretrained(bundled_model)
    for example in load(kind, "parquet", tmp_path):
        assert is_conversational(example)
        templated = apply_chat_template(example, tokenizer)
        assert set(templated) == TEMPLATED[kind]
        if kind != "sft":
            assert templated["prompt"].endswith("<|im_start|>assistant\n")


def tiny_model(folder: Path, vocabulary: int) -> str:
    """A Llama with random weights on disk, so that trainers can load it again as the reference model."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("kind", ROWS)
def test_trainers_train_on_the_export(kind: str, tmp_path: Path, bundled_model: Path) -> None:
    import trl
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bundled_model)
    dataset = load(kind, "parquet", tmp_path)
    config = getattr(trl, f"{kind.upper()}Config")(
        output_dir=str(tmp_path / "run"),
        max_steps=1,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **({"train_sampling_strategy": "sequential"} if kind == "kto" else {}),
    )
    trainer = getattr(trl, f"{kind.upper()}Trainer")(
        model=tiny_model(tmp_path / "model", len(tokenizer)),
        args=config,
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    prepared = trainer.train_dataset
    assert len(prepared) == len(dataset)
    assert set(prepared.column_names) >= PREPARED[kind]
    assert all(len(row[name]) > 0 for row in prepared for name in PREPARED[kind] - {"label"})
    tokens = {"sft": "input_ids", "dpo": "chosen_ids", "kto": "completion_ids"}[kind]
    answer = {"sft": "messages", "dpo": "chosen", "kto": "completion"}[kind]
    for row, original in zip(prepared, dataset, strict=True):
        assert original[answer][-1]["content"].strip() in tokenizer.decode(row[tokens])
    assert trainer.train().training_loss > 0
