"""Where a row came from: an instruction with its answers, the votes on them, all prompts, and how it was mined.

Everything is looked up by key, in the warehouse and in the ledger; what does not exist is null.
"""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.table import Table
from warrior_dagster.stages.battles.evidence import KINDS
from warrior_dagster.stages.battles.tables import ANSWERS, OUTCOMES
from warrior_dagster.stages.battles.unit_tests.tables import GENERATED, RESULTS
from warrior_dagster.stages.curation.tables import DIFFICULTY, SELECTED, UNIQUE
from warrior_dagster.stages.mining.tables import MINED
from warrior_dagster.stages.ratings.tables import SCORES
from warrior_dagster.warehouse.tables import NEVER_MATERIALIZED, Warehouse

Lineage = dict[str, Any]
VOTE = ("judge", "left", "right", "evidence", "order", "status", "reason", "verdict", "p_left", "p_right", "text")


class Tables:
    """The rows of some instructions in each table, by instruction; a table that was never materialized is empty."""

    def __init__(self, arena: Arena, warehouse: Warehouse, ids: Sequence[str]) -> None:
        def rows(table: Table) -> dict[str, list[dict[str, Any]]]:
            present = warehouse.existing_partitions(table.name, table.partitions(arena)) if table.enabled(arena) else []
            by_id: dict[str, list[dict[str, Any]]] = {}
            for row in warehouse.read(table.name, present, instructions=ids).iter_rows(named=True) if present else ():
                by_id.setdefault(row["instruction_id"], []).append(row)
            return by_id

        self.arena = arena
        self.mined, self.unique, self.rated, self.selected = map(rows, (MINED, UNIQUE, DIFFICULTY, SELECTED))
        self.answers, self.outcomes, self.scores = map(rows, (ANSWERS, OUTCOMES, SCORES))
        self.votes = [rows(one.votes) for one in KINDS]
        self.tests, self.results = rows(GENERATED), rows(RESULTS)


def tables(arena: Arena) -> list[Table]:
    """The tables that `Tables` reads."""
    votes = [one.votes for one in KINDS]
    every = (MINED, UNIQUE, DIFFICULTY, SELECTED, ANSWERS, OUTCOMES, SCORES, *votes, GENERATED, RESULTS)
    return [table for table in every if table.enabled(arena)]


def lineages(arena: Arena, warehouse: Warehouse, ledger: LedgerReader, instruction_ids: Sequence[str]) -> list[Lineage]:
    """The lineage of some instructions, in their order.

    Of each: instruction_id, instruction, attacker, `mined` (language, temperature, top_p, sample), `kept` and `duplicate_of`,
    `difficulty` (score, band), the judges' `ratings` of it, `rank` among the selected, `answers` (best first: competitor,
    answer, score, gold), `votes` (opinions and those of tests), `tests` and `outcomes`. Whatever a model said has `asked`:
    model, prompt, params and sample; the vote of tests has what their writer was asked. Raises LookupError as `lineage` does.
    """
    tables = Tables(arena, warehouse, instruction_ids)
    made = [lineage(tables, one) for one in instruction_ids]
    holders = [holder for one in made for holder in (one["mined"], *one["ratings"], *one["answers"], *one["votes"]) if holder]
    questions = ledger.requests(sorted({holder["completion_key"] for holder in holders if holder["completion_key"]}))
    for holder in holders:
        asked = questions.get(holder["completion_key"])
        holder["asked"] = asked and {**picked(asked, "model", "prompt", "sample"), "params": json.loads(asked["params"])}
    return made


