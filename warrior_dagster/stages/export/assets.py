"""Export: the scored answers as data sets that trainers read, each with a card that says where it came from."""

from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from warrior_dagster.config import reference_sets
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import ANSWERED
from warrior_dagster.materialization.partitions import SAME
from warrior_dagster.materialization.recording import Step, check_same_source, record
from warrior_dagster.materialization.table import Table, table
from warrior_dagster.stages.export import card, contamination, dpo, files, kto, publishing, records, sft, turn_tokens
from warrior_dagster.warehouse.tables import WHOLE

GROUP = "datasets"
INSTRUCTION, ANSWER, OWN_SAMPLE = "selected_instructions.instruction", "answers.answer", "answer_samples.answer"
MEANINGS = {
    "competitor": ANSWERED,
    "difficulty": "The panel's score of the instruction, from 1 to 10.",
    "messages": "The instruction and its best answer, as chat messages.",
    "prompt": "The instruction, as a chat message.",
    "chosen": "The best answer, as a chat message.",
    "rejected": "The answer that is worse, as a chat message.",
    "completion": "The answer, as a chat message.",
    "label": "Whether the answer is desirable: its score is above the mean of its instruction.",
    "chosen_competitor": "The competitor that gave the best answer.",
    "rejected_competitor": "The competitor that gave the worse answer.",
    "chosen_score": "The score of the best answer.",
    "rejected_score": "The score of the worse answer; empty for a sample that did not battle.",
}
"""What the columns of the data sets mean."""


def read_by_records(arena: Arena) -> dict[str, str]:
    """What `records.records` reads."""
    samples = () if arena.export.dpo_rejected == "last" else ("answer_samples",)
    return dict.fromkeys(("answer_scores", "answers", *samples, "selected_instructions"), SAME)


@table(
    group=GROUP,
    partitioned_by="nothing",
    columns=tuple(contamination.SCHEMA),
    meanings={
        "competitor": "The competitor whose answer overlaps; empty where the instruction does.",
        "benchmark": "The benchmark (export.benchmarks).",
        "task": "The first task of the benchmark that the text overlaps.",
        "ngram": "The first words that both share, in lower case.",
        "shared": "Number of places in the text where an overlap begins.",
    },
    reads=read_by_records,
    settings=lambda arena: [
        arena.export.overlap_words,
        arena.export.reasoning,  # it would be part of the answers
        reference_sets.contents(arena.export.benchmarks),
        *arena.export.benchmarks,
    ],
    origins=origins(
        instruction_id="answer_scores.instruction_id",
        competitor="answer_scores.competitor",
        row_id="answer_scores.instruction_id answer_scores.competitor",
        **dict.fromkeys(("task", "ngram", "shared"), f"{INSTRUCTION} {ANSWER} {OWN_SAMPLE}"),
    ),
    if_empty="ignore",
)
def benchmark_overlap(step: Step) -> dg.MaterializeResult:
    """The instructions and answers that share many consecutive words with a benchmark. No data set contains them, since a model
    that was trained on a benchmark cannot be measured with it.
    """
    sets = [(one.name, reference_sets.tasks_of(one)) for one in step.arena.export.benchmarks]
    every = records.records(step.warehouse, step.arena)
    rows = contamination.benchmark_overlap(every, sets, words=step.arena.export.overlap_words)
    of_instructions = rows.filter(competitor="")["instruction_id"].n_unique()
    metadata = {"instructions": of_instructions, "answers": rows.filter(pl.col("competitor") != "").height}
    return record(step, {WHOLE: rows}, metadata=metadata)


