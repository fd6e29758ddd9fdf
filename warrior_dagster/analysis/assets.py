"""Analysis: what a reader of the articles looks for first, each a table with its picture."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.analysis import (
    agreement_with_tests,
    audit,
    categories,
    exam_scores,
    instruction_flow,
    novelty,
    pictures,
    standings,
)
from warrior_dagster.config import reference_sets
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.materialization import table as description
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import MINED_FROM
from warrior_dagster.materialization.partitions import SAME
from warrior_dagster.materialization.recording import Step, counted, record, split
from warrior_dagster.materialization.staleness import table_of
from warrior_dagster.materialization.table import Requests, tokens_of
from warrior_dagster.stages.battles.votes import COUNTED_OF_VOTES
from warrior_dagster.stages.curation.columns import topic_column
from warrior_dagster.stages.ratings.assets import rated_votes, read_votes, read_with_votes
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

JUDGES_ARE_SOUND = "judges_are_sound"
GROUP = "analysis"
table = partial(description.table, partitioned_by="nothing", group=GROUP, kinds=("polars", "matplotlib", "lancedb"))


@description.table(
    group=GROUP,
    partitioned_by="competitor",
    columns=(*categories.SCHEMA, "competitor"),
    meanings={
        "competitor": MINED_FROM,
        "judge": "The competitor that says the category.",
        "category": "The kind of task; empty if the judge abstained.",
        "probability": "The probability that the judge gives this category.",
        "reason": "Why the judge abstained; empty if it did not.",
    },
    reads={"selected_instructions": SAME},
    settings=lambda arena: [arena.analysis.category_prompt],
    origins=origins(
        "selected_instructions",
        **dict.fromkeys(("category", "probability", "reason"), "selected_instructions.instruction"),
    ),
    requests=Requests(
        lambda arena, _: (arena.mining.max_tokens + tokens_of(arena.analysis.category_prompt), 1),
        asked=lambda arena, attacker: [categories.judge_of(arena, attacker)],
    ),
    enabled=lambda arena: arena.analysis.categories,
)
def task_categories(step: Step) -> dg.MaterializeResult:
    """The kind of task of each selected instruction, according to a judge: code generation, explanation, debugging,
    optimisation, code reasoning, testing or other. A judge that names none abstains.
    """
    selected = step.warehouse.read("selected_instructions", step.keys)
    result = categories.categorise(step.arena, step.engines, selected, step.log)
    rows = pl.DataFrame(result.rows, schema=categories.SCHEMA)
    rows = rows.join(selected.select("instruction_id", "competitor"), on="instruction_id")
    return record(
        step,
        split(rows, step),
        describe=lambda f: {"categories": counted(f.with_columns(pl.col("category").fill_null("abstained")), "category")},
        metadata=picture("task_categories", rows),
        result=result,
    )


COUNTED = (
    *("mined_instructions.status", "unique_instructions.kept", "instruction_difficulty.kept"),
    *("selected_instructions.instruction_id", "battle_outcomes.outcome", "answer_scores.decided_by", "sft_dataset.attacker"),
)
"""The columns that the funnel counts."""


def counted_in(arena: Arena) -> list[str]:
    """The tables that the funnel counts in an arena."""
    unused = {"sft_dataset": "sft" not in arena.export.formats, "answer_scores": arena.export.undecided == "keep"}
    return [name for name in (column.split(".")[0] for column in COUNTED) if not unused.get(name)]


@table(
    columns=tuple(instruction_flow.FUNNEL),
    meanings={
        "competitor": "The competitor that the instructions were mined from; empty for all competitors together.",
        "step": "The place of the stage, from 0.",
        "stage": "What the instructions are after the stage.",
        "rows": "Instructions that the stage left.",
        "dropped": "Instructions that it dropped.",
        "why": "Why it dropped them.",
    },
    reads=lambda arena: dict.fromkeys(counted_in(arena), SAME),
    settings=lambda arena: [
        arena.deduplication.threshold,
        arena.difficulty.keep,
        *topic_column(arena),
        arena.selection.centres,
        arena.export.formats,
        arena.export.undecided,
    ],
    origins=origins(
        competitor="mined_instructions.competitor",
        why="mined_instructions.status",
        **dict.fromkeys(("rows", "dropped"), " ".join(COUNTED)),
    ),
)
def funnel(step: Step) -> dg.MaterializeResult:
    """How many instructions each stage left, from mined to exported, and why it dropped the others: a row for each stage and
    competitor, and one for all competitors together.
    """
    return pictured(step, instruction_flow.funnel(*instruction_flow.funnel_stages(step.arena, step.warehouse)))


@table(
    columns=("row_id", "instruction_id", "instruction", "competitor", "reference_set", "rouge_l", "nearest"),
    meanings={
        "competitor": MINED_FROM,
        "reference_set": "The set of texts that it is compared with (analysis.references).",
        "rouge_l": "The ROUGE-L F1 with the nearest text of the set, 0 to 1; 1 is the same text.",
        "nearest": "The nearest text of the set.",
    },
    reads={"unique_instructions": SAME},
    settings=lambda arena: [reference_sets.contents(arena.analysis.references), *arena.analysis.references],
    origins=origins(
        "unique_instructions",
        row_id="unique_instructions.instruction_id",
        **dict.fromkeys(("rouge_l", "nearest"), "unique_instructions.instruction"),
    ),
)
def instruction_novelty(step: Step) -> dg.MaterializeResult:
    """The similarity of each mined instruction to the nearest text of each reference set, by ROUGE-L F1 (1 is the same text).
    The paper's instructions are mostly below 0.3 and never above 0.6.
    """
    references = step.arena.analysis.references
    kept = step.warehouse.read("unique_instructions", step.arena.roster).filter("kept")
    rows = pl.concat(
        [novelty.nearest_in_set(kept, one.name, reference_sets.texts_of(one)) for one in references]
        or [novelty.nearest_in_set(kept.clear(), "", [])]
    )
    shares = {
        one.name: {f"above {mark}": share_above(rows.filter(reference_set=one.name), mark) for mark in pictures.MARKS}
        for one in references
    }
    return pictured(step, rows, {"shares": shares})


@table(
    columns=("row_id", "competitor", "band", "instructions", "share"),
    meanings={"competitor": MINED_FROM},
    reads={"instruction_difficulty": SAME},
    origins=origins(
        row_id="instruction_difficulty.competitor instruction_difficulty.band",
        competitor="instruction_difficulty.competitor",
        **dict.fromkeys(("instructions", "share"), "instruction_difficulty.band"),
    ),
)
def difficulty_bands(step: Step) -> dg.MaterializeResult:
    """How hard and how good each competitor's instructions are, according to judges: the share of each band of scores."""
    rated = step.warehouse.read("instruction_difficulty", step.arena.roster)
    return pictured(step, instruction_flow.difficulty_bands(rated))


