"""Battles: everybody answers, every pair of competitors meets, and all evidence together decides."""

from collections.abc import Sequence
from typing import Any, get_args

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import OPINION, Kind
from warrior_dagster.config.matchups import sides
from warrior_dagster.inference.text_settings import answer_settings
from warrior_dagster.judge_weights import check_all_sat, weights
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import ANSWER_STATUS, ANSWERED
from warrior_dagster.materialization.partitions import BOTH_SIDES, EVERYONE, JUDGES, SAME
from warrior_dagster.materialization.recording import Step, counted, record, split
from warrior_dagster.materialization.table import Requests, table
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.behaviours.agreement import with_agreement
from warrior_dagster.stages.battles.evidence import KINDS, kinds_in
from warrior_dagster.stages.battles.open_battles import closing_tables, open_battles
from warrior_dagster.stages.battles.outcomes import STATUSES, outcomes, weighted_outcomes
from warrior_dagster.stages.battles.pairing import read_pairs
from warrior_dagster.stages.battles.samples.assets import answer_samples, sample_behaviours, settled_answers
from warrior_dagster.stages.battles.unit_tests.assets import generated_tests
from warrior_dagster.stages.battles.votes import COUNTED_OF_VOTES, VOTES_PER_BATTLE, check_votes
from warrior_dagster.warehouse.tables import Warehouse


@table(
    group="answers",
    partitioned_by="competitor",
    columns=tuple(answering.SCHEMA),
    meanings={"competitor": ANSWERED, "status": ANSWER_STATUS},
    reads={"selected_instructions": EVERYONE},
    settings=lambda arena: [arena.answers.model_dump(mode="json", exclude={"samples"})],
    origins=origins(
        "selected_instructions",
        competitor="",  # who answers, and not whom the instruction was mined from
        **dict.fromkeys(("status", "answer", "reasoning", "usable", "tokens"), "selected_instructions.instruction"),
    ),
    usable=pl.col("usable"),
    usable_row="a usable answer",
    no_empty_partition=True,
    on_card=True,
    requests=Requests(
        lambda arena, one: (arena.mining.max_tokens, arena.answer_sampling(one).max_tokens), settings=answer_settings
    ),
    enabled=lambda arena: not arena.settles,
)
def answers(step: Step) -> dg.MaterializeResult:
    """A competitor's answer to every selected instruction, whichever competitor it was mined from."""
    selected = step.warehouse.read("selected_instructions", step.arena.roster)
    answered = answering.answer(step.arena, step.engines, selected, step.keys, step.log)
    rows = pl.DataFrame(answered.rows, schema=answering.SCHEMA)
    return record(step, split(rows, step), describe=lambda f: {"statuses": counted(f, "status")}, result=answered)


def outcome_columns(arena: Arena) -> tuple[str, ...]:
    """The columns of outcomes; where there are several kinds of evidence, also how much each contributed."""
    kinds = kinds_in(arena)
    columns = ("row_id", "instruction_id", "attacker", "left", "right", "votes_left", "votes_right", *STATUSES)
    return (
        *columns,
        *(["opinions"] if arena.battles.exam else []),
        "local_left",
        "outcome",
        "decided_by",
        *(f"from_{one.kind}" for one in kinds if not arena.battles.only_opinions),
        *(["agreement"] if arena.observes else []),
    )


def outcome_origins(arena: Arena) -> dict[str, str]:
    """The origins of these columns."""
    share, kinds = "p_left" if arena.battles.votes == "soft" else "verdict", kinds_in(arena)
    of_share, of_status = (" ".join(f"{one.votes.name}.{column}" for one in kinds) for column in (share, "status"))
    of_share += " judge_exams.p_better judge_exams.verdict" if arena.battles.exam else ""
    return origins(
        **dict.fromkeys(("row_id", "instruction_id"), "selected_instructions.instruction_id"),
        attacker="selected_instructions.competitor",
        **dict.fromkeys(("votes_left", "votes_right"), f"{of_share} answers.answer"),
        **dict.fromkeys(STATUSES, of_status),
        **({"opinions": "judge_votes.status judge_exams.verdict"} if arena.battles.exam else {}),
        **dict.fromkeys(("local_left", "outcome", "decided_by"), f"{of_share} answers.answer answers.usable"),
        **{f"from_{one.kind}": f"{one.votes.name}.{share}" for one in kinds if not arena.battles.only_opinions},
        **({"agreement": "answer_behaviours.outcome answer_behaviours.value"} if arena.observes else {}),
    )


