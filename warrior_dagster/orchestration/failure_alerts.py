"""Alerts of failed runs and failed checks, by a command or a web hook that environment variables name.

The sensors see the runs of their own code location, also those that the sensor `fail_crashed_runs` failed. They run in
Dagster's daemon: nothing reports that the daemon itself is gone.
"""

import json
import os
import shlex
import subprocess
from http.client import HTTPException
from urllib.request import Request, urlopen

import dagster as dg
import stamina

from warrior_dagster.config.messages import CREDENTIALS, MASK, on_one_line, visible
from warrior_dagster.orchestration.failures import BEFORE_ITS_FIRST_STEP, failed, failure_reasons, name_of

COMMAND, WEBHOOK = "WARRIOR_ALERT_COMMAND", "WARRIOR_ALERT_WEBHOOK"
NOT_SET = f"no alert is sent: neither {COMMAND} nor {WEBHOOK} is set in the environment of the code location"
SECONDS = 30
"""Between two looks, and the most that one attempt to send may take."""
LONGEST = 3000
"""The most characters of an alert."""


def alert_sensors() -> list[dg.SensorDefinition]:
    """The sensors of a code location; they do nothing without one of the two variables."""

    @dg.run_failure_sensor(
        name="failed_runs",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sends an alert for each failed run, with the reason, by {COMMAND} or {WEBHOOK}.",
    )
    def failed_runs(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        reasons = failure_reasons(events(context.instance, run)) or context.failure_event.message or BEFORE_ITS_FIRST_STEP
        return alert(f"failed: run {run.run_id} of {assets_of(run)}\n\n{reasons}")

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="failed_checks",
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Sends an alert for each run with failed checks that succeeded, by {COMMAND} or {WEBHOOK}.",
    )
    def failed_checks(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        found = [
            f"{name_of(check)}\n{check.description or ''}".strip()
            for event in events(context.instance, run)
            if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
            and failed(check := event.asset_check_evaluation_data)
        ]
        if not found:
            return dg.SkipReason("no check failed")
        return alert("\n\n".join([f"failed checks: run {run.run_id} of {assets_of(run)}", *found]))

    return [failed_runs, failed_checks]


def events(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.DagsterEvent]:
    """All events of a run."""
    return [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]


def assets_of(run: dg.DagsterRun) -> str:
    """What a run makes, in words."""
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    return ", ".join(assets) or f"the job {run.job_name}"


def alert(text: str) -> dg.SkipReason | None:
    """Send an alert; the reason if neither variable is set. Raises RuntimeError if it cannot be sent."""
    if not (os.environ.get(COMMAND) or os.environ.get(WEBHOOK)):
        return dg.SkipReason(NOT_SET)
    send(CREDENTIALS.sub(MASK, visible(text))[:LONGEST])
    return None


def send(text: str) -> None:
    """Run the command with the text as its input, and post it to the web hook as JSON with the key `text`.

    Raises RuntimeError, whose message has neither the command nor the address: both may hold a secret.
    """
    if command := os.environ.get(COMMAND):
        try:
            subprocess.run(shlex.split(command), input=text.encode(), check=True, timeout=SECONDS, capture_output=True)
        except subprocess.CalledProcessError as error:
            said = on_one_line(error.stderr.decode(errors="replace").strip())
            raise RuntimeError(f"{COMMAND} ended with status {error.returncode}: {said}") from None
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise RuntimeError(f"{COMMAND} cannot be run: {type(error).__name__}") from None
    if address := os.environ.get(WEBHOOK):
        if not address.startswith(("https://", "http://")):
            raise RuntimeError(f"{WEBHOOK}: expected an address that starts with https:// or http://")
        try:
            post = Request(address, json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})
            for attempt in stamina.retry_context(on=OSError, attempts=3, timeout=SECONDS):
                with attempt:
                    urlopen(post, timeout=SECONDS / 3).close()
        except OSError as error:
            raise RuntimeError(f"{WEBHOOK}: expected that the alert is accepted; {on_one_line(str(error))}") from None
        except (ValueError, HTTPException) as error:
            raise RuntimeError(f"{WEBHOOK}: expected a valid address; {type(error).__name__}") from None
