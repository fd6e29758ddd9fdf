"""The arena report: one HTML file that needs no network, with every figure, its numbers, and lineages."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import jinja2
import numpy as np
import polars as pl

from warrior_dagster.analysis import assets as analysis
from warrior_dagster.analysis import audit, pictures
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.config.messages import all_visible
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.materialization.table import Table
from warrior_dagster.report import lineage
from warrior_dagster.report.lineage import Lineage, lineages
from warrior_dagster.stages.battles.opinions.assets import judge_votes
from warrior_dagster.stages.curation.assets import instruction_embeddings
from warrior_dagster.stages.export.publishing import NOT_PUBLISHED, public, public_names
from warrior_dagster.stages.ratings.assets import elo_ratings
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

BYTES = 20_000_000
"""The most bytes of lineages in one file, which a browser can open. `warrior show` shows the others."""
AT_A_TIME = 500
NEIGHBOURS = 5
ROWS_SHOWN = 200
"""Rows of a table in the page."""
HIDDEN = {"row_id", "partition", "nearest", "completion_key"}


class Section(NamedTuple):
    """A figure of the page."""

    table: Table
    title: str
    meaning: str


SECTIONS = (
    Section(
        analysis.funnel,
        "From mined to exported",
        "How many instructions each stage left, and why it dropped the others.",
    ),
    Section(
        analysis.instruction_novelty,
        "Novelty",
        "The highest ROUGE-L F1 of each instruction with any text of a reference set. Data that repeats"
        " public text would be near 1; the paper's is mostly below 0.3 and never above 0.6.",
    ),
    Section(
        analysis.task_categories,
        "What the instructions ask for",
        "The share of each kind of task, according to a judge.",
    ),
    Section(
        analysis.difficulty_bands,
        "Difficulty",
        "Shares of the bands of the judges' scores: excellent 9-10, good 6-8, average 3-5, poor 1-2.",
    ),
    Section(
        analysis.head_to_head,
        "Head to head",
        "How often the row's competitor beat the column's, a tie counting half, with the 95 % interval.",
    ),
    Section(
        analysis.rating_history,
        "Ratings",
        "Ratings from more and more of the battles with their 95 % intervals: where they still move, more battles are needed.",
    ),
    Section(
        analysis.judge_audit,
        "Judge audit",
        "One half is chance. A sound judge is near one half for the first and the longer answer, and far above it"
        " for the same verdict in both orders, for agreeing with the other judges, where answers were run with the tests, and"
        " for being right in its exam. After an exam, opinions weigh what their judge scored there.",
    ),
)


def tables(arena: Arena) -> list[Table]:
    """The tables that the page reads, besides those of lineages."""
    read = [*(one.table for one in SECTIONS), elo_ratings, judge_votes, instruction_embeddings]
    return [table for table in read if table.enabled(arena)]


def report(arena: Arena, warehouse: Warehouse, ledger: LedgerReader, written: str) -> str:
    """The page, from what is materialized; a section whose table does not exist says so. `written` is the time shown."""
    chosen, left_out = within(arena, warehouse, ledger)
    audited = warehouse.read_existing(analysis.judge_audit.name, [WHOLE]) if arena.asks_judges else None
    loader = jinja2.PackageLoader("warrior_dagster.report")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    values = {
        "written": written,
        "missing": missing(arena, warehouse),
        "ratings": standings(warehouse),
        "sections": [shown(arena, warehouse, section) for section in SECTIONS],
        "faults": {} if audited is None else audit.faults(audited),
        "alpha": agreement(arena, warehouse),
        "competitors": public(
            [c.model_dump(mode="json", include={"name", "model", "revision", "license"}) for c in arena.competitors],
            public_names(arena),
        ),
        "settings": json.dumps(shown_settings(arena), indent=2, ensure_ascii=False),
        "rows": as_data(all_visible({"rows": chosen, "near": neighbours(arena, warehouse, chosen)})),
        "shown": len(chosen),
        "left_out": left_out,
    }
    return environment.get_template("report.html.jinja").render(arena=arena, **all_visible(values))


def missing(arena: Arena, warehouse: Warehouse) -> dict[str, str]:
    """The partitions that do not exist, by the tables that the page is made of; "all of it" where a table has none."""
    found = {}
    for table in (*lineage.tables(arena), *tables(arena)):
        keys, existing = table.partitions(arena), warehouse.partitions(table.name)
        if lacking := [key for key in keys if key not in existing]:
            found[table.name] = "all of it" if len(lacking) == len(keys) else ", ".join(lacking)
    return found


def shown_settings(arena: Arena) -> dict[str, Any]:
    """The part of the arena's file that the page shows, besides the competitors: a report is passed on."""
    left_out = NOT_PUBLISHED | dict.fromkeys(("competitors", *arena.unused_sections), True)
    settings = arena.model_dump(mode="json", exclude=left_out)
    shown: dict[str, Any] = public(settings, public_names(arena))
    return shown


