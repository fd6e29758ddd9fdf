"""What the check of behaviour as evidence looks at: whether it decides anything. It is a warning."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from warrior_dagster.stages.battles.votes import shares_decided

BEHAVIOURS_DECIDE = (
    "behaviours_decide",
    "Whether behaviour prefers one side of any battle; else it decides nothing.",
)
"""The name and the description of the check."""


def behaviours_decide(frames: Mapping[str, pl.DataFrame]) -> dg.AssetCheckResult:
    """Whether behaviour prefers one side of any battle, and in which share of battles and instructions it does."""
    votes = pl.concat([frame.select("instruction_id", "left", "right", "status") for frame in frames.values()])
    metadata, shares = shares_decided(votes, pl.col("status") == "decided")
    return dg.AssetCheckResult(
        check_name=BEHAVIOURS_DECIDE[0],
        passed=metadata["battles_decided"] > 0,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"behaviour decides {shares}",
        metadata=metadata,
    )
