"""What the checks of tests as evidence look at: isolation, timeouts, and whether tests decide anything. All are warnings."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from warrior_dagster.materialization.recording import counted
from warrior_dagster.sandbox.isolation import ISOLATING_LEVELS
from warrior_dagster.stages.battles.sandbox_runs import NEEDS_MODULE, NOT_RUN, TIMEOUT
from warrior_dagster.stages.battles.votes import shares_decided

ISOLATED_RUNS = (
    "runs_are_isolated",
    "Whether all runs were isolated; others were held by resource limits alone (execution.isolation).",
)
FEW_TIMEOUTS = ("few_timeouts", "Whether few enough runs timed out (execution.max_timeout_rate).")
TESTS_DECIDE = ("tests_decide", "Whether the tests prefer one side of any battle; else they decide nothing.")
"""The names and the descriptions of the checks."""
WARN = dg.AssetCheckSeverity.WARN


def isolated(rows: pl.DataFrame) -> dg.AssetCheckResult:
    """Whether all results come from isolated runs, also those of earlier runs."""
    levels = counted(rows.filter(pl.col("level") != ""), "level")
    passed = set(levels) <= set(ISOLATING_LEVELS)
    return dg.AssetCheckResult(check_name=ISOLATED_RUNS[0], passed=passed, severity=WARN, metadata={"levels": levels})


def few_timeouts(rows: pl.DataFrame, limit: float) -> dg.AssetCheckResult:
    """Whether the share of runs that timed out is within the arena's limit."""
    ran = rows.filter(~pl.col("outcome").is_in([NOT_RUN, NEEDS_MODULE]))
    late = ran.filter(outcome=TIMEOUT).height
    rate = late / len(ran) if len(ran) else 0.0
    metadata = {"timeouts": late, "ran": len(ran), "rate": rate, "limit": limit}
    return dg.AssetCheckResult(check_name=FEW_TIMEOUTS[0], passed=rate <= limit, severity=WARN, metadata=metadata)


def tests_decide(frames: Mapping[str, pl.DataFrame]) -> dg.AssetCheckResult:
    """Whether the tests prefer one side of any battle, and in which share of battles and instructions they do."""
    votes = pl.concat([frame.select("instruction_id", "left", "right", "status") for frame in frames.values()])
    metadata, shares = shares_decided(votes, pl.col("status") == "decided")
    return dg.AssetCheckResult(
        check_name=TESTS_DECIDE[0],
        passed=metadata["battles_decided"] > 0,
        severity=WARN,
        description=f"tests decide {shares}",
        metadata=metadata,
    )
