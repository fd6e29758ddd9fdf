"""Ratings: how strong each competitor is overall, and how good each answer is within its group."""

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import OPINION, votes_table
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.judge_weights import check_all_sat, weights
from warrior_dagster.materialization.agreement import check_answers, check_columns, check_outcomes
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.columns import ANSWERED
from warrior_dagster.materialization.partitions import SAME
from warrior_dagster.materialization.recording import Step, check_same_source, counted, record
from warrior_dagster.materialization.table import table
from warrior_dagster.stages.ratings import deciding, judge_aware, leaderboard, scores
from warrior_dagster.warehouse.tables import WHOLE, Warehouse


def rated_votes(arena: Arena) -> list[str]:
    """The tables of votes that ratings are fitted to; none where they are of outcomes."""
    return [votes_table(kind) for kind in arena.battles.evidence] if arena.ratings.method == "judge_aware" else []


def read_with_votes(arena: Arena) -> list[str]:
    """The tables that ratings by votes are made from, besides the outcomes; none where they are of outcomes."""
    votes = rated_votes(arena)
    return [*votes, "answers", *(["judge_exams"] if arena.battles.exam else [])] if votes else []


def read_votes(arena: Arena, warehouse: Warehouse, outcomes: pl.DataFrame) -> judge_aware.Counted | None:
    """The votes on the battles of `outcomes` that ratings are fitted to; None where ratings are of outcomes. Opinions of judges
    without weight after their exam do not count. Raises LookupError if a judge sat no exam.
    """
    if arena.ratings.method != "judge_aware":
        return None
    columns = ["row_id", "instruction_id", "left", "right", "judge", "evidence", "status", "verdict", "p_left"]
    votes = pl.concat(warehouse.read(name, matchup_keys(arena.roster), columns) for name in rated_votes(arena))
    answers = warehouse.read("answers", arena.roster, ["instruction_id", "competitor", "answer"])
    if arena.battles.exam:
        judges, exams = arena.possible_judges, warehouse.read("judge_exams", arena.possible_judges)
        check_all_sat(exams, judges)
        silent = [judge for judge, weight in weights(exams, judges, arena.battles.votes).items() if not weight]
        votes = votes.filter((pl.col("evidence") != OPINION) | ~pl.col("judge").is_in(silent))
    return judge_aware.counted(votes, judge_aware.of_two_texts(outcomes, answers), arena.roster, arena.battles.votes)


@table(
    group="ratings",
    partitioned_by="nothing",
    columns=lambda arena: tuple(leaderboard.rating_schema(arena.ratings)),
    meanings={
        "method": "How ratings are computed (ratings.method).",
        "order_deviation": "The standard deviation of the rating over single orders of the battles.",
        "wins": "Battles that it won.",
        "ties": "Battles that ended in a tie.",
        "losses": "Battles that it lost.",
    },
    reads=lambda arena: dict.fromkeys(("battle_outcomes", *read_with_votes(arena)), SAME),
    settings=lambda arena: [arena.ratings, *([arena.battles.votes] if rated_votes(arena) else [])],
    kinds=("python", "lancedb"),
    origins=lambda arena: origins(
        **dict.fromkeys(
            [name for name in leaderboard.rating_schema(arena.ratings) if name not in ("row_id", "competitor", "method")],
            " ".join(
                [
                    "battle_outcomes.left battle_outcomes.right battle_outcomes.outcome",
                    *(f"{name}.p_left {name}.verdict {name}.judge" for name in rated_votes(arena)),
                    *([] if not rated_votes(arena) else ["answers.answer"]),
                    *(["judge_exams.p_better judge_exams.verdict"] if "judge_exams" in read_with_votes(arena) else []),
                ]
            ),
        ),
    ),
)
def elo_ratings(step: Step) -> dg.MaterializeResult:
    """Each competitor's rating over all battles, with a 95 % bootstrap interval; `ratings.method` says how. Elo is the mean
    over many orders of the battles, and its standard deviation over single orders is beside it.
    """
    arena = step.arena
    outcomes = step.warehouse.read("battle_outcomes", matchup_keys(arena.roster)).drop_nulls("outcome")
    votes = read_votes(arena, step.warehouse, outcomes)
    rated = leaderboard.rate(outcomes, arena.roster, arena.ratings, votes)
    standings = {row["competitor"]: round(row["rating"], 1) for row in rated.iter_rows(named=True)}
    plotted = {f"rating {name}": rating for name, rating in standings.items()}  # the UI draws numbers over time
    metadata = {"ratings": standings, **plotted, "battles": len(outcomes), "seed": arena.ratings.seed}
    if "order_deviation" in rated.columns:
        deviations = rated.select("competitor", pl.col("order_deviation").round(1)).iter_rows()
        metadata["standard deviation over single orders"] = dict(deviations)
    if votes is not None:
        _, metadata["discrimination"] = judge_aware.rate(votes, len(arena.roster), initial=arena.ratings.initial)
    return record(step, {WHOLE: rated}, metadata=metadata)


