"""Analysis: what a reader of the articles looks for first, each a table with its picture."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.analysis import audit, categories, instruction_flow, novelty, pictures, standings, test_agreement
from warrior_dagster.analysis.tables import AUDIT, BANDS, CATEGORIES, FUNNEL, HEAD_TO_HEAD, HISTORY, NOVELTY
from warrior_dagster.config import reference_sets
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import SAME, Scope
from warrior_dagster.materialization.recording import record
from warrior_dagster.materialization.table_asset import table_asset
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

JUDGES_ARE_SOUND = "judges_are_sound"
KINDS = ("polars", "matplotlib", "lancedb")


def assets(scope: Scope) -> list[dg.AssetsDefinition]:
    """The assets of the analysis."""
    made = (funnel_asset, novelty_asset, bands_asset, standings_asset, history_asset, audit_asset)
    sorted_ = [category_asset(scope)] if CATEGORIES.enabled(scope.arena) else []
    return [*sorted_, *(make(scope) for make in made)]


def category_asset(scope: Scope) -> dg.AssetsDefinition:
    """The only asset of the analysis that asks models."""
    arena = scope.arena

    @table_asset(
        scope,
        CATEGORIES,
        reads={"selected_instructions": SAME},
        settings=[arena.analysis.category_prompt],
        origins=origins(
            "selected_instructions",
            **dict.fromkeys(("category", "probability", "reason"), "selected_instructions.instruction"),
        ),
    )
    def task_categories(context: dg.AssetExecutionContext, warehouse: Warehouse, engines: Engines) -> dg.MaterializeResult:
        """What each selected instruction asks for, according to a judge: one of seven kinds of task, from writing code to
        testing it. A judge that names none abstains.
        """
        names = context.partition_keys
        selected = warehouse.read("selected_instructions", names)
        sorted_ = categories.categorise(arena, engines, selected, context.log)
        rows = pl.DataFrame(sorted_.rows, schema=categories.SCHEMA)
        rows = rows.join(selected.select("instruction_id", "competitor"), on="instruction_id")
        return record(
            context,
            warehouse,
            {name: rows.filter(competitor=name) for name in names},
            describe=lambda f: {"categories": dict(f["category"].fill_null("abstained").value_counts().iter_rows())},
            metadata=picture("task_categories", rows),
            usage=sorted_.usage,
            failures={n: sorted_.failures[j] for n in names if (j := categories.judge_of(arena, n)) in sorted_.failures},
            arena=arena,
        )

    return task_categories


def funnel_asset(scope: Scope) -> dg.AssetsDefinition:
    """What each stage left."""
    arena = scope.arena
    exported = ["sft_dataset"] if "sft" in arena.export.formats else []
    counted = (
        *("mined_instructions.status", "unique_instructions.kept", "instruction_difficulty.kept"),
        *("selected_instructions.instruction_id", "battle_outcomes.outcome", "sft_dataset.attacker"),
    )
    reads = [column.split(".")[0] for column in counted]

    @table_asset(
        scope,
        FUNNEL,
        kinds=KINDS,
        reads=dict.fromkeys([table for table in reads if table != "sft_dataset" or exported], SAME),
        settings=[arena.deduplication.threshold, arena.difficulty.keep, arena.selection.centres, arena.export.formats],
        origins=origins(
            competitor="mined_instructions.competitor",
            why="mined_instructions.status",
            **dict.fromkeys(("rows", "dropped"), " ".join(counted)),
        ),
    )
    def funnel(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """How many instructions each stage left, from mined to exported, and why it dropped the others: a row for each stage
        and competitor, and one for all (no competitor).
        """
        return pictured(context, warehouse, instruction_flow.funnel(*instruction_flow.funnel_stages(arena, warehouse)))

    return funnel


def novelty_asset(scope: Scope) -> dg.AssetsDefinition:
    """How new the instructions are."""
    arena, references = scope.arena, scope.arena.analysis.references

    @table_asset(
        scope,
        NOVELTY,
        kinds=KINDS,
        reads={"unique_instructions": SAME},
        settings=[reference_sets.contents(references), *references],
        origins=origins(
            "unique_instructions",
            row_id="unique_instructions.instruction_id",
            **dict.fromkeys(("rouge_l", "nearest"), "unique_instructions.instruction"),
        ),
    )
    def instruction_novelty(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The similarity of each mined instruction to the nearest text of each reference set, by ROUGE-L F1 (1 is the same):
        data that only repeats public text would be near 1. The paper's are mostly below 0.3 and never above 0.6.
        """
        kept = warehouse.read("unique_instructions", arena.roster).filter("kept")
        rows = pl.concat(
            [novelty.nearest_in_set(kept, one.name, reference_sets.texts_of(one)) for one in references]
            or [novelty.nearest_in_set(kept.clear(), "", [])]
        )
        shares = {
            one.name: {f"above {mark}": share_above(rows.filter(reference_set=one.name), mark) for mark in pictures.MARKS}
            for one in references
        }
        return pictured(context, warehouse, rows, {"shares": shares})

    return instruction_novelty


