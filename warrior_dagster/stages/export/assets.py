"""Export: the scored answers as data sets that trainers read, each with a card that says where it came from."""

from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from warrior_dagster.config import reference_sets
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import SAME
from warrior_dagster.materialization.recording import Step, check_same_source, record
from warrior_dagster.materialization.table import Table, table
from warrior_dagster.stages.export import card, contamination, dpo, files, kto, publishing, records, sft, turn_tokens
from warrior_dagster.warehouse.tables import WHOLE

INSTRUCTION, ANSWER, OWN_SAMPLE = "selected_instructions.instruction", "answers.answer", "answer_samples.answer"


def read_by_records(arena: Arena) -> dict[str, str]:
    """What `records.records` reads."""
    samples = () if arena.export.dpo_rejected == "last" else ("answer_samples",)
    return dict.fromkeys(("answer_scores", "answers", *samples, "selected_instructions"), SAME)


@table(
    partitioned_by="nothing",
    columns=tuple(contamination.SCHEMA),
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
    """The instructions and answers that share many consecutive words with a benchmark, with the task and those words. No
    data set contains them, since a model trained on a benchmark cannot be measured with it.
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
        f"{description} Parquet, JSON Lines and a card; answers cut off at the token limit are never shown as good ones, and"
        " what overlaps a benchmark is left out, as are instructions whose best answer no evidence decided (export.undecided)."
    )
    return table(
        name=f"{kind}_dataset",
        partitioned_by="nothing",
        columns=("row_id", "instruction_id", *sft.OF_INSTRUCTION, *made_from),
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
            "Each instruction with its gold answer, as `messages`, for supervised fine-tuning.",
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
            "Each instruction with its best and its worst answer, or a worse sample of the best one (export.dpo_rejected):"
            " `prompt`, `chosen`, `rejected`.",
        ),
        dataset(
            "kto",
            lambda rows, _: kto.kto_rows(rows),
            {"prompt": INSTRUCTION, "completion": ANSWER, "label": score, "competitor": competitor, "score": score},
            counted,
            "Single answers, desirable or not: `prompt`, `completion`, `label`.",
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