@table(
    group="battles",
    partitioned_by="matchup",
    columns=outcome_columns,
    meanings={
        "votes_left": "Sum of the votes for the left answer, weighed where kinds of evidence or judges have weights.",
        "votes_right": "Sum of the votes for the right answer.",
        "decided": "Number of votes that prefer a side.",
        "tie": "Number of votes that prefer none.",
        "failed": "Number of abstentions.",
        "local_left": "The share of the votes for the left answer; empty where a side has no usable answer.",
        "outcome": "1 if the left side won, 0.5 for a tie, 0 if the right side won; empty where a side has no usable answer.",
        "decided_by": "The kind of evidence that decided, or contributed most; empty for ties.",
        "opinions": "Number of opinions that count: those of judges with a weight after their exam.",
        **{f"from_{kind}": f"How much votes of the kind {kind} contributed to both sums." for kind in get_args(Kind)},
        "agreement": "The share of inputs on which both answers return the same; empty where it is unknown.",
    },
    reads=lambda arena: {
        "selected_instructions": EVERYONE,
        "answers": BOTH_SIDES,
        **{one.votes.name: SAME for one in kinds_in(arena)},
        **({"answer_behaviours": BOTH_SIDES} if arena.observes else {}),
        **({"judge_exams": JUDGES} if arena.battles.exam else {}),
    },
    settings=lambda arena: [
        [arena.battles.votes, arena.battles.instructions],
        arena.battles.model_dump(
            mode="json", include=set() if arena.battles.only_opinions else {"evidence", "combine", "weights"}
        ),
        *closing_tables(arena.battles),
        *(["exam"] if arena.battles.exam else []),
    ],
    origins=outcome_origins,
    usable=pl.col("outcome").is_not_null(),
    usable_row="a battle with an outcome",
    no_empty_partition=True,
    on_card=True,
)
def battle_outcomes(step: Step) -> dg.MaterializeResult:
    """Who won each battle of a matchup: the votes for both sides (opinions, tests and behaviour, as battles.evidence says), the
    local score, and the outcome for the left side. After an exam, opinions weigh what their judge scored.
    """
    arena, kinds, frames = step.arena, kinds_in(step.arena), {}
    of_judges = judge_weights(arena, step.warehouse, step.keys)
    votes = {one.votes.name: step.warehouse.read(one.votes.name, step.keys, COUNTED_OF_VOTES) for one in kinds}
    for m, pairs in read_pairs(arena, step.warehouse, step.keys).items():
        own = {name: rows.filter(partition=m) for name, rows in votes.items()}
        asked = open_battles(pairs, [own[name] for name in closing_tables(arena.battles)], arena.battles)
        for one in kinds:
            voted_on = asked if one.kind == OPINION and closing_tables(arena.battles) else None
            check_votes(pairs, own[one.votes.name], VOTES_PER_BATTLE[one.kind](arena, m), one.votes.name, voted_on)
        frames[m] = (
            outcomes(pairs, own[kinds[0].votes.name], *sides(m), arena.battles.votes, of_judges)
            if arena.battles.only_opinions
            else weighted_outcomes(pairs, own.values(), *sides(m), arena.battles, of_judges)
        )
    if arena.observes:
        observed = step.warehouse.read("answer_behaviours", sorted({name for m in frames for name in sides(m)}))
        frames = {m: with_agreement(frame, observed, *sides(m)) for m, frame in frames.items()}
    return record(step, frames, describe=tally)


def judge_weights(arena: Arena, warehouse: Warehouse, matchups: Sequence[str]) -> dict[str, float] | None:
    """The weights of the judges of some matchups, by their exams; None in an arena without exams. Raises LookupError if one sat
    none.
    """
    if not arena.battles.exam:
        return None
    judges = sorted({judge for m in matchups for judge in arena.judges(*sides(m))})
    exams = warehouse.read("judge_exams", judges)
    check_all_sat(exams, judges)
    return weights(exams, judges, arena.battles.votes)


def tally(battles: pl.DataFrame) -> dict[str, Any]:
    """Wins, ties and losses of the left side."""
    return {
        "left_won": battles.filter(outcome=1.0).height,
        "tied": battles.filter(outcome=0.5).height,
        "right_won": battles.filter(outcome=0.0).height,
        "unanswered": battles["outcome"].null_count(),
    }


BEFORE_BATTLES = [answers, answer_samples, generated_tests, sample_behaviours, settled_answers]
"""What settling needs comes before the battles, each table after those that it reads."""
LAST_OPINIONS = sorted(KINDS, key=lambda one: one.kind == OPINION)  # judges may be asked only where the others do not decide
OF_BATTLES = [table for one in LAST_OPINIONS for table in one.tables if table not in BEFORE_BATTLES]
TABLES = [*BEFORE_BATTLES, *OF_BATTLES, battle_outcomes]
