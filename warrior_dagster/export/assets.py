"""Export: the scored answers as data sets that the trainers take, each with a card that says where it came from."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import dagster as dg
import polars as pl

from warrior_dagster.arena import Arena
from warrior_dagster.export import card, dpo, files, jsonlines, kto, records, sft
from warrior_dagster.recording import OWNERS, code_version, record
from warrior_dagster.storage import WHOLE, Warehouse

DESCRIPTIONS = {
    "sft": "Each instruction with its gold answer, as `messages`, for supervised fine-tuning.",
    "dpo": "Each instruction with its best and its worst answer: `prompt`, `chosen`, `rejected`.",
    "kto": "Single answers, desirable or not: `prompt`, `completion`, `label`.",
}


def assets(arena: Arena) -> list[dg.AssetsDefinition]:
    """The assets of this stage: one for each format that the arena asks for."""
    makers: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], ModuleType]] = {
        "sft": (sft.sft_rows, sft),
        "dpo": (partial(dpo.dpo_rows, margin=arena.export.dpo_margin), dpo),
        "kto": (kto.kto_rows, kto),
    }

    wanted = arena.export.model_copy(update={"folder": ""})  # where the files go changes no row

    def dataset(kind: str) -> dg.AssetsDefinition:
        make, module = makers[kind]

        @dg.asset(
            name=f"{kind}_dataset",
            description=DESCRIPTIONS[kind] + " Parquet, JSON Lines and a card; answers cut off at the token limit are"
            " never shown as good ones.",
            group_name="leaderboard",
            kinds={"huggingface", "parquet"},
            owners=OWNERS,
            deps=["answer_scores", "answers", "selected_instructions"],
            code_version=code_version(wanted, modules=[sft, module, files, jsonlines, card, records]),
        )
        def exported(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
            rows = make(records.records(warehouse, arena))
            text = card.dataset_card(
                title=f"{arena.name} {kind}",
                kind=kind,
                rows=len(rows),
                models=[c.model_dump(include={"name", "model", "revision", "licence"}) for c in arena.competitors],
                counts=records.counts(warehouse, arena),
                settings=arena.model_dump(mode="json", exclude={"warehouse", "engine", "export"}),
            )
            paths = files.write_dataset(rows, Path(arena.export.folder), kind, text)
            identity = ["instruction_id"] if kind != "kto" else ["instruction_id", "competitor"]
            keyed = rows.with_columns(pl.concat_str(identity, separator=":").alias("row_id"))
            metadata = {f"path_{name}": dg.MetadataValue.path(path) for name, path in paths.items()}
            return record(context, warehouse, {WHOLE: keyed}, metadata=metadata)

        return exported

    return [dataset(kind) for kind in arena.export.formats]
