"""Why a run failed, and which of its checks did, in words."""

from collections.abc import Iterable

import dagster as dg

BEFORE_ITS_FIRST_STEP = "the run failed before its first step"


def failure_reasons(events: Iterable[dg.DagsterEvent]) -> str:
    """One paragraph for each failed blocking check of a run, and for each step that failed for another reason; empty if the run
    did not fail in a step.
    """
    lines, failed_in_check = [], set[str]()
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:  # comes before its step's failure
            check = event.asset_check_evaluation_data
            if check.blocking and failed(check):
                failed_in_check.add(event.step_key or "")
                lines.append(f"{check.asset_key.to_user_string()}: the check {check.check_name} failed\n{check.description}")
        if event.is_step_failure and event.step_key not in failed_in_check:
            failure = event.step_failure_data
            description = failure.user_failure_data.description if failure.user_failure_data else None
            cause = failure.error.cause if failure.error else None
            lines.append(f"{event.step_key}: {description or (cause or failure.error).to_string().strip()}")  # type: ignore[union-attr]
    return "\n\n".join(lines)


def failed(check: dg.AssetCheckEvaluation) -> bool:
    """Whether a check found something wrong; a warning is no failure."""
    return not check.passed and check.severity == dg.AssetCheckSeverity.ERROR


def name_of(check: dg.AssetCheckEvaluation) -> str:
    return f"{check.asset_key.to_user_string()}: {check.check_name}"
