"""The checks that stop wrong rows from flowing on: which rules hold for which asset.

What `blocking` does in Dagster 1.13: a check that fails with severity ERROR fails its step, and within that run nothing that
reads the checked asset is made. In any later run it does nothing: the asset counts as materialized, so that a backfill goes on
with the next layer, and whoever materializes what follows gets it. So these checks also withdraw the partitions that are wrong:
the warehouse refuses to read them, in any run, until they are materialized again.

A check looks at all partitions of the roster that are there, not only at those of its run. A finding that makes no row wrong is
a warning, which stops nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.config.reference_sets import tasks_of
from warrior_dagster.orchestration.checks import row_rules
from warrior_dagster.orchestration.checks.row_rules import Problems
from warrior_dagster.stages.battles.unit_tests import voting
from warrior_dagster.stages.export.contamination import overlaps
from warrior_dagster.stages.export.files import withdraw_dataset
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

NOT_EMPTY, EVERYBODY, UNIQUE, NEW_TEXTS = "not_empty", "everybody_contributes", "rows_are_unique", "texts_are_unique"
READABLE, ADD_UP, BEST, NO_BENCHMARK = (
    "verdicts_are_readable",
    "numbers_add_up",
    "only_the_best_is_shown",
    "no_benchmark_inside",
)
DESCRIPTIONS = {
    NOT_EMPTY: "Whether there is anything for the next stage to work with.",
    EVERYBODY: "Whether each competitor revealed something usable: if one did not, its chat template may be the reason.",
    UNIQUE: "Whether each row is there once.",
    NEW_TEXTS: "Whether no text is there twice.",
    READABLE: "Whether enough of the judges' verdicts could be read (engine.max_abstention_rate).",
    ADD_UP: "Whether votes, ratings and scores add up as the method says (METHOD 5).",
    BEST: "Whether every answer that is shown as good is the best of its group by the present scores; kto: above their mean.",
    NO_BENCHMARK: "Whether no text overlaps a benchmark (export.benchmarks), all of them compared anew.",
}
USABLE = {
    "mined_instructions": (pl.col("status") == "ok", "usable"),
    "unique_instructions": (pl.col("kept"), "kept"),
    "instruction_difficulty": (pl.col("kept"), "kept: none is scored difficulty.keep or above"),
    "generated_tests": (pl.col("status") == "ok", "a test that can be run"),
    "answers": (pl.col("usable"), "a usable answer"),
    "judge_votes": (pl.col("status") != "failed", "a vote that could be read"),
    "battle_outcomes": (pl.col("outcome").is_not_null(), "a battle that was fought"),
}
"""What the next stage works with; of the other assets it is every row."""
EVERY_ROW = (pl.col("row_id").is_not_null(), "there")
OF_ITSELF = ("answers", "judge_votes", "battle_outcomes")
"""Where rows of one partition without any that is usable are wrong. Elsewhere a competitor may have nothing: all of what it
reveals may repeat what others did, be too easy, or lie beside centres that are there. Only the whole stage may not.
"""
SHOWN = 20
"""Partitions that a check names; it counts the others."""


@dataclass(frozen=True)
class Checked:
    """The asset that is checked, as the warehouse has it."""

    table: str
    warehouse: Warehouse
    partitions: list[str]
    hashes: dict[str, str]
    """Of those partitions that are there."""

    def read(self, *columns: str) -> pl.DataFrame:
        """All rows that are there; of the columns all, or those named and the partition and the row id."""
        return self.warehouse.read(self.table, list(self.hashes), columns or None)


class Rule(NamedTuple):
    """What is asked of an asset's rows, and whether nothing goes on where they are wrong."""

    find: Callable[[Checked], Problems]
    blocking: bool = True


def checks(arena: Arena) -> list[dg.AssetChecksDefinition]:
    """All checks of an arena, one step for each asset."""
    tested = arena.runs_tests
    of_competitors = ("mined_instructions", "unique_instructions", "instruction_difficulty", "instruction_embeddings",
                      "selected_instructions", "answers", *["generated_tests", "execution_results"] * tested)  # fmt: skip
    of_matchups = ("judge_votes", "battle_outcomes", *["execution_votes"] * tested)
    datasets = [f"{kind}_dataset" for kind in arena.export.formats]
    partitions = {
        **dict.fromkeys(of_competitors, arena.roster),
        **dict.fromkeys(of_matchups, matchup_keys(arena.roster)),
        **{table: [WHOLE] for table in ("elo_ratings", "answer_scores", "benchmark_overlap", *datasets)},
    }
    own = rules_of_stages(arena) | {f"{kind}_dataset": rules_of_dataset(arena, kind) for kind in arena.export.formats}
    ids = Rule(lambda asset: row_rules.repeated_ids(asset.read("row_id")))
    folder = Path(arena.export.folder)
    files = {f"{kind}_dataset": partial(withdraw_dataset, folder, kind) for kind in arena.export.formats}
    return [check(table, keys, {UNIQUE: ids, **own.get(table, {})}, files.get(table)) for table, keys in partitions.items()]