def lineage(tables: Tables, one: str) -> Lineage:
    """The lineage of one instruction, without what was asked. Raises LookupError if nobody mined it."""
    revealed = [row for row in tables.mined.get(one, []) if row["status"] == "ok"]
    if not revealed:
        raise LookupError(f"instruction {one}: nobody mined it")
    rated, selected = (next(iter(t.get(one, [])), {}) for t in (tables.rated, tables.selected))
    # Competitors with the same weights and prompt may reveal the same text: it is the one's whose row was kept.
    unique = max(tables.unique.get(one, []), key=lambda row: bool(row["kept"]), default={})
    mined = next((row for row in revealed if row["competitor"] == unique.get("competitor")), revealed[0])
    scores = {row["competitor"]: row for row in tables.scores.get(one, [])}
    answers = [
        {
            **picked(row, "competitor", "answer", "status", "completion_key"),
            **picked(scores.get(row["competitor"], {}), "score", "rank", "gold", "opponents"),
        }
        for row in tables.answers.get(one, [])
    ]
    roster = tables.arena.roster
    return {
        **picked(mined, "instruction_id", "instruction"),
        "attacker": mined["competitor"],
        "mined": picked(mined, "competitor", "language", "temperature", "top_p", "sample", "completion_key"),
        **picked(unique, "kept", "duplicate_of", "similarity"),
        "difficulty": picked(rated, "score", "band", "kept"),
        "ratings": [picked(r, "judge", "score", "reason", "text", "completion_key") for r in rated.get("ratings") or []],
        "rank": selected.get("rank"),
        "answers": sorted(answers, key=lambda a: (a["rank"] is None, a["rank"] or 0, roster.index(a["competitor"]))),
        "votes": [
            picked(row, *VOTE, "completion_key", "key_left", "key_right")
            for table in tables.votes
            for row in table.get(one, [])
        ],
        "tests": tests(tables, one),
        "outcomes": [picked(row, "left", "right", "local_left", "outcome") for row in tables.outcomes.get(one, [])],
    }


def tests(tables: Tables, one: str) -> list[dict[str, Any]]:
    """The kept tests of an instruction: writer, test, and the outcome of each competitor that they were run on."""
    kept = [row for row in tables.tests.get(one, []) if row["status"] == "ok"]
    found = {row["row_id"]: {**picked(row, "writer", "test"), "outcomes": {}} for row in kept}
    for row in tables.results.get(one, []):
        if row["row_id"] in found and found[row["row_id"]]["test"] == row["test"]:
            found[row["row_id"]]["outcomes"][row["competitor"]] = row["outcome"]
    return list(found.values())


def picked(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """Some values of a row; null where it has none."""
    return {name: row.get(name) for name in names}


def whole_id(arena: Arena, warehouse: Warehouse, start: str) -> str:
    """The id of the one mined instruction whose id begins so.

    Raises LookupError, also where nothing was mined, or more than one begins so.
    """
    existing = warehouse.existing_partitions("mined_instructions", arena.roster)
    if not existing:
        raise LookupError(f"mined_instructions {NEVER_MATERIALIZED}")
    ids = warehouse.read("mined_instructions", existing, ["instruction_id", "status"]).filter(status="ok")["instruction_id"]
    found = ids.filter(ids.str.starts_with(start)).unique().to_list()
    if len(found) != 1:
        raise LookupError(f"expected the beginning of one instruction's id; {start!r} begins {len(found) or 'none'}")
    return str(found[0])


def by_text(arena: Arena, warehouse: Warehouse, text: str) -> pl.DataFrame:
    """All unique instructions with the words of a text, whatever their case: instruction_id, competitor, instruction."""
    names = warehouse.existing_partitions("unique_instructions", arena.roster)
    if not names:
        raise LookupError(f"unique_instructions {NEVER_MATERIALIZED}")
    rows = warehouse.read("unique_instructions", names, ["instruction_id", "competitor", "instruction", "kept"]).filter("kept")
    for word in text.casefold().split():
        rows = rows.filter(pl.col("instruction").str.to_lowercase().str.contains(word, literal=True))
    return rows.select("instruction_id", "competitor", "instruction")


def by_meaning(arena: Arena, warehouse: Warehouse, text: str, most: int) -> pl.DataFrame:
    """The embedded instructions nearest in meaning, by cosine: instruction_id, competitor, instruction, similarity."""
    from warrior_dagster.stages.curation.embedding import embed

    names = warehouse.existing_partitions("instruction_embeddings", arena.roster)
    if not names:
        raise LookupError(f"instruction_embeddings {NEVER_MATERIALIZED}")
    (vector,) = embed([text], model=arena.embedding.model, revision=arena.embedding.revision)
    return warehouse.nearest("instruction_embeddings", names, vector, most).select(
        "instruction_id", "competitor", "instruction", similarity=1 - pl.col("_distance")
    )
