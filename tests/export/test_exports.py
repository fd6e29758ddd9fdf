"""What is exported, how it lies on disk, and that TRL's trainers take it as it is."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.export import files
from warrior_dagster.export.card import dataset_card
from warrior_dagster.export.dpo import dpo_rows
from warrior_dagster.export.files import write_dataset
from warrior_dagster.export.kto import kto_rows
from warrior_dagster.export.sft import sft_rows

SCHEMA = {
    "instruction_id": pl.String,
    "instruction": pl.String,
    "attacker": pl.String,
    "language": pl.String,
    "difficulty": pl.Float64,
    "competitor": pl.String,
    "answer": pl.String,
    "finished": pl.Boolean,
    "score": pl.Float64,
    "rank": pl.Int64,
    "gold": pl.Boolean,
    "advantage": pl.Float64,
}

ROWS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "sft": sft_rows,
    "dpo": lambda records: dpo_rows(records, margin=0.0),
    "kto": kto_rows,
}


def group(instruction_id: str, *answers: tuple[str, float, bool]) -> pl.DataFrame:
    """The records of one instruction: text, score and finished of each answer, the best first."""
    asked = (instruction_id, f"Ask {instruction_id}?", "ada", "Python", 7.0)
    rows = [
        (*asked, f"model-{i}", text, finished, score, i + 1, i == 0, 0.0) for i, (text, score, finished) in enumerate(answers)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def arena(instructions: int = 4) -> pl.DataFrame:
    """Records with everything that breaks files: quotes, line ends, other alphabets, markup and tokens of templates."""
    texts = ['print("ä\\n")\n```', "x = 1 < 2 | 3\r\n\t# 漢字 🐍", "<|im_end|> {{ answer }}", "plain"]
    scores = [2.312345679, 1.687654321, 1.5, 0.5]  # As fine as scores are.
    return pl.concat(
        group(f"i{n:02}", *((f"{text} {n}", score, True) for text, score in zip(texts, scores, strict=True)))
        for n in range(instructions)
    )


def test_sft_teaches_the_gold_answer() -> None:
    records = pl.concat([group("b", ("best", 1.0, True), ("worst", 0.0, True)), group("a", ("only", 0.0, True))])
    assert sft_rows(records).to_dicts() == [
        {
            "instruction_id": "a",
            "messages": [{"role": "user", "content": "Ask a?"}, {"role": "assistant", "content": "only"}],
            "attacker": "ada",
            "competitor": "model-0",
            "score": 0.0,
        },
        {
            "instruction_id": "b",
            "messages": [{"role": "user", "content": "Ask b?"}, {"role": "assistant", "content": "best"}],
            "attacker": "ada",
            "competitor": "model-0",
            "score": 1.0,
        },
    ]


def test_sft_leaves_out_an_instruction_whose_gold_answer_is_unfinished() -> None:
    assert sft_rows(group("a", ("best but cut", 1.0, False), ("worse", 0.0, True))).is_empty()


def test_dpo_prefers_the_best_answer_to_the_worst() -> None:
    records = group("a", ("best", 1.5, True), ("middle", 1.0, True), ("worst", 0.5, False))
    assert dpo_rows(records, margin=0.5).to_dicts() == [
        {
            "instruction_id": "a",
            "prompt": [{"role": "user", "content": "Ask a?"}],
            "chosen": [{"role": "assistant", "content": "best"}],
            "rejected": [{"role": "assistant", "content": "worst"}],
            "attacker": "ada",
            "chosen_competitor": "model-0",
            "rejected_competitor": "model-2",
            "chosen_score": 1.5,
            "rejected_score": 0.5,
        }
    ]


@pytest.mark.parametrize(
    ("records", "margin"),
    [
        (group("a", ("one", 0.5, True), ("other", 0.5, True)), 0.0),
        (group("a", ("one", 0.65, True), ("other", 0.35, True)), 0.3),  # In floats the difference is above 0.3.
        (group("a", ("same", 1.0, True), ("same\n", 0.0, True)), 0.0),
        (group("a", ("cut", 1.0, False), ("other", 0.0, True)), 0.0),
        (group("a", ("only", 0.0, True)), 0.0),
    ],
    ids=["equal scores", "margin not passed", "same text", "chosen unfinished", "one answer"],
)
def test_dpo_leaves_out_what_is_no_preference(records: pl.DataFrame, margin: float) -> None:
    assert dpo_rows(records, margin=margin).is_empty()


def test_dpo_keeps_a_difference_above_the_margin() -> None:
    records = group("a", ("one", 0.65, True), ("other", 0.35, True))
    assert len(dpo_rows(records, margin=0.29)) == 1


def test_kto_wants_what_is_above_the_mean_and_nothing_unfinished() -> None:
    good = group("a", ("best", 1.7, True), ("at the mean", 1.0, True), ("worst", 0.3, True))
    cut = group("b", ("best but cut", 0.9, False), ("worst and cut", 0.1, False))
    rows = kto_rows(pl.concat([good, cut]))
    labels = {row["completion"][0]["content"]: row["label"] for row in rows.to_dicts()}
    assert labels == {"best": True, "worst": False, "worst and cut": False}
    first = rows.filter(pl.col("competitor") == "model-0", pl.col("instruction_id") == "a").to_dicts()
    assert first == [
        {
            "instruction_id": "a",
            "prompt": [{"role": "user", "content": "Ask a?"}],
            "completion": [{"role": "assistant", "content": "best"}],
            "label": True,
            "attacker": "ada",
            "competitor": "model-0",
            "score": 1.7,
        }
    ]


def test_kto_leaves_out_a_mean_that_floats_cannot_hold() -> None:
    records = group("a", ("high", 0.3, True), ("mean", 0.2, True), ("low", 0.1, True))
    assert sum(records["score"]) / 3 != 0.2
    assert sorted(kto_rows(records)["score"]) == [0.1, 0.3]


def test_kto_puts_answers_to_different_instructions_beside_each_other() -> None:
    rows = kto_rows(arena(50))
    neighbours = zip(rows["instruction_id"], rows["instruction_id"].shift(-1), strict=True)
    assert sum(a == b for a, b in neighbours) <= 3  # Only where one round of the instructions meets the next one.
    assert rows["label"].head(100).n_unique() == 2
    assert len(rows) == len(rows.select("instruction_id", "competitor").unique()) == 150  # One of four is at the mean.


@pytest.mark.parametrize("kind", ROWS)
def test_the_order_of_the_records_does_not_matter(kind: str) -> None:
    records = arena()
    assert ROWS[kind](records.reverse()).equals(ROWS[kind](records))


@pytest.mark.parametrize("kind", ROWS)
def test_no_records_make_no_rows_of_the_same_types(kind: str) -> None:
    assert ROWS[kind](arena().clear()).schema == ROWS[kind](arena()).schema
    assert ROWS[kind](arena().clear()).is_empty()


def card(kind: str = "sft") -> str:
    return dataset_card(
        title="Quick: #1",
        kind=kind,
        rows=1000,
        models=[{"name": "a|b", "model": "/srv/weights/tiny", "revision": None, "licence": "Apache-2.0"}],
        counts={"mined": 12345, "kept": 0},
        settings={"k": 40.0, "engine": {"urls": ["http://gpu7:8000/v1"]}, "system": "/no_think\n````\n# Not a heading"},
    )


def test_the_card_is_read_by_the_hub_library() -> None:
    from huggingface_hub import DatasetCard

    data: dict[str, Any] = DatasetCard(card()).data.to_dict()  # type: ignore[no-untyped-call]
    assert data["license"] == "other"
    assert data["pretty_name"] == "Quick: #1"
    assert data["size_categories"] == ["1K<n<10K"]
    assert data["configs"][0]["data_files"] == [{"split": "train", "path": "train.parquet"}]


def test_the_card_tells_models_counts_settings_and_limits_but_no_address() -> None:
    text = card()
    assert "| a\\|b | tiny | unknown | Apache-2.0 |" in text
    assert "| mined | 12,345 |" in text
    assert "nothing was verified by execution" in text
    assert "gpu7" not in text
    assert "/srv" not in text
    fence = "`" * 5
    block = text.split(f"{fence}yaml\n")[1].split(f"\n{fence}\n")[0]
    assert yaml.safe_load(block)["system"] == "/no_think\n````\n# Not a heading"


def test_a_kind_without_a_format_has_no_card() -> None:
    with pytest.raises(KeyError):
        card("grpo")


def test_the_folder_holds_the_rows_twice_and_the_card(tmp_path: Path) -> None:
    rows = sft_rows(arena())
    paths = write_dataset(rows, tmp_path, "sft", card())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sft"]
    assert sorted(path.name for path in (tmp_path / "sft").iterdir()) == ["README.md", "train.jsonl", "train.parquet"]
    assert pl.read_parquet(paths["parquet"]).equals(rows)
    assert pl.read_ndjson(paths["jsonl"], schema=rows.schema).equals(rows)
    assert "ä" in Path(paths["jsonl"]).read_text(encoding="utf-8")
    assert Path(paths["card"]).read_text() == card()


@pytest.mark.parametrize("kind", ROWS)
def test_equal_rows_make_equal_bytes(kind: str, tmp_path: Path) -> None:
    for place in ("one", "two"):
        write_dataset(ROWS[kind](arena()), tmp_path / place, kind, card(kind))
    for name in ("train.parquet", "train.jsonl", "README.md"):
        assert (tmp_path / "one" / kind / name).read_bytes() == (tmp_path / "two" / kind / name).read_bytes()


@pytest.mark.parametrize("count", [1, 4, 5, 8, 9])
def test_rows_arrive_in_order_whatever_slice_they_fall_into(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SLICE", 4)
    rows = kto_rows(arena(3)).head(count)
    assert len(rows) == count
    paths = write_dataset(rows, tmp_path, "kto", "")
    assert pl.read_parquet(paths["parquet"]).equals(rows)
    assert pl.read_ndjson(paths["jsonl"], schema=rows.schema).equals(rows)
    written = pq.ParquetFile(paths["parquet"])
    groups = [written.metadata.row_group(i).num_rows for i in range(written.num_row_groups)]
    assert groups == [4] * (count // 4) + [count % 4] * (count % 4 > 0)


def test_more_rows_than_one_slice_arrive_in_order(tmp_path: Path) -> None:
    rows = pl.DataFrame({"n": range(2 * files.SLICE + 1)})
    paths = write_dataset(rows, tmp_path, "many", "")
    assert pl.read_parquet(paths["parquet"]).equals(rows)
    assert pl.read_ndjson(paths["jsonl"]).equals(rows)


def test_the_parquet_has_plain_types_and_the_features_of_the_hub(tmp_path: Path) -> None:
    import datasets

    schema = pq.read_schema(write_dataset(sft_rows(arena()), tmp_path, "sft", "")["parquet"])
    assert schema.field("instruction_id").type == pa.string()
    assert schema.field("messages").type == pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
    features = datasets.Features.from_arrow_schema(schema)
    assert json.loads(schema.metadata[b"huggingface"]) == {"info": {"features": features.to_dict()}}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1))))
def test_any_text_and_any_number_come_back_from_both_files(rows: list[tuple[str, float, int]]) -> None:
    frame = pl.DataFrame(rows, schema={"text": pl.String, "float": pl.Float64, "int": pl.Int64}, orient="row")
    with tempfile.TemporaryDirectory() as folder:
        paths = write_dataset(frame, Path(folder), "any", "")
        lines = Path(paths["jsonl"]).read_text(encoding="utf-8").split("\n")[:-1]
        assert [tuple(json.loads(line).values()) for line in lines] == rows
        assert pl.read_parquet(paths["parquet"]).rows() == rows


def test_an_export_replaces_an_earlier_one_and_what_an_interrupted_one_left(tmp_path: Path) -> None:
    write_dataset(sft_rows(arena(4)), tmp_path, "sft", card())
    for leftover in (".sft.new", ".sft.old"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "train.parquet").write_bytes(b"half")
    paths = write_dataset(sft_rows(arena(2)), tmp_path, "sft", card())
    assert len(pl.read_parquet(paths["parquet"])) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["sft"]


def test_a_failed_export_leaves_the_earlier_one_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_dataset(sft_rows(arena(4)), tmp_path, "sft", card())
    before = {name: Path(paths[name]).read_bytes() for name in ("parquet", "jsonl", "card")}
    with pytest.raises(TypeError):
        write_dataset(sft_rows(arena(2)), tmp_path, "sft", None)  # type: ignore[arg-type]  # Fails at the last file.
    assert {name: Path(paths[name]).read_bytes() for name in before} == before
    write_dataset(sft_rows(arena(2)), tmp_path, "sft", card())
    assert len(pl.read_parquet(paths["parquet"])) == 2


def test_a_type_that_no_trainer_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="Date"):
        write_dataset(pl.DataFrame({"day": []}, schema={"day": pl.Date}), tmp_path, "days", "")


@pytest.mark.parametrize("kind", ROWS)
def test_no_rows_make_files_with_their_columns(kind: str, tmp_path: Path) -> None:
    rows = ROWS[kind](arena().clear())
    paths = write_dataset(rows, tmp_path, kind, card(kind))
    assert pl.read_parquet(paths["parquet"]).schema == rows.schema
    assert Path(paths["jsonl"]).read_bytes() == b""


# --- TRL -------------------------------------------------------------------------------------------------------------

TEMPLATED = {"sft": {"text"}, "dpo": {"prompt", "chosen", "rejected"}, "kto": {"prompt", "completion", "label"}}
PREPARED = {
    "sft": {"input_ids", "labels"},
    "dpo": {"prompt_ids", "chosen_ids", "rejected_ids"},
    "kto": {"prompt_ids", "completion_ids", "KL_completion_ids", "label"},
}


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing from the network, and nothing kept of what is loaded here."""
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def load(kind: str, form: str, folder: Path) -> Any:
    """The exported rows, through `datasets.load_dataset`, as a user would load them."""
    import datasets

    paths = write_dataset(ROWS[kind](arena()), folder, kind, card(kind))
    if form == "folder":
        return datasets.load_dataset(paths["folder"], split="train")
    builder = {"parquet": "parquet", "jsonl": "json"}[form]
    return datasets.load_dataset(builder, data_files=paths[form], split="train")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("form", ["parquet", "jsonl", "folder"])
