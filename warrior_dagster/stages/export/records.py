"""The input of every format: the scored answers with their instructions."""

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import UNDECIDED
from warrior_dagster.config.stages import Export
from warrior_dagster.materialization.agreement import check_answers, check_columns, check_rows
from warrior_dagster.warehouse.tables import WHOLE, Warehouse


def shown_answer(export: Export) -> pl.Expr:
    """The text of an answer in a data set, from the columns of `answers`.

    With `export.reasoning` the reasoning comes first, between the tags that chat templates of reasoning models read.
    """
    both = pl.format("<think>\n{}\n</think>\n\n{}", "reasoning", "answer")
    return (
        pl.when(pl.col("reasoning").is_not_null()).then(both).otherwise("answer").alias("answer")
        if export.reasoning
        else pl.col("answer")
    )


def records(warehouse: Warehouse, arena: Arena) -> pl.DataFrame:
    """One row for each instruction and usable answer, with its score, and with export.dpo_rejected: own_sample also the text
    `own_sample` of `with_own_samples`.

    Raises LookupError if one is of another selection, or the scores are of an earlier version.
    """
    scored = warehouse.read("answer_scores", [WHOLE])
    check_columns("answer_scores", scored, "decided_by")
    selected, answers = (warehouse.read(table, arena.roster) for table in ("selected_instructions", "answers"))
    check_answers(answers, selected, arena.roster)
    check_rows("answer_scores", scored, answers.filter("usable").select("competitor", "instruction_id"))
    names = {"attacker": "competitor", "difficulty": "score"}
    instructions = selected.select("instruction_id", "instruction", "language", **names)
    own = [] if arena.export.dpo_rejected == "last" else ["own_sample"]
    answers = with_own_samples(answers, warehouse, arena) if own else answers
    shown, finished = shown_answer(arena.export), pl.col("status") == "ok"
    given = answers.select("instruction_id", "competitor", shown, *own, finished=finished)
    return (
        scored.filter(pl.col("opponents") > 0)  # an answer without opponents was never judged
        .join(instructions, on="instruction_id", maintain_order="left")
        .join(given, on=["instruction_id", "competitor"], maintain_order="left")
        .select(
            "instruction_id", "instruction", "attacker", "language", "difficulty", "competitor", "answer", "finished",
            "score", "rank", "gold", "advantage", "decided_by", *own,
        )
    )  # fmt: skip


def with_own_samples(answers: pl.DataFrame, warehouse: Warehouse, arena: Arena) -> pl.DataFrame:
    """The answers with `own_sample`, the text of their competitor's sample that agrees least with them, or null.

    Raises LookupError if an answer is of an earlier version of the samples, whose numbers now mean other texts.
    """
    samples = warehouse.read("answer_samples", arena.roster)
    if settled_before := len(
        answers.join(samples, on=["instruction_id", "competitor", "sample", "completion_key"], how="anti")
    ):
        raise LookupError(f"answers: {settled_before} are not of the present samples; materialize answers first")
    text = shown_answer(arena.export).alias("own_sample")
    samples = samples.select("instruction_id", "competitor", text, least_like="sample")
    return answers.join(samples, on=["instruction_id", "competitor", "least_like"], how="left", maintain_order="left")


def undecided(records: pl.DataFrame, export: Export) -> pl.DataFrame:
    """The records that export.undecided leaves out: those of instructions whose best answer no evidence decided."""
    left_out = export.undecided == "leave_out"
    return records.filter(pl.lit(left_out) & pl.col("decided_by").is_in(UNDECIDED))