SCORE = "elo_ratings.rating battle_outcomes.local_left answers.answer"


def score_columns(arena: Arena) -> tuple[str, ...]:
    """The columns of scores; where it is observed what answers return, also how far they agree."""
    columns = ("row_id", "instruction_id", "competitor", "score", "elo_part", "local_part", "rank", "gold", "advantage")
    return (*columns, "opponents", "decided_by", *(["agreement"] if arena.observes else []))


@table(
    group="ratings",
    partitioned_by="nothing",
    columns=score_columns,
    meanings={
        "competitor": ANSWERED,
        "score": "ratings.alpha times elo_part, plus (1 - ratings.alpha) times local_part.",
        "elo_part": "Sum of the wins over the others' answers that the ratings expect.",
        "local_part": "Sum of its shares of the votes against the others' answers.",
        "rank": "1 is the best answer of the instruction.",
        "gold": "Whether it is the best answer, one for each instruction.",
        "advantage": "The score in standard deviations above the mean of the instruction's answers.",
        "opponents": "Number of other usable answers to the instruction.",
        "agreement": "Mean share of inputs on which it returns what another answer returns; empty where it is unknown.",
    },
    reads={"elo_ratings": SAME, "battle_outcomes": SAME, "answers": SAME, "selected_instructions": SAME},
    settings=lambda arena: [arena.ratings, arena.battles.evidence],
    kinds=("numpy", "lancedb"),
    origins=lambda arena: origins(
        row_id="answers.instruction_id answers.competitor",
        instruction_id="answers.instruction_id",
        competitor="answers.competitor",
        score=SCORE,
        elo_part="elo_ratings.rating answers.answer",  # competitors with the same text share its parts
        local_part=SCORE,  # where a pair did not meet, the ratings replace the votes
        advantage=SCORE,
        rank=f"{SCORE} answers.completion_key",
        gold=f"{SCORE} answers.completion_key",
        opponents="answers.usable",
        decided_by=f"{SCORE} battle_outcomes.decided_by answers.completion_key",
        **({"agreement": "battle_outcomes.agreement"} if arena.observes else {}),
    ),
)
def answer_scores(step: Step) -> dg.MaterializeResult:
    """The final score of every answer: `ratings.alpha` times what the ratings expect, plus the rest times what the votes say.
    The best answer of each instruction is its gold answer, with what decided it: a kind of evidence, or only the rating or the
    length.
    """
    arena, warehouse = step.arena, step.warehouse
    selected = warehouse.read("selected_instructions", arena.roster, ["instruction_id", "competitor"])
    answers = warehouse.read("answers", arena.roster)
    check_answers(answers, selected, arena.roster)
    outcomes = warehouse.read("battle_outcomes", matchup_keys(arena.roster))
    check_columns("battle_outcomes", outcomes, "decided_by")
    check_outcomes(outcomes, selected, arena.roster, arena.battles.instructions)
    ratings = dict(warehouse.read("elo_ratings", [WHOLE]).select("competitor", "rating").iter_rows())
    check_same_source(step, "elo_ratings")
    fought = outcomes.drop_nulls("outcome")
    scored = scores.final_scores(fought, ratings, answers, arena.roster, alpha=arena.ratings.alpha)
    explained = deciding.with_deciders(scored, answers, fought, arena.battles.evidence)
    keyed = explained.with_columns(pl.format("{}:{}", "instruction_id", "competitor").alias("row_id"))
    gold = keyed.filter("gold")
    metadata = {"gold": counted(gold, "competitor"), "decided_by": counted(gold, "decided_by")}
    return record(step, {WHOLE: keyed.select(score_columns(arena))}, metadata=metadata)


TABLES = [elo_ratings, answer_scores]
