"""Export: the scored answers as data sets that the trainers take, each with a card that says where it came from."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import dagster as dg
import polars as pl

from warrior_dagster.config import reference_sets
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.recording import OWNERS, code_version, record
from warrior_dagster.stages.export import card, contamination, dpo, files, jsonlines, kto, records, sft
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

DESCRIPTIONS = {
    "sft": "Each instruction with its gold answer, as `messages`, for supervised fine-tuning.",
    "dpo": "Each instruction with its best and its worst answer: `prompt`, `chosen`, `rejected`.",
    "kto": "Single answers, desirable or not: `prompt`, `completion`, `label`.",
}
INSTRUCTION, ANSWER = "selected_instructions.instruction", "answers.answer"
COLUMNS = {
    "sft": {"messages": f"{INSTRUCTION} {ANSWER}"},
    "dpo": {
        "prompt": INSTRUCTION,
        "chosen": ANSWER,
        "rejected": ANSWER,
        **dict.fromkeys(("chosen_competitor", "rejected_competitor"), "answer_scores.competitor"),
        **dict.fromkeys(("chosen_score", "rejected_score"), "answer_scores.score"),
    },
    "kto": {"prompt": INSTRUCTION, "completion": ANSWER, "label": "answer_scores.score"},
}


def assets(arena: Arena) -> list[dg.AssetsDefinition]:
    """The assets of this stage: what overlaps a benchmark, and one for each format that the arena asks for."""
    return [overlap_asset(arena), *(dataset_asset(arena, kind) for kind in arena.export.formats)]


def overlap_asset(arena: Arena) -> dg.AssetsDefinition:
    """What must not be exported."""

    @dg.asset(
        group_name="leaderboard",
        kinds={"polars", "lancedb"},
        owners=OWNERS,
        deps=["answer_scores", "answers", "selected_instructions"],
        code_version=code_version(
            [str(arena.export.overlap_words), *reference_sets.contents(arena.export.benchmarks)],
            *arena.export.benchmarks,
            modules=[contamination, reference_sets, records],
        ),
        metadata=origins(
            instruction_id="answer_scores.instruction_id",
            competitor="answer_scores.competitor",
            row_id="answer_scores.instruction_id answer_scores.competitor",
            **dict.fromkeys(("task", "ngram", "shared"), f"{INSTRUCTION} {ANSWER}"),
        ),
    )
    def benchmark_overlap(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """The instructions and answers that share many consecutive words with a benchmark, with the task and those words. No
        data set contains them, since what is trained on a benchmark cannot be measured with it.
        """
        sets = [(one.name, reference_sets.tasks_of(one)) for one in arena.export.benchmarks]
        rows = contamination.benchmark_overlap(records.records(warehouse, arena), sets, words=arena.export.overlap_words)
        of_instructions = rows.filter(competitor="")["instruction_id"].n_unique()
        metadata = {"instructions": of_instructions, "answers": rows.filter(pl.col("competitor") != "").height}
        return record(context, warehouse, {WHOLE: rows}, metadata=metadata)

    return benchmark_overlap


def dataset_asset(arena: Arena, kind: str) -> dg.AssetsDefinition:
    """One format of the scored answers."""
    makers: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], ModuleType]] = {
        "sft": (sft.sft_rows, sft),
        "dpo": (partial(dpo.dpo_rows, margin=arena.export.dpo_margin), dpo),
        "kto": (kto.kto_rows, kto),
    }
    make, module = makers[kind]
    wanted = arena.export.model_copy(update={"folder": ""})  # where the files go changes no row

    @dg.asset(
        name=f"{kind}_dataset",
        description=DESCRIPTIONS[kind] + " Parquet, JSON Lines and a card; answers cut off at the token limit are"
        " never shown as good ones, and what overlaps a benchmark is left out.",
        group_name="leaderboard",
        kinds={"huggingface", "parquet"},
        owners=OWNERS,
        deps=["benchmark_overlap", "answer_scores", "answers", "selected_instructions", "judge_votes"],
        code_version=code_version(
            wanted,
            *[[arena.battles.evidence]] * arena.runs_tests,  # the card says it
            modules=[sft, module, files, jsonlines, card, records, contamination],
        ),
        metadata=origins(
            "answer_scores",
            row_id="answer_scores.instruction_id" + " answer_scores.competitor" * (kind == "kto"),
            attacker="selected_instructions.competitor",
            **COLUMNS[kind],
        ),
    )
    def exported(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        made = make(records.records(warehouse, arena))
        rows = contamination.without(made, warehouse.read("benchmark_overlap", [WHOLE]))
        text = card_of(arena, kind, rows, records.counts(warehouse, arena), len(made) - len(rows))
        paths = files.write_dataset(rows, Path(arena.export.folder), kind, text)
        identity = ["instruction_id"] if kind != "kto" else ["instruction_id", "competitor"]
        keyed = rows.with_columns(pl.concat_str(identity, separator=":").alias("row_id"))
        where = {f"path_{name}": dg.MetadataValue.path(path) for name, path in paths.items()}
        metadata = {**where, "left_out_for_benchmarks": len(made) - len(rows)}
        return record(context, warehouse, {WHOLE: keyed}, metadata=metadata)

    return exported


def card_of(arena: Arena, kind: str, rows: pl.DataFrame, counts: dict[str, int], left_out: int) -> str:
    """The card of one data set; `left_out` rows of it overlap a benchmark."""
    against = ", ".join(one.name for one in arena.export.benchmarks)
    return card.dataset_card(
        title=f"{arena.name} {kind}",
        kind=kind,
        rows=len(rows),
        models=[c.model_dump(include={"name", "model", "revision", "licence"}) for c in arena.competitors],
        counts=counts | ({f"left out of {kind} for {against}": left_out} if against else {}),
        settings=arena.model_dump(mode="json", exclude={"warehouse", "engine", "export", *arena.unused}),
        evidence=arena.battles.evidence,
    )