def rules_of_stages(arena: Arena) -> dict[str, dict[str, Rule]]:
    """The rules of each asset before the exports."""
    limit, initial = arena.engine.max_abstention_rate, arena.ratings.initial
    scored, abstained, status, text = pl.col("scored_by"), pl.col("abstained"), pl.col("status"), pl.col("instruction")
    voted, failed = status.is_not_null(), status == "failed"
    filled = {NOT_EMPTY: Rule(not_empty)}
    weights = voting.weights_of(arena.battles) if arena.runs_tests else None
    return {
        "mined_instructions": {**filled, EVERYBODY: Rule(silent_competitors, blocking=False)},
        "unique_instructions": filled,
        "instruction_difficulty": {
            **filled,
            READABLE: Rule(
                lambda asset: row_rules.unreadable(asset.read("scored_by", "abstained"), scored + abstained, abstained, limit)
            ),
        },
        "instruction_embeddings": filled,
        "selected_instructions": {
            **filled,
            NEW_TEXTS: Rule(lambda asset: row_rules.repeated_texts(asset.read("instruction"), text, "the text")),
        },
        # Tests may say nothing: of what no code can show, or by judges that cannot write them. Then opinions decide.
        "generated_tests": {NOT_EMPTY: Rule(not_empty, blocking=False)},
        "answers": filled,
        "judge_votes": {
            **filled,
            READABLE: Rule(lambda asset: row_rules.unreadable(asset.read("status"), voted, failed, limit)),
        },
        "battle_outcomes": {**filled, ADD_UP: Rule(lambda asset: row_rules.shares(asset.read(), weights))},
        "elo_ratings": {**filled, ADD_UP: Rule(lambda asset: row_rules.ratings(asset.read(), arena.roster, initial))},
        "answer_scores": {
            **filled,
            ADD_UP: Rule(lambda asset: row_rules.scores(asset.read("instruction_id", "score", "gold"))),
        },
    }


def rules_of_dataset(arena: Arena, kind: str) -> dict[str, Rule]:
    """The rules of an export. That nothing is left to export is a warning: all answers may be cut off, or scored alike."""
    found = {
        NOT_EMPTY: Rule(not_empty, blocking=False),
        BEST: Rule(partial(not_the_best, arena, kind)),
        NO_BENCHMARK: Rule(partial(benchmark_inside, arena)),
    }
    if kind == "sft":
        prompt = pl.col("messages").list.first().struct.field("content")
        found[NEW_TEXTS] = Rule(lambda asset: row_rules.repeated_texts(asset.read("messages"), prompt, "the prompt"))
    return found


def check(
    table: str, partitions: list[str], found: dict[str, Rule], withdraw_files: Callable[[], None] | None
) -> dg.AssetChecksDefinition:
    """The step that checks one asset: an evaluation for each of its rules. Files that were made of wrong rows go with them."""

    @dg.multi_asset_check(
        name=f"{table}_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=table, description=DESCRIPTIONS[name], blocking=rule.blocking)
            for name, rule in found.items()
        ],
    )
    def checked(warehouse: dg.ResourceParam[Warehouse]) -> Iterator[dg.AssetCheckResult]:
        written = warehouse.partitions(table)
        asset = Checked(table, warehouse, partitions, {p: written[p] for p in partitions if p in written})
        problems = {name: rule.find(asset) if asset.hashes else {} for name, rule in found.items()}
        wrong = {p for name, of_rule in problems.items() if found[name].blocking for p in of_rule}
        warehouse.withdraw(table, {p: asset.hashes[p] for p in sorted(wrong)})
        if wrong and withdraw_files:
            withdraw_files()
        for name, of_rule in problems.items():
            yield result(asset, name, of_rule, blocking=found[name].blocking)

    return checked


def result(asset: Checked, name: str, problems: Problems, *, blocking: bool) -> dg.AssetCheckResult:
    """What a rule found, as Dagster shows it: the problem of each partition."""
    told = {"all rows" if partition == WHOLE else partition: problem for partition, problem in problems.items()}
    return dg.AssetCheckResult(
        asset_key=asset.table,
        check_name=name,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description="\n".join(f"{partition}: {problem}" for partition, problem in list(told.items())[:SHOWN]) or None,
        metadata={**dict(list(told.items())[:SHOWN]), "partitions_checked": len(asset.hashes), "partitions_wrong": len(told)},
    )


def not_empty(asset: Checked) -> Problems:
    """Partitions that leave nothing to work with; all of them where the whole stage does, once all are there."""
    usable, what = USABLE.get(asset.table, EVERY_ROW)
    rows = asset.read(*usable.meta.root_names())
    if len(asset.hashes) == len(asset.partitions) and rows.filter(usable).is_empty():
        others = ", nor is one of any other partition" if len(asset.partitions) > 1 else ""
        return dict.fromkeys(asset.partitions, f"no row is {what}{others}")
    return row_rules.nothing_usable(rows, usable, what) if asset.table in OF_ITSELF else {}


def silent_competitors(asset: Checked) -> Problems:
    """Competitors that revealed nothing usable."""
    return row_rules.nothing_usable(asset.read("status"), *USABLE[asset.table])


def not_the_best(arena: Arena, kind: str, asset: Checked) -> Problems:
    """Rows that show as good what the scores do not call so."""
    scored = asset.warehouse.read("answer_scores", [WHOLE], ["instruction_id", "competitor", "score"])
    answers = asset.warehouse.read("answers", arena.roster, ["instruction_id", "competitor", "answer"])
    return row_rules.not_the_best(asset.read(), scored, answers.select("instruction_id", "competitor", "answer"), kind)


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
            told = row_rules.named(texts[hits["text"]].unique("row_id"), f"that overlap {benchmark.name}, {first}")
            found |= {p: "; ".join(filter(None, (found.get(p), problem))) for p, problem in told.items()}
    return found