def shown(arena: Arena, warehouse: Warehouse, section: Section) -> dict[str, Any]:
    """A figure with its title, its meaning, its picture and its numbers; the last two only if it was materialized."""
    table, name = section.table, section.table.name
    rows = warehouse.read_existing(table.name, table.partitions(arena)) if table.enabled(arena) else None
    head = {"id": name, "title": section.title, "meaning": section.meaning, "picture": None}
    if rows is None:
        return head
    kept = rows.select(c for c in rows.columns if c not in HIDDEN)
    return head | {
        "picture": pictures.as_svg(pictures.PICTURES[name](rows), section.title),
        "columns": kept.columns,
        "cells": [[cell(value) for value in row] for row in kept.head(ROWS_SHOWN).iter_rows()],
        "more": max(0, len(kept) - ROWS_SHOWN),
    }


def cell(value: Any) -> str:
    """A value of a table as text."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)


def standings(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The leaderboard, the best first; empty without ratings."""
    rated = warehouse.read_existing(elo_ratings.name, [WHOLE])
    return [] if rated is None else rated.sort("rating", descending=True).to_dicts()


def agreement(arena: Arena, warehouse: Warehouse) -> str:
    """Krippendorff's alpha of all judges, as text; empty without votes."""
    if not arena.asks_judges:
        return ""
    columns = [*audit.BATTLE, "judge", "status", "verdict", "p_left"]
    votes = warehouse.read_existing(judge_votes.name, matchup_keys(arena.roster), columns)
    if votes is None:
        return ""
    alpha = audit.krippendorff_alpha(audit.preferences(votes, soft=arena.battles.votes == "soft"))
    return "undefined: no battle has two judges whose votes can be compared" if alpha is None else f"{alpha:.2f}"


def within(arena: Arena, warehouse: Warehouse, ledger: LedgerReader) -> tuple[list[Lineage], int]:
    """The lineages of selected instructions that fit into BYTES, the best-scored first; and the number of the others."""
    order = best_first(arena, warehouse)
    chosen, size = list[Lineage](), 0
    for start in range(0, len(order), AT_A_TIME):
        for one in lineages(arena, warehouse, ledger, order[start : start + AT_A_TIME]):
            size += len(json.dumps(one, ensure_ascii=False).encode("utf-8", "replace"))
            if size > BYTES:
                return chosen, len(order) - len(chosen)
            chosen.append(one)
    return chosen, 0


def best_first(arena: Arena, warehouse: Warehouse) -> list[str]:
    """The ids of the selected instructions, by the score of their gold answer (those without one last), then by id."""
    selected = warehouse.read_existing("selected_instructions", arena.roster, ["instruction_id"])
    if selected is None:
        return []
    selected = selected.select("instruction_id").unique()
    scored = warehouse.read_existing("answer_scores", [WHOLE], ["instruction_id", "score", "gold"])
    if scored is None:
        return sorted(selected["instruction_id"])
    ranked = selected.join(scored.filter("gold"), on="instruction_id", how="left")
    return ranked.sort(pl.col("score").fill_null(-1.0).neg(), "instruction_id")["instruction_id"].to_list()


def neighbours(arena: Arena, warehouse: Warehouse, rows: Iterable[Lineage]) -> dict[str, list[str]]:
    """For each row the ids of the nearest rows by cosine of their embeddings; empty without embeddings."""
    wanted = [one["instruction_id"] for one in rows]
    columns = ["instruction_id", "vector"]
    embedded = warehouse.read_existing(instruction_embeddings.name, arena.roster, columns, wanted) if len(wanted) > 1 else None
    if embedded is None:
        return {}
    embedded = embedded.unique("instruction_id", maintain_order=True)
    ids, vectors = embedded["instruction_id"].to_list(), embedded["vector"].to_numpy().astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(ids) - 1)]
    return {one: [ids[place] for place in places] for one, places in zip(ids, nearest, strict=True)}


def as_data(value: Any) -> str:
    """JSON that is safe inside a script element: no text in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
