"""Curation: from everything mined to the few instructions worth battling on, each competitor after those before it."""

import dagster as dg

from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import EARLIER, SAME, Scope
from warrior_dagster.materialization.recording import record
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.stages.curation import dedup, difficulty, embedding, selection
from warrior_dagster.stages.curation.columns import INSTRUCTION, RATED
from warrior_dagster.stages.curation.device import exclusive_device
from warrior_dagster.stages.curation.tables import DIFFICULTY, EMBEDDINGS, SELECTED, UNIQUE
from warrior_dagster.warehouse.tables import Warehouse


def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    arena = scope.arena

    def up_to(names: list[str]) -> list[str]:
        """The roster up to the last of some competitors: everything that their partitions may depend on."""
        return arena.roster[: max(arena.roster.index(name) for name in names) + 1]

    @table_asset(
        scope,
        UNIQUE,
        reads={"mined_instructions": EARLIER},
        settings=[arena.deduplication],
        origins=origins(
            "mined_instructions",
            kept="mined_instructions.instruction",
            duplicate_of="mined_instructions.instruction_id mined_instructions.instruction",
            similarity="mined_instructions.instruction",
        ),
    )
    def unique_instructions(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """Usable instructions with near duplicates marked, by the exact Jaccard similarity of their words: the first in roster
        order is kept. A duplicate names the instruction that it repeats.
        """
        names = context.partition_keys
        mined = warehouse.read("mined_instructions", up_to(names))
        unique = dedup.mark_duplicates(mined, arena.roster, arena.deduplication)
        frames = {name: unique.filter(competitor=name) for name in names}
        return record(context, warehouse, frames, describe=lambda f: {"kept": f.filter("kept").height})

    @table_asset(
        scope,
        DIFFICULTY,
        reads={"unique_instructions": SAME},
        settings=[arena.difficulty],
        origins=origins(
            "unique_instructions",
            **dict.fromkeys(("score", "scored_by", "abstained", "ratings", "band", "kept"), "unique_instructions.instruction"),
        ),
    )
    def instruction_difficulty(
        context: dg.AssetExecutionContext, warehouse: Warehouse, engines: Engines
    ) -> dg.MaterializeResult:
        """A panel's score of each unique instruction, 1 to 10, with the judges' reasons and the band; kept from the arena's
        threshold upwards. A judge that gives no score abstains.
        """
        names = context.partition_keys
        unique = warehouse.read("unique_instructions", names).filter("kept").select(INSTRUCTION)
        ratings = difficulty.rate(arena, engines, unique, context.log)
        rated = difficulty.difficulty(unique, ratings.rows, arena.difficulty.keep)
        return record(
            context,
            warehouse,
            {name: rated.filter(competitor=name) for name in names},
            describe=lambda f: {"kept": f.filter("kept").height, "bands": dict(f["band"].value_counts().iter_rows())},
            usage=ratings.usage,
            failures={n: ratings.failures[j] for n in names for j in arena.panel(n) if j in ratings.failures},
            arena=arena,
        )

    @table_asset(
        scope,
        EMBEDDINGS,
        reads={"instruction_difficulty": SAME},
        settings=[arena.embedding],
        origins=origins("instruction_difficulty", vector="instruction_difficulty.instruction"),
        kinds={"huggingface", "lancedb"},
        uses_gpu=True,
    )
    def instruction_embeddings(
        context: dg.AssetExecutionContext, warehouse: Warehouse, engines: Engines
    ) -> dg.MaterializeResult:
        """The kept instructions as vectors of a sentence-transformers model: a LanceDB vector table."""
        names = context.partition_keys
        kept = warehouse.read("instruction_difficulty", names).filter("kept")
        # Vectors are computed while they are written, so the GPU is held until then.
        with exclusive_device(engines), embedding.release_model():
            vectors = {name: embedding.embed_instructions(kept.filter(competitor=name), arena.embedding) for name in names}
            return record(context, warehouse, vectors)

    @table_asset(
        scope,
        SELECTED,
        reads={"instruction_embeddings": EARLIER},
        settings=[arena.selection],
        origins=origins("instruction_embeddings", rank="instruction_embeddings.vector", radius="instruction_embeddings.vector"),
        kinds={"numpy", "lancedb"},
        uses_gpu=True,
    )
    def selected_instructions(
        context: dg.AssetExecutionContext, warehouse: Warehouse, engines: Engines
    ) -> dg.MaterializeResult:
        """The instructions of the arena: k-centre-greedy over the embeddings, starting from what the competitors before this
        one contribute. `radius` is the distance of the farthest instruction after each choice.
        """
        names, table = context.partition_keys, "instruction_embeddings"
        embedded = warehouse.read(table, up_to(names), RATED)
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

    return [unique_instructions, instruction_difficulty, instruction_embeddings, selected_instructions]
