"""Lineages: an instruction with its answers, the votes on them, all prompts, and how it was mined.

Everything is looked up by key in the warehouse and in the ledger; a missing value is null.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import OPINION
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.judge_weights import weights as opinion_weights
from warrior_dagster.materialization.table import Table
from warrior_dagster.report.behaviours import compared
from warrior_dagster.report.why import reasons
from warrior_dagster.stages.battles import assets as battles
from warrior_dagster.stages.battles.evidence import KINDS
from warrior_dagster.stages.curation.assets import instruction_difficulty, selected_instructions, unique_instructions
from warrior_dagster.stages.mining.assets import mined_instructions
from warrior_dagster.stages.ratings.assets import answer_scores
from warrior_dagster.warehouse.tables import NEVER_MATERIALIZED, Warehouse

Lineage = dict[str, Any]
VOTE = ("judge", "left", "right", "evidence", "order", "status", "reason", "verdict", "p_left", "p_right", "text", "reasoning")
RATING = ("judge", "score", "on_topic", "reason", "text", "reasoning", "completion_key")
EXAMS = "judge_exams"
"""The table of what judges scored in their exams. It is of judges, not of instructions."""
TABLES = (
    *(mined_instructions, unique_instructions, instruction_difficulty, selected_instructions),
    *battles.TABLES,
    answer_scores,
)
Rows = dict[str, list[dict[str, Any]]]
"""The rows of one instruction by the name of their table."""


def tables(arena: Arena) -> list[Table]:
    """The tables that lineages come from."""
    return [table for table in TABLES if table.enabled(arena)]


def lineages(arena: Arena, warehouse: Warehouse, ledger: LedgerReader, instruction_ids: Sequence[str]) -> list[Lineage]:
    """The lineage of some instructions, in their order. Raises LookupError for an instruction that no table has.

    Keys: instruction_id, instruction, attacker, `mined` (language, temperature, top_p, sample), `kept` and `duplicate_of`,
    `difficulty` (score, band), `ratings` of the difficulty by judge, `rank` among the selected, `answers` (best first:
    competitor, answer, score, gold, decided_by, and its other `samples`), `why` the first of them won, in sentences, `votes`
    of all kinds of evidence, `outcomes` of battles, `tests` with their outcomes, `behaviours` (`behaviours.compared`), and the
    weights of `judges`, if they sat exams. Each completion has `asked`, its request: model, prompt, params and sample. That of
    a vote by tests is the request for the tests.
    """
    rows, weights = {}, judge_weights(arena, warehouse)
    for table in tables(arena):
        if table.name != EXAMS:
            found = warehouse.read_existing(table.name, table.partitions(arena), instructions=instruction_ids)
            rows[table.name] = {} if found is None else found.rows_by_key("instruction_id", named=True, include_key=True)
    made = [
        lineage(arena, {name: by_instruction.get(one, []) for name, by_instruction in rows.items()}, weights, one)
        for one in instruction_ids
    ]
    holders = [holder for one in made for holder in (one["mined"], *one["ratings"], *one["answers"], *one["votes"]) if holder]
    requests = ledger.requests(sorted({holder["completion_key"] for holder in holders if holder["completion_key"]}))
    for holder in holders:
        request = requests.get(holder["completion_key"])
        holder["asked"] = request and {**picked(request, "model", "prompt", "sample"), "params": json.loads(request["params"])}
    return made


def judge_weights(arena: Arena, warehouse: Warehouse) -> dict[str, float]:
    """The weights of the judges that sat exams; empty without exams."""
    exams = warehouse.read_existing(EXAMS, arena.roster) if arena.battles.exam else None
    return {} if exams is None else opinion_weights(exams, arena.possible_judges, arena.battles.votes)


def lineage(arena: Arena, rows: Rows, weights: Mapping[str, float], one: str) -> Lineage:
    """The lineage of one instruction from its rows in each table, without the requests. `weights` are those of judges; without
    any all weigh the same. Raises LookupError.
    """

    def of(table: Table) -> list[dict[str, Any]]:
        return rows.get(table.name, [])

    revealed = [row for row in of(mined_instructions) if row["status"] == "ok"]
    curated = [row for table in (selected_instructions, instruction_difficulty, unique_instructions) for row in of(table)]
    if not (revealed or curated):
        raise LookupError(f"instruction {one} was never mined")
    rated, selected = (next(iter(of(table)), {}) for table in (instruction_difficulty, selected_instructions))
    # Competitors with the same weights and prompt may reveal the same text; the kept row names the attacker.
    unique = max(of(unique_instructions), key=lambda row: bool(row["kept"]), default={})
    mined = next((row for row in revealed if row["competitor"] == unique.get("competitor")), next(iter(revealed), {}))
    known = mined or curated[0]  # its sample may be missing: invalidated, or mined again with other settings
    found = {
        **picked(known, "instruction_id", "instruction"),
        "attacker": known["competitor"],
        "mined": picked(mined, "competitor", "language", "temperature", "top_p", "sample", "completion_key"),
        **picked(unique, "kept", "duplicate_of", "similarity"),
        "difficulty": picked(rated, "score", "band", "kept"),
        "ratings": [picked(r, *RATING) for r in rated.get("ratings") or []],
        "rank": selected.get("rank"),
        **evidence(arena, rows, weights),
    }
    return found | {"why": reasons(found, arena.export.undecided)}


def evidence(arena: Arena, rows: Rows, weights: Mapping[str, float]) -> dict[str, Any]:
    """The part of a lineage that says how its answers compare."""
    scores = {row["competitor"]: row for row in rows.get("answer_scores", [])}
    answered = [
        {
            **picked(row, "competitor", "answer", "reasoning", "status", "completion_key"),
            **picked(row, "sample", "settled_by", "least_like", "least_agreement"),
            "own_agreement": row.get("agreement"),
            **picked(
                scores.get(row["competitor"], {}), "score", "local_part", "rank", "gold", "opponents", "decided_by", "agreement"
            ),
            "samples": samples(row, rows.get("answer_samples", [])),
        }
        for row in rows.get("answers", [])
    ]
    answered.sort(key=lambda a: (a["rank"] is None, a["rank"] or 0, arena.roster.index(a["competitor"])))
    votes = [row for kind in KINDS for row in rows.get(kind.votes.name, [])]
    texts = {answer["competitor"]: answer["answer"] for answer in answered}
    return {
        "answers": answered,
        "votes": [picked(row, *VOTE, "completion_key", "key_left", "key_right") for row in votes],
        "outcomes": [
            picked(row, "left", "right", "local_left", "outcome", "decided_by", "agreement")
            | {"opinions_for_left": opinions_for_left(row, votes, weights, arena.battles.votes, texts)}
            for row in rows.get("battle_outcomes", [])
        ],
        "tests": tests(rows.get("generated_tests", []), rows.get("execution_results", [])),
        "behaviours": compared(rows.get("answer_behaviours", []), list(texts)),
        "judges": dict(weights),
    }


def opinions_for_left(
    battle: Mapping[str, Any],
    votes: Sequence[Mapping[str, Any]],
    weights: Mapping[str, float],
    how: str,
    texts: Mapping[str, str | None],
) -> float | None:
    """The weighted share of the judges' opinions on a battle that are for its left side; null without any that count, as where
    both answers are the same text.
    """
    hard, sides = {"left": 1.0, "tie": 0.5, "right": 0.0}, (battle["left"], battle["right"])
    counted = [
        (weights.get(vote["judge"], 0.0) if weights else 1.0, vote["p_left"] if how == "soft" else hard[vote["verdict"]])
        for vote in votes
        if (vote["evidence"], vote["left"], vote["right"]) == (OPINION, *sides) and vote["verdict"] is not None
    ]
    total = sum(weight for weight, _ in counted)
    same_text = len({texts.get(side) for side in sides}) == 1
    return sum(weight * share for weight, share in counted) / total if total and not same_text else None


def samples(answer: Mapping[str, Any], made: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A competitor's samples of an answer: sample, answer (null if it is that which battles), whether it `settled` on it, and
    how many lines that one lacks (`added`) and has besides (`removed`).
    """
    own, found = Counter((answer["answer"] or "").splitlines()), []
    for row in made:
        if row["competitor"] == answer["competitor"]:
            lines, settled = Counter((row["answer"] or "").splitlines()), row["sample"] == answer.get("sample")
            counts = {"added": (lines - own).total(), "removed": (own - lines).total()}
            shown = None if settled else row["answer"]
            found.append({**picked(row, "sample", "status"), "answer": shown, "settled": settled, **counts})
    return sorted(found, key=lambda sample: sample["sample"])


