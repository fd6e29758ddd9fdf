"""Alerts: which runs and checks cause one, what it says, and how it is sent."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from warrior_dagster.orchestration.failure_alerts import COMMAND, LONGEST, NOT_SET, WEBHOOK, alert_sensors, send

FAILED_RUNS, FAILED_CHECKS = alert_sensors()


@dg.asset
def sound() -> None: ...


@dg.asset
def broken() -> None:
    raise dg.Failure("the engine does not start; its key is sk-abcdef1234567890")


@dg.asset_check(asset=sound)
def few_failed_requests() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR, description="ann: 9 of 10 failed")


@dg.asset_check(asset=sound)
def judges_are_sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description="bob always says A")


@dg.asset_check(asset=sound, blocking=True)
def rows_are_unique() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR, description="ann: 2 rows twice")


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What the command of the environment was given, one text for each alert."""
    script, received = tmp_path / "alert.py", tmp_path / "received"
    received.mkdir()
    script.write_text("import sys, pathlib, uuid; (pathlib.Path(sys.argv[1]) / uuid.uuid4().hex).write_text(sys.stdin.read())")
    monkeypatch.setenv(COMMAND, f"{sys.executable} '{script}' '{received}'")
    monkeypatch.delenv(WEBHOOK, raising=False)
    return lambda: [file.read_text() for file in received.iterdir()]


def ticked(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, event: Callable[[], Any]
) -> tuple[Any, dg.SensorDefinition]:
    """The sensor's tick after an event; an earlier tick only says from when on it looks."""
    with dg.build_sensor_context(instance=instance) as context:
        cursor = sensor.evaluate_tick(context).cursor
    event()
    with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
        return sensor.evaluate_tick(context), sensor


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as opened:
        yield opened


def materialized(instance: dg.DagsterInstance, *definitions: Any) -> Callable[[], Any]:
    assets = [one for one in definitions if not isinstance(one, dg.AssetChecksDefinition)]
    defs = dg.Definitions(assets, asset_checks=[one for one in definitions if isinstance(one, dg.AssetChecksDefinition)])
    job, keys = defs.get_implicit_global_asset_job_def(), [one.key for one in assets]
    return lambda: job.execute_in_process(asset_selection=keys, instance=instance, raise_on_error=False)


def test_a_failed_run_causes_an_alert_with_its_assets_and_reason_and_without_what_looks_like_a_key(
    instance: dg.DagsterInstance, inbox: Callable[[], list[str]]
) -> None:
    ticked(FAILED_RUNS, instance, materialized(instance, broken))
    (text,) = inbox()
    (run,) = instance.get_runs()
    assert text == f"failed: run {run.run_id} of broken\n\nbroken: the engine does not start; its key is ***"


def test_a_failed_blocking_check_is_the_reason_of_a_failed_run(
    instance: dg.DagsterInstance, inbox: Callable[[], list[str]]
) -> None:
    ticked(FAILED_RUNS, instance, materialized(instance, sound, rows_are_unique))
    (text,) = inbox()
    assert "sound: the check rows_are_unique failed\nann: 2 rows twice" in text


def test_a_run_whose_process_is_gone_causes_an_alert_with_what_was_reported(
    instance: dg.DagsterInstance, inbox: Callable[[], list[str]]
) -> None:
    job = dg.define_asset_job("all").resolve(asset_graph=dg.Definitions([sound]).resolve_asset_graph())

    def crashed() -> None:
        instance.report_run_failed(instance.create_run_for_job(job), "The run's process is gone.")

    ticked(FAILED_RUNS, instance, crashed)
    (text,) = inbox()
    assert text.endswith("\n\nThe run's process is gone.")


def test_a_failed_check_of_a_run_that_succeeded_causes_an_alert_and_a_warning_does_not(
    instance: dg.DagsterInstance, inbox: Callable[[], list[str]]
) -> None:
    ticked(FAILED_CHECKS, instance, materialized(instance, sound, judges_are_sound))
    assert inbox() == []
    ticked(FAILED_CHECKS, instance, materialized(instance, sound, judges_are_sound, few_failed_requests))
    (text,) = inbox()
    assert text.startswith("failed checks: run ")
    assert text.endswith(" of sound\n\nsound: few_failed_requests\nann: 9 of 10 failed")


def test_without_a_command_or_a_web_hook_the_tick_says_so(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(COMMAND, raising=False)
    monkeypatch.delenv(WEBHOOK, raising=False)
    result, _ = ticked(FAILED_RUNS, instance, materialized(instance, broken))
    assert result.skip_message == NOT_SET


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            f"{sys.executable} -c 'import sys; sys.exit(\"no route to secret-host: Bearer abcdefgh\")'",
            "ended with status 1: no route",
        ),
        ("/no/such/program secret-host", "cannot be run: FileNotFoundError"),
        ("mail 'secret-host", "cannot be run: ValueError"),
    ],
)
def test_a_command_that_fails_is_the_error_of_the_tick_and_its_words_are_not_shown(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, command: str, expected: str
) -> None:
    monkeypatch.setenv(COMMAND, command)
    monkeypatch.delenv(WEBHOOK, raising=False)
    result, _ = ticked(FAILED_RUNS, instance, materialized(instance, broken))
    (reaction,) = result.dagster_run_reactions
    assert expected in reaction.error.message
    assert "abcdefgh" not in reaction.error.to_string()
    assert command not in reaction.error.to_string()


class Hook(BaseHTTPRequestHandler):
    """A web hook that refuses its first request."""

    received: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.received.append(body["text"])
        self.send_response(503 if len(self.received) == 1 else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def test_a_web_hook_gets_the_text_as_json_again_if_it_refused_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Hook.received = []
    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv(COMMAND, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{server.server_port}/services/secret-token")
    try:
        send("failed: ä 漢")
    finally:
        server.shutdown()
        server.server_close()
    assert Hook.received == ["failed: ä 漢"] * 2


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:9/secret-token", "file:///secret-token", "https://[secret-token", "http://a/ secret-token"]
)
def test_an_address_that_cannot_be_reached_is_an_error_without_it(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.delenv(COMMAND, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv(WEBHOOK, address)
    with pytest.raises(RuntimeError, match=WEBHOOK) as error:
        send("failed")
    assert "secret-token" not in str(error.value)


def test_a_long_alert_is_cut(instance: dg.DagsterInstance, inbox: Callable[[], list[str]]) -> None:
    @dg.asset
    def wordy() -> None:
        raise dg.Failure("x" * 2 * LONGEST)

    ticked(FAILED_RUNS, instance, materialized(instance, wordy))
    assert [len(text) for text in inbox()] == [LONGEST]