def dataset(
    kind: str,
    make: Callable[[pl.DataFrame, Arena], pl.DataFrame],
    made_from: dict[str, str],
    counted: Sequence[Table],
    description: str,
) -> Table:
    """One format of the scored answers.

    Args:
        kind: its name in export.formats.
        make: gives its rows from records.
        made_from: the columns that it adds to those of its source, with their origins.
        counted: the tables whose rows the card counts.
        description: what the UI shows.
    """
    identity = ["instruction_id", "competitor"] if kind == "kto" else ["instruction_id"]

    def exported(step: Step) -> dg.MaterializeResult:
        arena = step.arena
        every = records.records(step.warehouse, arena)
        undecided = records.undecided(every, arena.export)["instruction_id"].unique()
        kept = every.filter(~pl.col("instruction_id").is_in(undecided.implode()))
        made = make(kept, arena)
        check_same_source(step, benchmark_overlap.name)
        rows = contamination.remove_overlapping(made, step.warehouse.read(benchmark_overlap.name, [WHOLE]))
        with_tokens = turn_tokens.rows_with_turn_tokens(rows)
        if arena.export.turn_tokens == "neutralise":
            rows = turn_tokens.neutralised(rows)
        counts = {one.name: step.warehouse.count(one.name, one.partitions(arena)) for one in counted if one.enabled(arena)}
        if arena.export.undecided == "leave_out":
            counts[f"left out of {kind}: undecided"] = len(undecided)
        if with_tokens:
            counts[f"{kind} rows with turn tokens ({arena.export.turn_tokens})"] = with_tokens
        if kind == "dpo" and "own_sample" in every.columns:
            counts["left out of dpo without a sample that returns something else"] = dpo.without_own_sample(kept)
        text = card_of(arena, kind, rows, counts, len(made) - len(rows))
        paths = files.write_dataset(rows, Path(arena.export.folder), kind, text)
        keyed = rows.with_columns(pl.concat_str(identity, separator=":").alias("row_id"))
        where = {f"path_{name}": dg.MetadataValue.path(path) for name, path in paths.items()}
        return record(
            step,
            {WHOLE: keyed},
            metadata={
                **where,
                "left_out_undecided": len(undecided),
                "left_out_for_benchmarks": len(made) - len(rows),
                "with_turn_tokens": with_tokens,
            },
        )

    exported.__doc__ = (
        f"{description} Written as Parquet, JSON Lines and a card, without good answers that were cut off, texts that overlap a"
        " benchmark, and instructions whose best answer no evidence decided (export.undecided)."
    )
    return table(
        name=f"{kind}_dataset",
        group=GROUP,
        partitioned_by="nothing",
        columns=("row_id", "instruction_id", *sft.OF_INSTRUCTION, *made_from),
        meanings=MEANINGS,
        reads=lambda arena: {
            **read_by_records(arena),
            **{one.name: SAME for one in (benchmark_overlap, *counted) if one.enabled(arena)},
        },
        settings=lambda arena: [
            arena.export.model_dump(mode="json", exclude={"folder"}),  # where the files are changes no row
            arena.battles.evidence,  # the card names it
        ],
        origins=origins(
            "answer_scores",
            row_id=" ".join(f"answer_scores.{column}" for column in identity),
            attacker="selected_instructions.competitor",
            language="selected_instructions.language",
            difficulty="selected_instructions.score",
            **made_from,
        ),
        kinds=("huggingface", "parquet"),
        if_empty="warn",  # all answers may be cut off, have equal scores, or be decided by no evidence
        invalidate_files=lambda arena: files.invalidate_dataset(Path(arena.export.folder), kind),
        enabled=lambda arena: kind in arena.export.formats,
    )(exported)


def datasets(counted: Sequence[Table]) -> list[Table]:
    """The table of each format; the cards count the rows of some tables."""
    competitor, score, decided_by = "answer_scores.competitor", "answer_scores.score", "answer_scores.decided_by"
    return [
        dataset(
            "sft",
            lambda rows, _: sft.sft_rows(rows),
            {"messages": f"{INSTRUCTION} {ANSWER}", "competitor": competitor, "score": score, "decided_by": decided_by},
            counted,
            "For supervised fine-tuning: each instruction with its gold answer, as `messages`.",
        ),
        dataset(
            "dpo",
            lambda rows, arena: (
                dpo.dpo_rows(rows, margin=arena.export.dpo_margin)
                if arena.export.dpo_rejected == "last"
                else dpo.own_sample_rows(rows)
            ),
            {
                **{"prompt": INSTRUCTION, "chosen": ANSWER, "rejected": f"{ANSWER} {OWN_SAMPLE}"},
                **dict.fromkeys(("chosen_competitor", "rejected_competitor"), competitor),
                **dict.fromkeys(("chosen_score", "rejected_score"), score),
                "decided_by": decided_by,
            },
            counted,
            "For preference tuning (DPO): each instruction with its best and its worst answer, or that sample of the same"
            " competitor which agrees least with the best one (export.dpo_rejected), as `prompt`, `chosen` and `rejected`.",
        ),
        dataset(
            "kto",
            lambda rows, _: kto.kto_rows(rows),
            {"prompt": INSTRUCTION, "completion": ANSWER, "label": score, "competitor": competitor, "score": score},
            counted,
            "For preference tuning (KTO): single answers, desirable or not, as `prompt`, `completion` and `label`.",
        ),
    ]


def card_of(arena: Arena, kind: str, rows: pl.DataFrame, counts: dict[str, int], left_out: int) -> str:
    """The card of one data set, of which `left_out` rows overlap a benchmark."""
    against = ", ".join(one.name for one in arena.export.benchmarks)
    return card.dataset_card(
        title=f"{arena.name} {kind}",
        kind=kind,
        rows=len(rows),
        models=[
            c.model_dump(include={"name", "model", "revision", "license"})
            | ({} if arena.mines(c.name) else {"revision": "a service that only chats; not mined"})
            for c in arena.competitors
        ],
        counts=counts | ({f"left out of {kind} for {against}": left_out} if against else {}),
        settings=arena.model_dump(mode="json", exclude=publishing.NOT_PUBLISHED | dict.fromkeys(arena.unused_sections, True)),
        names=publishing.public_names(arena),
        evidence=arena.battles.evidence,
    )
