"""Export: the scored answers as data sets that trainers read, each with a card that says where it came from."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import dagster as dg
import polars as pl

from warrior_dagster.config import reference_sets
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import SAME, Scope
from warrior_dagster.materialization.recording import record
from warrior_dagster.materialization.table import Table
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.stages.export import card, contamination, dpo, files, kto, records, sft
from warrior_dagster.stages.export.tables import DATASETS, OVERLAP
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
RECORDS = dict.fromkeys(("answer_scores", "answers", "selected_instructions"), SAME)
"""What `records.records` reads."""


def assets(scope: Scope, counted: Sequence[Table]) -> list[dg.AssetsDefinition]:
    """The assets of this stage: what overlaps a benchmark, and each format that the arena exports.

    `counted` are the tables whose rows the cards count.
    """
    return [overlap_asset(scope), *(dataset_asset(scope, kind, counted) for kind in scope.arena.export.formats)]


def overlap_asset(scope: Scope) -> dg.AssetsDefinition:
    """What must not be exported."""
    arena, benchmarks = scope.arena, scope.arena.export.benchmarks

    @table_asset(
        scope,
        OVERLAP,
        reads=RECORDS,
        settings=[arena.export.overlap_words, reference_sets.contents(benchmarks), *benchmarks],
        origins=origins(
            instruction_id="answer_scores.instruction_id",
            competitor="answer_scores.competitor",
            row_id="answer_scores.instruction_id answer_scores.competitor",
            **dict.fromkeys(("task", "ngram", "shared"), f"{INSTRUCTION} {ANSWER}"),
        ),
    )
    def benchmark_overlap(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The instructions and answers that share many consecutive words with a benchmark, with the task and those words. No
        data set contains them, since a model trained on a benchmark cannot be measured with it.
        """
        sets = [(one.name, reference_sets.tasks_of(one)) for one in benchmarks]
        rows = contamination.benchmark_overlap(records.records(warehouse, arena), sets, words=arena.export.overlap_words)
        of_instructions = rows.filter(competitor="")["instruction_id"].n_unique()
        metadata = {"instructions": of_instructions, "answers": rows.filter(pl.col("competitor") != "").height}
        return record(context, warehouse, {WHOLE: rows}, metadata=metadata)

    return benchmark_overlap


def dataset_asset(scope: Scope, kind: str, counted: Sequence[Table]) -> dg.AssetsDefinition:
    """One format of the scored answers."""
    arena = scope.arena
    makers: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
        "sft": sft.sft_rows,
        "dpo": partial(dpo.dpo_rows, margin=arena.export.dpo_margin),
        "kto": kto.kto_rows,
    }
    make = makers[kind]

    def exported(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        made = make(records.records(warehouse, arena))
        rows = contamination.remove_overlapping(made, warehouse.read(OVERLAP.name, [WHOLE]))
        text = card_of(arena, kind, rows, records.counts(warehouse, arena, counted), len(made) - len(rows))
        paths = files.write_dataset(rows, Path(arena.export.folder), kind, text)
        identity = ["instruction_id"] if kind != "kto" else ["instruction_id", "competitor"]
        keyed = rows.with_columns(pl.concat_str(identity, separator=":").alias("row_id"))
        where = {f"path_{name}": dg.MetadataValue.path(path) for name, path in paths.items()}
        metadata = {**where, "left_out_for_benchmarks": len(made) - len(rows)}
        return record(context, warehouse, {WHOLE: keyed}, metadata=metadata)

    exported.__doc__ = (
        f"{DESCRIPTIONS[kind]} Parquet, JSON Lines and a card; answers cut off at the token limit are never shown as good ones,"
        " and what overlaps a benchmark is left out."
    )
    return table_asset(
        scope,
        DATASETS[kind],
        reads={**RECORDS, OVERLAP.name: SAME, **{table.name: SAME for table in counted}},
        settings=[
            arena.export.model_dump(mode="json", exclude={"folder"}),  # where the files are changes no row
            arena.battles.evidence,  # the card names it
        ],
        origins=origins(
            "answer_scores",
            row_id="answer_scores.instruction_id" + " answer_scores.competitor" * (kind == "kto"),
            attacker="selected_instructions.competitor",
            **COLUMNS[kind],
        ),
        kinds={"huggingface", "parquet"},
    )(exported)


def card_of(arena: Arena, kind: str, rows: pl.DataFrame, counts: dict[str, int], left_out: int) -> str:
    """The card of one data set, of which `left_out` rows overlap a benchmark."""
    against = ", ".join(one.name for one in arena.export.benchmarks)
    return card.dataset_card(
        title=f"{arena.name} {kind}",
        kind=kind,
        rows=len(rows),
        models=[c.model_dump(include={"name", "model", "revision", "license"}) for c in arena.competitors],
        counts=counts | ({f"left out of {kind} for {against}": left_out} if against else {}),
        settings=arena.model_dump(mode="json", exclude={"warehouse", "engine", "export", *arena.unused_sections}),
        evidence=arena.battles.evidence,
    )
