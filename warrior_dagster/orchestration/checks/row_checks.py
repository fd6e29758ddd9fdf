"""The checks that stop wrong rows: the rules of each table.

A blocking check of Dagster 1.13 that fails with severity ERROR stops only what is downstream in the same run: a later run, such
as the next layer of a backfill, reads the asset. So these checks also invalidate wrong partitions: the warehouse refuses to
read them until they are materialized again. A check reads all existing partitions, not only those of its run. A finding that
makes no row wrong is a warning.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import BEHAVIOUR, EXECUTION
from warrior_dagster.config.messages import visible
from warrior_dagster.config.reference_sets import tasks_of
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import Table, in_arena
from warrior_dagster.orchestration.catalog import STAGE_TABLES, tables_of
from warrior_dagster.orchestration.checks import row_rules
from warrior_dagster.orchestration.checks.row_rules import Problems
from warrior_dagster.sandbox.code_blocks import fenced_blocks
from warrior_dagster.sandbox.code_extraction import extract_code
from warrior_dagster.stages.battles.outcomes import weights_of
from warrior_dagster.stages.export.contamination import overlaps
from warrior_dagster.stages.export.records import shown_answer
from warrior_dagster.stages.export.turn_tokens import broken
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

DESCRIPTIONS = {
    "not_empty": "Whether the next stage has anything to work with.",
    "everybody_contributes": "Whether each competitor has a usable instruction; if not, its chat template may be the reason.",
    "rows_are_unique": "Whether each row exists once.",
    "texts_are_unique": "Whether no text exists twice.",
    "verdicts_are_readable": "Whether enough of the judges' verdicts could be read (engine.max_abstention_rate).",
    "numbers_add_up": "Whether votes, ratings and scores add up as the method says (docs/method.md).",
    "only_the_best_is_shown": "Whether each good answer is the best of its group by the present scores (kto: above the mean).",
    "both_labels_occur": "Whether there are desirable and undesirable answers; a trainer of KTO needs both.",
    "reaches_its_goal": "Whether the rows reach the arena's goals (goals.answers_with_code, goals.decided_battles).",
    "no_benchmark_inside": "Whether no text overlaps a benchmark (export.benchmarks). All texts are compared again.",
}
SHOWN = 20
"""Partitions that a check names; it counts the others."""


@dataclass(frozen=True)
class Checked:
    """The table that is checked."""

    table: Table
    warehouse: Warehouse
    partitions: list[str]
    hashes: dict[str, str]
    """The hashes of the existing partitions."""

    def read(self, *columns: str) -> pl.DataFrame:
        """All existing rows; all columns, or some besides partition and row id."""
        return self.warehouse.read(self.table.name, list(self.hashes), columns or None)


class Rule(NamedTuple):
    """A rule for a table's rows, whether wrong rows block what is downstream, and whether a problem fails the check; otherwise
    it is a warning.
    """

    find: Callable[[Checked], Problems]
    blocking: bool = True
    fails: bool = False

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        return dg.AssetCheckSeverity.ERROR if self.blocking or self.fails else dg.AssetCheckSeverity.WARN


def row_checks(scope: Scope) -> list[dg.AssetChecksDefinition]:
    """All checks of an arena, one step for each table."""
    arena = scope.arena
    own = rules_of_stages(arena) | {f"{kind}_dataset": rules_of_dataset(arena, kind) for kind in arena.export.formats}
    tables = tables_of(arena, STAGE_TABLES)
    if unknown := set(own) - {table.name for table in STAGE_TABLES}:
        raise ValueError(f"rules of unknown tables: {', '.join(sorted(unknown))}")
    return [check(scope, table, {**general_rules(table, arena), **own.get(table.name, {})}) for table in tables]


def general_rules(table: Table, arena: Arena) -> dict[str, Rule]:
    """The rules of every table."""
    if_empty = in_arena(table.if_empty, arena)
    unique = Rule(lambda asset: row_rules.repeated_ids(asset.read("row_id")))
    filled = {"not_empty": Rule(not_empty, blocking=if_empty == "fail")} if if_empty != "ignore" else {}
    return {"rows_are_unique": unique, **filled}


def rules_of_stages(arena: Arena) -> dict[str, dict[str, Rule]]:
    """Further rules of the tables before the exports."""
    limit, initial = arena.engine.max_abstention_rate, arena.ratings.initial
    scored, abstained, status, text = pl.col("scored_by"), pl.col("abstained"), pl.col("status"), pl.col("instruction")
    voted, failed = status.is_not_null(), status == "failed"
    weights = None if arena.battles.only_opinions else weights_of(arena.battles)

    def decided(rows: pl.DataFrame) -> pl.Series:
        return rows.drop_nulls("outcome")["decided_by"].is_in([EXECUTION, BEHAVIOUR])

    def silent(asset: Checked) -> Problems:
        return row_rules.nothing_usable(asset.read("status"), asset.table.usable, asset.table.usable_row)

    return {
        "mined_instructions": {"everybody_contributes": Rule(silent, blocking=False)},
        "instruction_difficulty": {
            "verdicts_are_readable": Rule(
                lambda asset: row_rules.unreadable(asset.read("scored_by", "abstained"), scored + abstained, abstained, limit)
            )
        },
        "selected_instructions": {
            "texts_are_unique": Rule(lambda asset: row_rules.repeated_texts(asset.read("instruction"), text, "the text"))
        },
        "judge_votes": {
            "verdicts_are_readable": Rule(lambda asset: row_rules.unreadable(asset.read("status"), voted, failed, limit))
        },
        "battle_outcomes": {
            "numbers_add_up": Rule(lambda asset: row_rules.shares(asset.read(), weights)),
            **goal(arena.goals.decided_battles, "battles are decided by tests or behaviour", decided, "outcome", "decided_by"),
        },
        "elo_ratings": {"numbers_add_up": Rule(lambda asset: row_rules.ratings(asset.read(), arena.roster, initial))},
        "answer_scores": {
            "numbers_add_up": Rule(lambda asset: row_rules.scores(asset.read("instruction_id", "score", "gold")))
        },
    }


def rules_of_dataset(arena: Arena, kind: str) -> dict[str, Rule]:
    """Further rules of an export."""
    found = {
        "only_the_best_is_shown": Rule(partial(not_the_best, arena, kind)),
        "no_benchmark_inside": Rule(partial(benchmark_inside, arena)),
    }
    if kind == "sft":
        prompt = pl.col("messages").list.first().struct.field("content")
        found["texts_are_unique"] = Rule(lambda asset: row_rules.repeated_texts(asset.read("messages"), prompt, "the prompt"))
        found |= goal(arena.goals.answers_with_code, "answers have code", partial(have_code, arena.languages), "messages")
    if kind == "kto":
        found["both_labels_occur"] = Rule(lambda asset: row_rules.missing_labels(asset.read("label")), blocking=False)
    return found


def goal(least: float, what: str, reached: Callable[[pl.DataFrame], pl.Series], *columns: str) -> dict[str, Rule]:
    """The rule that at least a share of all rows reaches something; none if nothing is asked for."""

    def find(asset: Checked) -> Problems:
        found = reached(asset.read(*columns))
        return row_rules.below(list(asset.hashes), int(found.sum()), len(found), least, what)

    return {"reaches_its_goal": Rule(find, blocking=False, fails=True)} if least else {}


def have_code(languages: tuple[str, ...], rows: pl.DataFrame) -> pl.Series:
    """Whether the answer of each row has code: of Python, or in a fenced block if the arena has other languages too."""

    def has_code(messages: list[dict[str, str]]) -> bool:
        answer = messages[-1]["content"]
        return not extract_code(answer).reason or (languages != ("Python",) and bool(fenced_blocks(answer)))

    return pl.Series(map(has_code, rows["messages"].to_list()), dtype=pl.Boolean)


def check(scope: Scope, table: Table, rules: dict[str, Rule]) -> dg.AssetChecksDefinition:
    """The step that checks one table, with a result for each rule. Files with wrong rows are invalidated too."""
    key, resource = scope.key(table.name), scope.name("warehouse")

    @dg.multi_asset_check(
        name=scope.name(f"{table.name}_checks"),
        specs=[
            dg.AssetCheckSpec(name, asset=key, description=DESCRIPTIONS[name], blocking=rule.blocking)
            for name, rule in rules.items()
        ],
        required_resource_keys={resource},
    )
    def checked(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        warehouse: Warehouse = getattr(context.resources, resource)
        partitions = table.partitions(scope.arena)
        written = warehouse.partitions(table.name)
        asset = Checked(table, warehouse, partitions, {p: written[p] for p in partitions if p in written})
        problems = {name: rule.find(asset) if asset.hashes else {} for name, rule in rules.items()}
        wrong = {p for name, of_rule in problems.items() if rules[name].blocking for p in of_rule}
        warehouse.invalidate(table.name, {p: asset.hashes[p] for p in sorted(wrong)})
        if wrong and table.invalidate_files:
            table.invalidate_files(scope.arena)
        for name, of_rule in problems.items():
            yield result(key, asset, name, of_rule, rules[name].severity)

    return checked


def result(
    key: dg.AssetKey, asset: Checked, name: str, problems: Problems, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    """The result of a rule, with the problem of each partition."""
    first = list(problems.items())[:SHOWN]
    shown = {"all rows" if partition == WHOLE else partition: visible(problem) for partition, problem in first}
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=not problems,
        severity=severity,
        description="\n".join(f"{partition}: {problem}" for partition, problem in shown.items()) or None,
        metadata={**shown, "partitions_checked": len(asset.hashes), "partitions_wrong": len(problems)},
    )


def not_empty(asset: Checked) -> Problems:
    """All partitions if none of them has a usable row; with `no_empty_partition` also each one without a usable row.

    Without it, a competitor may have no usable row: its instructions may all repeat others, be too easy, or be near existing
    centres.
    """
    table = asset.table
    rows = asset.read(*table.usable.meta.root_names())
    if len(asset.hashes) == len(asset.partitions) and rows.filter(table.usable).is_empty():
        others = ", nor is one of any other partition" if len(asset.partitions) > 1 else ""
        return dict.fromkeys(asset.partitions, f"no row is {table.usable_row}{others}")
    return row_rules.nothing_usable(rows, table.usable, table.usable_row) if table.no_empty_partition else {}


def not_the_best(arena: Arena, kind: str, asset: Checked) -> Problems:
    """Rows with a good answer that is not good by the scores."""
    scored = asset.warehouse.read("answer_scores", [WHOLE], ["instruction_id", "competitor", "score"])
    text = shown_answer(arena.export)
    if arena.export.turn_tokens == "neutralise":
        text = broken(text)
    answers = asset.warehouse.read("answers", arena.roster, ["instruction_id", "competitor", *text.meta.root_names()])
    return row_rules.not_the_best(asset.read(), scored, answers.select("instruction_id", "competitor", text), kind)


def benchmark_inside(arena: Arena, asset: Checked) -> Problems:
    """Rows with a text that overlaps a benchmark."""
    rows = asset.read()
    turns = [name for name in ("messages", "prompt", "chosen", "rejected", "completion") if name in rows.columns]
    texts = pl.concat([rows.select("partition", "row_id", turn=pl.col(name)).explode("turn") for name in turns])
    text = texts["turn"].struct.field("content")
    found = Problems()
    for benchmark in arena.export.benchmarks:
        tasks = tasks_of(benchmark)
        hits = overlaps(text, list(tasks.values()), words=arena.export.overlap_words)
        if len(hits):
            first = f"such as {list(tasks)[hits['task'][0]]} in {hits['ngram'][0]!r}"
            overlapping = row_rules.named(texts[hits["text"]].unique("row_id"), f"that overlap {benchmark.name}, {first}")
            found |= {p: "; ".join(filter(None, (found.get(p), problem))) for p, problem in overlapping.items()}
    return found
