"""Analysis: what a reader of the articles looks for first, each a table with its picture."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl

from warrior_dagster.analysis import (
    audit,
    categories,
    instruction_flow,
    intervals,
    novelty,
    pictures,
    standings,
    test_agreement,
)
from warrior_dagster.analysis.tables import funnel_stages
from warrior_dagster.config import reference_sets
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.inference import ASKING
from warrior_dagster.inference.engines import Engines
from warrior_dagster.materialization.column_lineage import origins
from warrior_dagster.materialization.partitions import Partitions
from warrior_dagster.materialization.recording import FEW_FAILED, OWNERS, code_version, record
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

JUDGES_ARE_SOUND = "judges_are_sound"
COMMON: dict[str, Any] = {"group_name": "analysis", "kinds": {"polars", "matplotlib", "lancedb"}, "owners": OWNERS}


def assets(arena: Arena, parts: Partitions) -> list[dg.AssetsDefinition]:
    """The assets of this stage."""
    sorted_ = [category_asset(arena, parts)] if arena.analysis.categories else []
    made = (funnel_asset, novelty_asset, bands_asset, standings_asset, history_asset, audit_asset)
    return [*sorted_, *(make(arena) for make in made)]


def category_asset(arena: Arena, parts: Partitions) -> dg.AssetsDefinition:
    """The one asset of the analysis that asks models."""

    @dg.asset(
        partitions_def=parts.competitors,
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="competitors",
        kinds={"vllm", "lancedb"},
        owners=OWNERS,
        pool="engine",
        deps=["selected_instructions"],
        code_version=code_version([arena.analysis.category_prompt], modules=[categories, *ASKING]),
        metadata=origins(
            "selected_instructions",
            **dict.fromkeys(("category", "probability", "reason"), "selected_instructions.instruction"),
        ),
        check_specs=[dg.AssetCheckSpec(FEW_FAILED, asset="task_categories")],
    )
    def task_categories(
        context: dg.AssetExecutionContext,
        warehouse: dg.ResourceParam[Warehouse],
        engines: dg.ResourceParam[Engines],
    ) -> dg.MaterializeResult:
        """What each selected instruction asks for, in a judge's eyes: one of seven kinds of task, from writing code to testing
        it. A judge that names none abstains.
        """
        names = context.partition_keys
        selected = warehouse.read("selected_instructions", names)
        asked = categories.categorise(arena, engines, selected, context.log)
        failures = {n: asked.failures[j] for n in names if (j := categories.judge_of(arena, n)) in asked.failures}
        rows = pl.DataFrame(asked.rows, schema=categories.SCHEMA)
        rows = rows.join(selected.select("instruction_id", "competitor"), on="instruction_id")
        draw = pictures.PICTURES["task_categories"]
        picture = dg.MetadataValue.md(pictures.as_markdown(draw(rows), "task categories"))
        return record(
            context,
            warehouse,
            {name: rows.filter(competitor=name) for name in names},
            describe=lambda f: {"categories": dict(f["category"].fill_null("abstained").value_counts().iter_rows())},
            metadata={"picture": picture},
            usage=asked.usage,
            failures=failures,
            asked_by=arena,
        )

    return task_categories


def funnel_asset(arena: Arena) -> dg.AssetsDefinition:
    """What each stage left."""
    exported = ["sft_dataset"] if "sft" in arena.export.formats else []

    @dg.asset(
        **COMMON,
        deps=["mined_instructions", "unique_instructions", "instruction_difficulty", "selected_instructions", "answers",
              "battle_outcomes", *exported],
        code_version=code_version(arena.export, modules=[instruction_flow]),
        metadata=origins(
            competitor="mined_instructions.competitor",
            why="mined_instructions.status",
            **dict.fromkeys(
                ("rows", "dropped"),
                "mined_instructions.status unique_instructions.kept instruction_difficulty.kept"
                " selected_instructions.instruction_id battle_outcomes.outcome battle_outcomes.decided battle_outcomes.tie"
                + " sft_dataset.attacker" * len(exported),
            ),
        ),
    )  # fmt: skip
    def funnel(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """How many instructions each stage left, from mined to exported, and why it dropped the others: a row for each stage
        and competitor, and one for all (no competitor).
        """
        left, reasons = funnel_stages(arena, warehouse)
        return pictured(context, warehouse, instruction_flow.funnel(left, reasons))

    return funnel


def novelty_asset(arena: Arena) -> dg.AssetsDefinition:
    """How new the instructions are."""

    @dg.asset(
        **COMMON,
        deps=["unique_instructions"],
        code_version=code_version(
            reference_sets.contents(arena.analysis.references), *arena.analysis.references, modules=[novelty, reference_sets]
        ),
        metadata=origins(
            "unique_instructions",
            row_id="unique_instructions.instruction_id",
            **dict.fromkeys(("rouge_l", "nearest"), "unique_instructions.instruction"),
        ),
    )
    def instruction_novelty(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """How near each mined instruction is to the nearest text of each reference set, by ROUGE-L F1 (1 is the same): data
        that only repeats what is public would be near 1. The paper's are mostly below 0.3 and never above 0.6.
        """
        kept = warehouse.read("unique_instructions", arena.roster).filter("kept")
        rows = pl.concat(
            [novelty.against(kept, one.name, reference_sets.texts_of(one)) for one in arena.analysis.references]
            or [novelty.against(kept.clear(), "", [])]
        )
        shares = {
            one.name: {f"above {mark}": share_above(rows.filter(reference_set=one.name), mark) for mark in pictures.MARKS}
            for one in arena.analysis.references
        }
        return pictured(context, warehouse, rows, {"shares": shares})

    return instruction_novelty


def bands_asset(arena: Arena) -> dg.AssetsDefinition:
    """How hard the instructions are."""

    @dg.asset(
        **COMMON,
        deps=["instruction_difficulty"],
        code_version=code_version(modules=[instruction_flow]),
        metadata=origins(
            row_id="instruction_difficulty.competitor instruction_difficulty.band",
            competitor="instruction_difficulty.competitor",
            **dict.fromkeys(("instructions", "share"), "instruction_difficulty.band"),
        ),
    )
    def difficulty_bands(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """How hard and how good each competitor's instructions are, in the judges' eyes: the share of each band of scores."""
        return pictured(
            context, warehouse, instruction_flow.difficulty_bands(warehouse.read("instruction_difficulty", arena.roster))
        )

    return difficulty_bands


def standings_asset(arena: Arena) -> dg.AssetsDefinition:
    """Who beats whom."""

    @dg.asset(
        **COMMON,
        deps=["battle_outcomes"],
        code_version=code_version(modules=[standings, intervals]),
        metadata=origins(
            **dict.fromkeys(("row_id", "competitor", "opponent"), "battle_outcomes.left battle_outcomes.right"),
            **dict.fromkeys(("battles", "won", "tied", "lost", "win_rate", "low", "high"), "battle_outcomes.outcome"),
        ),
    )
    def head_to_head(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """How often each competitor beats each other one, with the number of battles and the 95 % interval."""
        return pictured(context, warehouse, standings.head_to_head(fought(arena, warehouse)))

    return head_to_head


def history_asset(arena: Arena) -> dg.AssetsDefinition:
    """How the ratings came about."""

    @dg.asset(
        **COMMON,
        deps=["battle_outcomes", "elo_ratings"],
        code_version=code_version(arena.ratings, modules=[standings]),
        metadata=origins(
            **dict.fromkeys(
                ("rating", "low", "high", "battles"),
                "battle_outcomes.left battle_outcomes.right battle_outcomes.outcome",
            ),
        ),
    )
    def rating_history(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """The ratings from more and more of the battles, with their intervals: whether more battles would still change them."""
        return pictured(context, warehouse, standings.rating_history(fought(arena, warehouse), arena.roster, arena.ratings))

    return rating_history


def audit_asset(arena: Arena) -> dg.AssetsDefinition:
    """Which judges are worth listening to."""
    leaning = f"judge_votes.{'p_left' if arena.battles.votes == 'soft' else 'verdict'}"
    with_tests = f"{leaning} execution_votes.p_left"

    @dg.asset(
        **COMMON,
        deps=["judge_votes", "answers", *["execution_votes"] * arena.runs_tests],
        code_version=code_version([arena.battles.votes], modules=[audit, intervals, *[test_agreement] * arena.runs_tests]),
        metadata=origins(
            **dict.fromkeys(("row_id", "judge"), "judge_votes.judge"),
            **dict.fromkeys(("votes", "abstained", "tied"), "judge_votes.status"),
            **of_shares("first", "judge_votes.verdict judge_votes.order"),
            **of_shares("consistent", "judge_votes.verdict"),
            **of_shares("agrees", leaning),
            **of_shares("longer", "judge_votes.verdict answers.answer"),
            **(of_shares(test_agreement.SHARE, with_tests) | {"accuracy": with_tests} if arena.runs_tests else {}),
        ),
        check_specs=[
            dg.AssetCheckSpec(
                JUDGES_ARE_SOUND,
                asset="judge_audit",
                description="Whether no judge goes by the place of an answer, contradicts itself or stands against the others"
                " more than a coin would.",
            )
        ],
    )
    def judge_audit(context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]) -> dg.MaterializeResult:
        """Which judge is worth listening to: whether it goes by the place of an answer or by its length, says the same in both
        orders, and agrees with the others and, where answers are run, with the tests. One that is worse than a coin, or always
        says A, fails the check, as a warning.
        """
        votes = warehouse.read("judge_votes", matchup_keys(arena.roster))
        length = pl.col("answer").str.len_chars().alias("length")
        given = warehouse.read("answers", arena.roster).select("instruction_id", "competitor", length)
        soft = arena.battles.votes == "soft"
        audited = audit.audit(votes, given, soft=soft)
        if arena.runs_tests:
            executed = warehouse.read("execution_votes", matchup_keys(arena.roster))
            audited = test_agreement.with_tests(audited, votes, executed, soft=soft)
        faults = audit.faults(audited)
        # A finding about the models, not about the run: nothing has to be repeated.
        sound = dg.AssetCheckResult(
            check_name=JUDGES_ARE_SOUND, passed=not faults, severity=dg.AssetCheckSeverity.WARN, metadata=faults
        )
        alpha = audit.krippendorff_alpha(audit.leanings(votes, soft=soft))
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
    checks: list[dg.AssetCheckResult] | None = None,
) -> dg.MaterializeResult:
    """Record a table with its picture."""
    name = context.asset_key.to_user_string()
    draw: Callable[[pl.DataFrame], Any] = pictures.PICTURES[name]
    picture = dg.MetadataValue.md(pictures.as_markdown(draw(rows), name.replace("_", " ")))
    return record(context, warehouse, {WHOLE: rows}, metadata={"picture": picture, **(metadata or {})}, checks=checks)


def of_shares(name: str, came_from: str) -> dict[str, str]:
    """The origins of one of the audit's shares, of its number of cases and of its interval."""
    return dict.fromkeys((name, f"{name}_of", f"{name}_low", f"{name}_high"), came_from)


def share_above(rows: pl.DataFrame, mark: float) -> float:
    """The share of rows above a mark of ROUGE-L; 0 of none."""
    return float((rows["rouge_l"] > mark).mean() or 0.0) if len(rows) else 0.0  # type: ignore[arg-type]
