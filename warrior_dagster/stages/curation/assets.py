"""Curation: from everything mined to the few instructions worth battling on, each competitor after those before it."""

from functools import partial

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor
from warrior_dagster.materialization import table as description
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import MINED_FROM
from warrior_dagster.materialization.partitions import EARLIER, SAME
from warrior_dagster.materialization.recording import Step, counted, record, split
from warrior_dagster.materialization.table import Requests, tokens_of
from warrior_dagster.stages.curation import dedup, difficulty, embedding, selection
from warrior_dagster.stages.curation.columns import INSTRUCTION, RATED, RATING, topic_column
from warrior_dagster.stages.curation.device import exclusive_device

table = partial(description.table, group="curation", partitioned_by="competitor")
SCORE = "Mean score of the judges, 1 to 10; empty if all of them abstained."


def rating_tokens(arena: Arena, _: Competitor) -> tuple[int, int]:
    """The most tokens of a judge's prompt about one instruction, and of its verdict."""
    settings = arena.difficulty
    prompts = [settings.prompt, settings.topic_prompt] if settings.off_topic == "drop" else [settings.prompt]
    verdict = settings.sampling.max_tokens if settings.verdict == "reasoned" else 1
    return arena.mining.max_tokens + max(map(tokens_of, prompts)), verdict


def earlier(arena: Arena, name: str) -> list[str]:
    """The roster up to and with a competitor, in its order: the first to reveal an instruction keeps it."""
    return arena.roster[: arena.roster.index(name) + 1]


def roster_up_to(step: Step) -> list[str]:
    """The roster up to the last competitor of a step: everything that its partitions may depend on."""
    roster = step.arena.roster
    return roster[: max(map(roster.index, step.keys)) + 1]


@table(
    columns=(*INSTRUCTION, "completion_key", "kept", "similarity", "duplicate_of"),
    meanings={
        "competitor": MINED_FROM,
        "kept": "Whether no earlier instruction is a near duplicate.",
        "similarity": "The exact Jaccard similarity of the words with those of the instruction that it repeats.",
        "duplicate_of": "The instruction that it repeats; empty if it is kept.",
    },
    reads={"mined_instructions": EARLIER},
    ordered=earlier,
    settings=lambda arena: [arena.deduplication],
    origins=origins(
        "mined_instructions",
        kept="mined_instructions.instruction",
        duplicate_of="mined_instructions.instruction_id mined_instructions.instruction",
        similarity="mined_instructions.instruction",
    ),
    usable=pl.col("kept"),
    usable_row="kept",
    on_card=True,
)
def unique_instructions(step: Step) -> dg.MaterializeResult:
    """Usable instructions with near duplicates marked, by the exact Jaccard similarity of their words: the first in roster
    order is kept. A duplicate names the instruction that it repeats.
    """
    mined = step.warehouse.read("mined_instructions", roster_up_to(step))
    unique = dedup.mark_duplicates(mined, step.arena.roster, step.arena.deduplication)
    return record(step, split(unique, step), describe=lambda f: {"kept": f.filter("kept").height})


@table(
    columns=lambda arena: (*INSTRUCTION, *RATING, *topic_column(arena)),
    meanings={
        "competitor": MINED_FROM,
        "score": SCORE,
        "scored_by": "Number of judges that gave a score.",
        "abstained": "Number of judges that gave none.",
        "ratings": "The verdict of each judge, with its score and its reason.",
        "kept": "Whether the score is at least difficulty.keep.",
        "on_topic": "The judges' mean probability that it is about programming; below one half it is dropped.",
    },
    reads={"unique_instructions": SAME},
    settings=lambda arena: [arena.difficulty],
    origins=lambda arena: origins(
        "unique_instructions", **dict.fromkeys((*RATING, *topic_column(arena)), "unique_instructions.instruction")
    ),
    usable=pl.col("kept"),
    usable_row="kept: none is scored difficulty.keep or above",
    on_card=True,
    requests=Requests(
        rating_tokens,
        error=pl.col("ratings").explode().struct.field("error"),
        asked=lambda arena, attacker: arena.panel(attacker),
    ),
)
def instruction_difficulty(step: Step) -> dg.MaterializeResult:
    """The score of each unique instruction, 1 to 10, from a panel of judges with their reasons; instructions from
    `difficulty.keep` upwards are kept. With `difficulty.off_topic: drop` the panel says first whether an instruction is about
    programming.
    """
    arena = step.arena
    unique = step.warehouse.read("unique_instructions", step.keys).filter("kept").select(INSTRUCTION)
    ratings = difficulty.rate(arena, step.engines, unique, step.log)
    rated = difficulty.difficulty(unique, ratings.rows, arena.difficulty)
    return record(
        step,
        split(rated, step),
        describe=lambda f: {
            "kept": f.filter("kept").height,
            "bands": counted(f, "band"),
            **({"off_topic": f.filter(~difficulty.ON_TOPIC).height} if topic_column(arena) else {}),
        },
        result=ratings,
    )


@table(
    columns=(*RATED, "embedder", "vector"),
    meanings={
        "competitor": MINED_FROM,
        "score": SCORE,
        "embedder": "The embedding model and its revision.",
        "vector": "The embedding of the instruction.",
    },
    reads={"instruction_difficulty": SAME},
    settings=lambda arena: [arena.embedding],
    origins=origins("instruction_difficulty", vector="instruction_difficulty.instruction"),
    kinds=("huggingface", "lancedb"),
    uses_gpu=True,
)
def instruction_embeddings(step: Step) -> dg.MaterializeResult:
    """The kept instructions as vectors of a sentence-transformers model, in a LanceDB vector table."""
    kept = step.warehouse.read("instruction_difficulty", step.keys).filter("kept")
    # Vectors are computed while they are written, so the GPU is held until then.
    with exclusive_device(step.engines), embedding.release_model():
        frames = split(kept, step).items()
        return record(step, {name: embedding.embed_instructions(rows, step.arena.embedding) for name, rows in frames})


@table(
    columns=(*RATED, "rank", "radius"),
    meanings={
        "competitor": MINED_FROM,
        "score": SCORE,
        "rank": "The place in which it was selected among its competitor's, from 0.",
        "radius": "After this choice, the largest distance of an instruction to the nearest selected one.",
    },
    reads={"instruction_embeddings": EARLIER},
    ordered=earlier,
    settings=lambda arena: [arena.selection],
    origins=origins("instruction_embeddings", **dict.fromkeys(("rank", "radius"), "instruction_embeddings.vector")),
    kinds=("numpy", "lancedb"),
    uses_gpu=True,
    on_card=True,
)
def selected_instructions(step: Step) -> dg.MaterializeResult:
    """The instructions that every competitor answers: k-centre-greedy over the embeddings, starting from those that were
    selected of the competitors before this one.
    """
    names, embedded = roster_up_to(step), "instruction_embeddings"
    rows = step.warehouse.read(embedded, names, RATED)
    with exclusive_device(step.engines) as device:
        selected = selection.select_centres(
            rows,
            names,
            step.arena.selection,
            lambda name, some: step.warehouse.vectors(embedded, name, some["row_id"]),
            device,
        )
    return record(step, split(selected, step), describe=lambda f: {"radius": f["radius"].min()} if len(f) else {})


TABLES = [unique_instructions, instruction_difficulty, instruction_embeddings, selected_instructions]