def tests(generated: list[dict[str, Any]], results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The kept tests of an instruction: writer, test, and the outcome of each competitor that they were run on. Those that tell
    answers apart come first.
    """
    kept = {row["row_id"]: {**picked(row, "writer", "test"), "outcomes": {}} for row in generated if row["status"] == "ok"}
    for row in results:
        if row["row_id"] in kept and kept[row["row_id"]]["test"] == row["test"]:
            kept[row["row_id"]]["outcomes"][row["competitor"]] = row["outcome"]
    return sorted(kept.values(), key=lambda test: len(set(test["outcomes"].values())) < 2)


def picked(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Some values of a row; null if it has none."""
    return {name: row.get(name) for name in names}


def materialized(arena: Arena, warehouse: Warehouse, table: str, columns: Sequence[str]) -> pl.DataFrame:
    """All rows of a table of the roster. Raises LookupError if it was never materialized."""
    rows = warehouse.read_existing(table, arena.roster, columns)
    if rows is None:
        raise LookupError(f"{table} {NEVER_MATERIALIZED}")
    return rows


def whole_id(arena: Arena, warehouse: Warehouse, start: str) -> str:
    """The id of the only mined instruction whose id starts with `start`. Raises LookupError, also if there are several."""
    mined = materialized(arena, warehouse, "mined_instructions", ["instruction_id", "status"]).filter(status="ok")
    ids = mined["instruction_id"]
    found = ids.filter(ids.str.starts_with(start)).unique().to_list()
    if len(found) != 1:
        raise LookupError(f"expected the beginning of one instruction's id; {start!r} is that of {len(found) or 'none'}")
    return str(found[0])


def listed(arena: Arena, warehouse: Warehouse, text: str, like: str, most: int) -> tuple[pl.DataFrame, str]:
    """The instructions with the words of a text, or with a meaning like another one's, else those that competitors battle on;
    and what they have in common.
    """
    if text:
        return by_text(arena, warehouse, text), "has these words"
    if like:
        return by_meaning(arena, warehouse, like, most), "was embedded"
    return selected(arena, warehouse), "was selected"


def selected(arena: Arena, warehouse: Warehouse) -> pl.DataFrame:
    """The instructions that competitors battle on, those that were selected first of each competitor before the others:
    instruction_id, competitor, instruction.
    """
    columns = ["instruction_id", "competitor", "instruction"]
    rows = materialized(arena, warehouse, "selected_instructions", [*columns, "rank"])
    return rows.sort("rank", maintain_order=True).select(columns)


def by_text(arena: Arena, warehouse: Warehouse, text: str) -> pl.DataFrame:
    """All unique instructions with the words of a text, ignoring case: instruction_id, competitor, instruction."""
    columns = ["instruction_id", "competitor", "instruction"]
    rows = materialized(arena, warehouse, "unique_instructions", [*columns, "kept"]).filter("kept")
    for word in text.lower().split():
        rows = rows.filter(pl.col("instruction").str.to_lowercase().str.contains(word, literal=True))
    return rows.select(columns)


def by_meaning(arena: Arena, warehouse: Warehouse, text: str, most: int) -> pl.DataFrame:
    """The embedded instructions nearest to a text by cosine: instruction_id, competitor, instruction, similarity."""
    from warrior_dagster.stages.curation.embedding import embed

    names = warehouse.existing_partitions("instruction_embeddings", arena.roster)
    if not names:
        raise LookupError(f"instruction_embeddings {NEVER_MATERIALIZED}")
    (vector,) = embed([text], model=arena.embedding.model, revision=arena.embedding.revision)
    return warehouse.nearest("instruction_embeddings", names, vector, most).select(
        "instruction_id", "competitor", "instruction", similarity=1 - pl.col("_distance")
    )