@pytest.mark.parametrize("kind", ROWS)
def test_datasets_loads_the_same_rows_from_either_file_and_from_the_folder(kind: str, form: str, tmp_path: Path) -> None:
    dataset = load(kind, form, tmp_path)
    assert dataset.to_list() == ROWS[kind](arena()).to_dicts()
    assert dataset.features == load(kind, "parquet", tmp_path / "again").features
    assert "large" not in str(dataset.features).lower()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("kind", ROWS)
def test_trl_knows_the_format_and_applies_a_chat_template(kind: str, tmp_path: Path, bundled_model: Path) -> None:
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
    """A Llama with random weights on disk, from where the trainers can load a second one as their reference."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)  # type: ignore[no-untyped-call]
    return str(folder)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("kind", ROWS)
def test_trainers_prepare_and_learn_from_the_export(kind: str, tmp_path: Path, bundled_model: Path) -> None:
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
    learned = {"sft": "input_ids", "dpo": "chosen_ids", "kto": "completion_ids"}[kind]
    answer = {"sft": "messages", "dpo": "chosen", "kto": "completion"}[kind]
    for row, original in zip(prepared, dataset, strict=True):
        assert original[answer][-1]["content"].strip() in tokenizer.decode(row[learned])
    assert trainer.train().training_loss > 0
