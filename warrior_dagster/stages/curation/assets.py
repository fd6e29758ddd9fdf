"""Curation: from everything mined to the few instructions worth battling on, each competitor after those before it."""

from typing import Any

import dagster as dg

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference import ASKING
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import Partitions
from warrior_dagster.materialization.recording import FEW_FAILED, OWNERS, code_version, record
from warrior_dagster.stages.curation import columns, covering, dedup, difficulty, embedding, jaccard, kcenter, selection
from warrior_dagster.stages.curation.device import exclusive_device
from warrior_dagster.warehouse.tables import Warehouse


def assets(arena: Arena, parts: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    of_competitor: dict[str, Any] = {
        "partitions_def": parts.competitors,
        "group_name": "competitors",
        "owners": OWNERS,
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }

    def up_to(names: list[str]) -> list[str]:
        """The roster as far as the last of some competitors: everything that their partitions may depend on."""
        return arena.roster[: max(arena.roster.index(name) for name in names) + 1]

    @dg.asset(
        **of_competitor,
        kinds={"polars", "lancedb"},
        deps=[dg.AssetDep("mined_instructions", partition_mapping=parts.itself_and_earlier)],
        code_version=code_version(arena.deduplication, modules=[columns, dedup, jaccard]),
        metadata=origins(
            "mined_instructions",
            kept="mined_instructions.instruction",
            duplicate_of="mined_instructions.instruction_id mined_instructions.instruction",
            similarity="mined_instructions.instruction",
        ),
    )
    def unique_instructions(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """Usable instructions with near duplicates marked, by the exact Jaccard similarity of their words: the first in roster
        order is kept. A duplicate names what it repeats.
        """
        names = context.partition_keys
        mined = warehouse.read("mined_instructions", up_to(names))
        unique = dedup.mark_duplicates(mined, arena.roster, arena.deduplication)
        frames = {name: unique.filter(competitor=name) for name in names}
        return record(context, warehouse, frames, describe=lambda f: {"kept": f.filter("kept").height})

    @dg.asset(
        **of_competitor,
        kinds={"vllm", "lancedb"},
        pool="engine",
        deps=[unique_instructions],
        code_version=code_version(arena.difficulty, modules=[difficulty, *ASKING]),
        metadata=origins(
            "unique_instructions",
            **dict.fromkeys(("score", "scored_by", "abstained", "ratings", "band", "kept"), "unique_instructions.instruction"),
        ),
        check_specs=[dg.AssetCheckSpec(FEW_FAILED, asset="instruction_difficulty")],
    )
    def instruction_difficulty(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        engines: dg.ResourceParam[Engines],
    ) -> dg.MaterializeResult:
        """A panel's score of each unique instruction, 1 to 10, with the judges' reasons and the band; kept from the arena's
        threshold upwards. A judge that gives no score abstains.
        """
        names = context.partition_keys
        unique = warehouse.read("unique_instructions", names).filter("kept").select(columns.INSTRUCTION)
        asked = difficulty.rate(arena, engines, unique, context.log)
        failures = {n: asked.failures[j] for n in names for j in arena.panel(n) if j in asked.failures}
        rated = difficulty.difficulty(unique, asked.rows, arena.difficulty.keep)
        return record(
            context,
            warehouse,
            {name: rated.filter(competitor=name) for name in names},
            describe=lambda f: {"kept": f.filter("kept").height, "bands": dict(f["band"].value_counts().iter_rows())},
            usage=asked.usage,
            failures=failures,
            asked_by=arena,
        )

    @dg.asset(
        **of_competitor,
        kinds={"huggingface", "lancedb"},
        pool="engine",
        deps=[instruction_difficulty],
        code_version=code_version(arena.embedding, modules=[columns, embedding]),
        metadata=origins("instruction_difficulty", vector="instruction_difficulty.instruction"),
    )
    def instruction_embeddings(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        engines: dg.ResourceParam[Engines],
    ) -> dg.MaterializeResult:
        """The kept instructions as vectors of a sentence-transformers model: a LanceDB vector table."""
        names = context.partition_keys
        kept = warehouse.read("instruction_difficulty", names).filter("kept")
        # Embedded as they are written, so the GPU is held until they are.
        with exclusive_device(engines), embedding.release_model():
            vectors = {name: embedding.embed_instructions(kept.filter(competitor=name), arena.embedding) for name in names}
            return record(context, warehouse, vectors)

    @dg.asset(
        **of_competitor,
        kinds={"numpy", "lancedb"},
        pool="engine",
        deps=[dg.AssetDep(instruction_embeddings, partition_mapping=parts.itself_and_earlier)],
        code_version=code_version(arena.selection, modules=[columns, covering, kcenter, selection]),
        metadata=origins(
            "instruction_embeddings", rank="instruction_embeddings.vector", radius="instruction_embeddings.vector"
        ),
    )
    def selected_instructions(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        engines: dg.ResourceParam[Engines],
    ) -> dg.MaterializeResult:
        """The instructions of the arena: k-centre-greedy over the embeddings, starting from what the competitors before this
        one contribute. `radius` says how far the farthest instruction still was after each choice.
        """
        names = context.partition_keys
        table = "instruction_embeddings"
        embedded = warehouse.read(table, up_to(names), columns.RATED)
        with exclusive_device(engines) as device:
            selected = selection.select_centres(
                embedded,
                up_to(names),
                arena.selection,
                lambda name, rows: warehouse.vectors(table, name, rows["row_id"]),
                device,
            )
        frames = {name: selected.filter(competitor=name) for name in names}
        return record(context, warehouse, frames, describe=lambda f: {"radius": f["radius"].min()} if len(f) else {})

    return [
        unique_instructions,
        instruction_difficulty,
        instruction_embeddings,
        selected_instructions,
    ]