def bands_asset(scope: Scope) -> dg.AssetsDefinition:
    """How hard the instructions are."""
    arena = scope.arena

    @table_asset(
        scope,
        BANDS,
        kinds=KINDS,
        reads={"instruction_difficulty": SAME},
        origins=origins(
            row_id="instruction_difficulty.competitor instruction_difficulty.band",
            competitor="instruction_difficulty.competitor",
            **dict.fromkeys(("instructions", "share"), "instruction_difficulty.band"),
        ),
    )
    def difficulty_bands(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """How hard and how good each competitor's instructions are, according to judges: the share of each band of scores."""
        rated = warehouse.read("instruction_difficulty", arena.roster)
        return pictured(context, warehouse, instruction_flow.difficulty_bands(rated))

    return difficulty_bands


def standings_asset(scope: Scope) -> dg.AssetsDefinition:
    """Who beats whom."""
    arena = scope.arena

    @table_asset(
        scope,
        HEAD_TO_HEAD,
        kinds=KINDS,
        reads={"battle_outcomes": SAME},
        origins=origins(
            **dict.fromkeys(("row_id", "competitor", "opponent"), "battle_outcomes.left battle_outcomes.right"),
            **dict.fromkeys(("battles", "won", "tied", "lost", "win_rate", "low", "high"), "battle_outcomes.outcome"),
        ),
    )
    def head_to_head(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """How often each competitor beats each other one, with the number of battles and the 95 % interval."""
        return pictured(context, warehouse, standings.head_to_head(fought(arena, warehouse)))

    return head_to_head


def history_asset(scope: Scope) -> dg.AssetsDefinition:
    """How the ratings settled."""
    arena = scope.arena

    @table_asset(
        scope,
        HISTORY,
        kinds=KINDS,
        reads={"battle_outcomes": SAME},
        settings=[arena.ratings],
        origins=origins(
            **dict.fromkeys(
                ("rating", "low", "high", "battles"),
                "battle_outcomes.left battle_outcomes.right battle_outcomes.outcome",
            ),
        ),
    )
    def rating_history(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """The ratings from more and more of the battles, with their intervals: whether more battles would still change them."""
        return pictured(context, warehouse, standings.rating_history(fought(arena, warehouse), arena.roster, arena.ratings))

    return rating_history


def audit_asset(scope: Scope) -> dg.AssetsDefinition:
    """Which judges to trust."""
    arena, soft = scope.arena, scope.arena.battles.votes == "soft"
    preference = f"judge_votes.{'p_left' if soft else 'verdict'}"
    with_tests = f"{preference} execution_votes.p_left"

    @table_asset(
        scope,
        AUDIT,
        kinds=KINDS,
        reads={"judge_votes": SAME, "answers": SAME, **({"execution_votes": SAME} if arena.runs_tests else {})},
        settings=[arena.battles.votes, arena.runs_tests],
        origins=origins(
            **dict.fromkeys(("row_id", "judge"), "judge_votes.judge"),
            **dict.fromkeys(("votes", "abstained", "tied"), "judge_votes.status"),
            **of_shares("first", "judge_votes.verdict judge_votes.order"),
            **of_shares("consistent", "judge_votes.verdict"),
            **of_shares("agrees", preference),
            **of_shares("longer", "judge_votes.verdict answers.answer"),
            **(of_shares(test_agreement.SHARE, with_tests) | {"accuracy": with_tests} if arena.runs_tests else {}),
        ),
        checks=[
            dg.AssetCheckSpec(
                JUDGES_ARE_SOUND,
                asset=scope.key(AUDIT.name),
                description="Whether no judge decides by the position of an answer, and none contradicts itself or the others"
                " more often than chance would.",
            )
        ],
    )
    def judge_audit(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
        """Which judges to trust: whether one decides by the position of an answer or by its length, says the same in both
        orders, and agrees with the others and, where answers are run, with the tests. A judge that is worse than chance, or
        always says A, fails the check, as a warning.
        """
        votes = warehouse.read("judge_votes", matchup_keys(arena.roster))
        length = pl.col("answer").str.len_chars().alias("length")
        lengths = warehouse.read("answers", arena.roster).select("instruction_id", "competitor", length)
        audited = audit.audit(votes, lengths, soft=soft)
        if arena.runs_tests:
            executed = warehouse.read("execution_votes", matchup_keys(arena.roster))
            audited = test_agreement.with_tests(audited, votes, executed, soft=soft)
        faults = audit.faults(audited)
        # A finding about the models, not about the run: nothing has to be repeated.
        sound = dg.AssetCheckResult(
            check_name=JUDGES_ARE_SOUND, passed=not faults, severity=dg.AssetCheckSeverity.WARN, metadata=faults
        )
        alpha = audit.krippendorff_alpha(audit.preferences(votes, soft=soft))
        metadata = {"krippendorff_alpha": "undefined" if alpha is None else alpha, "faults": faults}
        return pictured(context, warehouse, audited.with_columns(row_id="judge"), metadata, [sound])

    return judge_audit


def fought(arena: Arena, warehouse: Warehouse) -> pl.DataFrame:
    """The battles of all matchups that took place."""
    return warehouse.read("battle_outcomes", matchup_keys(arena.roster)).drop_nulls("outcome")


def pictured(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    rows: pl.DataFrame,
    metadata: dict[str, Any] | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
) -> dg.MaterializeResult:
    """Record a table with its picture."""
    drawn = picture(context.asset_key.path[-1], rows)
    return record(context, warehouse, {WHOLE: rows}, metadata={**drawn, **(metadata or {})}, checks=checks)


def picture(table: str, rows: pl.DataFrame) -> dict[str, Any]:
    """The metadata that shows a table's picture."""
    figure = pictures.PICTURES[table](rows)
    return {"picture": dg.MetadataValue.md(pictures.as_markdown(figure, table.replace("_", " ")))}


def of_shares(name: str, made_from: str) -> dict[str, str]:
    """The origins of one of the audit's shares, of its number of cases and of its interval."""
    return dict.fromkeys((name, f"{name}_of", f"{name}_low", f"{name}_high"), made_from)


def share_above(rows: pl.DataFrame, mark: float) -> float:
    """The share of rows above a mark of ROUGE-L; 0 if there are none."""
    return float((rows["rouge_l"] > mark).mean() or 0.0) if len(rows) else 0.0  # type: ignore[arg-type]