@table(
    columns=("row_id", "competitor", "opponent", "battles", "won", "tied", "lost", "win_rate", "low", "high"),
    meanings={
        "won": "Battles that the competitor won.",
        "tied": "Battles that ended in a tie.",
        "lost": "Battles that the opponent won.",
        "win_rate": "The share of battles that the competitor won; a tie counts half.",
    },
    reads={"battle_outcomes": SAME},
    origins=origins(
        **dict.fromkeys(("row_id", "competitor", "opponent"), "battle_outcomes.left battle_outcomes.right"),
        **dict.fromkeys(("battles", "won", "tied", "lost", "win_rate", "low", "high"), "battle_outcomes.outcome"),
    ),
)
def head_to_head(step: Step) -> dg.MaterializeResult:
    """How often each competitor beats each other one, with the number of battles and the 95 % interval."""
    return pictured(step, standings.head_to_head(fought(step.arena, step.warehouse)))


@table(
    columns=("row_id", "competitor", "rating", "low", "high", "battles"),
    meanings={"battles": "Number of battles that the rating is made from."},
    reads=lambda arena: dict.fromkeys(("battle_outcomes", *read_with_votes(arena)), SAME),
    settings=lambda arena: [arena.ratings, *([arena.battles.votes] if rated_votes(arena) else [])],
    origins=origins(
        **dict.fromkeys(
            ("rating", "low", "high", "battles"),
            "battle_outcomes.left battle_outcomes.right battle_outcomes.outcome",
        ),
    ),
)
def rating_history(step: Step) -> dg.MaterializeResult:
    """The ratings from more and more of the battles, with their intervals: they show whether more battles would still change
    them.
    """
    arena = step.arena
    votes_on = partial(read_votes, arena, step.warehouse)
    return pictured(step, standings.rating_history(fought(arena, step.warehouse), arena.roster, arena.ratings, votes_on))


def of_shares(name: str, made_from: str) -> dict[str, str]:
    """The origins of one of the audit's shares, of its number of cases and of its interval."""
    return dict.fromkeys((name, f"{name}_of", f"{name}_low", f"{name}_high"), made_from)


def shares_with_intervals(shares: dict[str, str]) -> dict[str, str]:
    """What the columns of some shares mean, with those of their numbers of cases and of their intervals."""
    ends = {"of": "Number of cases of", "low": "The lower end of the 95 % interval of", "high": "The upper end of that of"}
    return shares | {f"{name}_{end}": f"{words} `{name}`." for name in shares for end, words in ends.items()}


AUDIT = {
    "votes": "Number of its votes, abstentions included.",
    "abstained": "The share of its votes that could not be read.",
    "tied": "The share of its votes that prefer no side.",
    "accuracy": "Of the battles that tests decide, the share where it prefers the same side; none preferred counts half.",
    "weight": "What one of its opinions counts after its exam.",
    **shares_with_intervals(
        {
            "first": "Of its votes for a side, the share for the answer that was shown first; one half is unbiased.",
            "consistent": "Of the battles that it judged in both orders, the share with the same verdict.",
            "agrees": "Of the battles where it and the other judges prefer a side, the share with the same side.",
            "longer": "Of its votes for a side, the share for the longer answer.",
            agreement_with_tests.SHARE: "Of the battles where it and the tests prefer a side, the share with the same side.",
            "exam": "The share of its exam's questions that it answered right.",
            "exam_real": "The same for questions with two real answers.",
            "exam_consistent": "The share of its exam's questions with the same verdict in both orders.",
        }
    ),
}
"""What the columns of the audit mean."""


def exam_origins() -> dict[str, str]:
    """The origins of what the audit says of exams."""
    verdicts = "judge_exams.p_better judge_exams.verdict"
    found = {name: column for share in exam_scores.SHARES for name, column in of_shares(share, verdicts).items()}
    return found | {"weight": verdicts}


def audit_origins(arena: Arena) -> dict[str, str]:
    """The origins of the judge audit's columns; with tests as evidence also of each judge's agreement with them."""
    preference = f"judge_votes.{'p_left' if arena.battles.votes == 'soft' else 'verdict'}"
    with_tests = f"{preference} execution_votes.p_left"
    return origins(
        **dict.fromkeys(("row_id", "judge"), "judge_votes.judge"),
        **dict.fromkeys(("votes", "abstained", "tied"), "judge_votes.status"),
        **of_shares("first", "judge_votes.verdict judge_votes.order"),
        **of_shares("consistent", "judge_votes.verdict"),
        **of_shares("agrees", preference),
        **of_shares("longer", "judge_votes.verdict answers.answer"),
        **(of_shares(agreement_with_tests.SHARE, with_tests) | {"accuracy": with_tests} if arena.runs_tests else {}),
        **(exam_origins() if arena.battles.exam else {}),
    )


@table(
    columns=lambda arena: tuple(audit_origins(arena)),
    meanings=AUDIT,
    reads=lambda arena: dict.fromkeys(
        [
            *("answers", "judge_votes"),
            *(["execution_votes"] if arena.runs_tests else []),
            *(["judge_exams"] if arena.battles.exam else []),
        ],
        SAME,
    ),
    settings=lambda arena: [arena.battles.votes, arena.runs_tests, *(["exam"] if arena.battles.exam else [])],
    origins=audit_origins,
    checks=[
        (
            JUDGES_ARE_SOUND,
            "Whether no judge decides by the position of an answer, and none contradicts itself or the others more often than"
            " chance would, and whether each has a vote after its exam.",
        )
    ],
    enabled=lambda arena: arena.asks_judges,
)
def judge_audit(step: Step) -> dg.MaterializeResult:
    """Which judges to trust: how often each decides by the position or the length of an answer, gives the same verdict in both
    orders, and agrees with the other judges and with the tests. A judge that is worse than chance, always says A, or has no
    weight after its exam fails the check, as a warning.
    """
    arena, warehouse, soft = step.arena, step.warehouse, step.arena.battles.votes == "soft"
    votes = warehouse.read("judge_votes", matchup_keys(arena.roster), COUNTED_OF_VOTES)
    length = pl.col("answer").str.len_chars().alias("length")
    lengths = warehouse.read("answers", arena.roster).select("instruction_id", "competitor", length)
    audited = audit.audit(votes, lengths, soft=soft)
    if arena.runs_tests:
        executed = warehouse.read("execution_votes", matchup_keys(arena.roster), COUNTED_OF_VOTES)
        audited = agreement_with_tests.with_tests(audited, votes, executed, soft=soft)
    if arena.battles.exam:
        exams = warehouse.read("judge_exams", arena.roster)
        audited = exam_scores.with_exam(audited, exams, arena.battles.votes)
    faults = audit.faults(audited)
    # A finding about the models, not about the run: nothing has to be repeated.
    sound = dg.AssetCheckResult(
        check_name=JUDGES_ARE_SOUND, passed=not faults, severity=dg.AssetCheckSeverity.WARN, metadata=faults
    )
    alpha = audit.krippendorff_alpha(audit.preferences(votes, soft=soft))
    metadata = {"krippendorff_alpha": "undefined" if alpha is None else alpha, "faults": faults}
    return pictured(step, audited.with_columns(row_id="judge"), metadata, [sound])


def fought(arena: Arena, warehouse: Warehouse) -> pl.DataFrame:
    """The battles of all matchups that took place."""
    return warehouse.read("battle_outcomes", matchup_keys(arena.roster)).drop_nulls("outcome")


def pictured(
    step: Step,
    rows: pl.DataFrame,
    metadata: dict[str, Any] | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
) -> dg.MaterializeResult:
    """Record a table with its picture."""
    drawn = picture(table_of(step.context.asset_key), rows)
    return record(step, {WHOLE: rows}, metadata={**drawn, **(metadata or {})}, checks=checks)


def picture(name: str, rows: pl.DataFrame) -> dict[str, Any]:
    """The metadata that shows a table's picture."""
    figure = pictures.PICTURES[name](rows)
    return {"picture": dg.MetadataValue.md(pictures.as_markdown(figure, name.replace("_", " ")))}


def share_above(rows: pl.DataFrame, mark: float) -> float:
    """The share of rows above a mark of ROUGE-L; 0 if there are none."""
    return float((rows["rouge_l"] > mark).mean() or 0.0) if len(rows) else 0.0  # type: ignore[arg-type]


TABLES = [
    *(task_categories, funnel, instruction_novelty, difficulty_bands),
    *(head_to_head, rating_history, judge_audit),
]
