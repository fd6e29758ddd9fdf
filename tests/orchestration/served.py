"""A real webserver, code server and daemon over an arena's file, with a scripted engine, driven by GraphQL.

The daemon is Dagster's own, set to look every second instead of every thirty.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import dagster as dg
import yaml

from warrior_dagster.inference.servers.vllm import free_port

ROOT = Path(__file__).parent.parent.parent
LOCATION = "tested"
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
DEFINITIONS = """
import os
from pathlib import Path

import dagster as dg

from tests.conftest import ScriptedEngine
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.orchestration.definitions import build_definitions
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.orchestration import automation_sensor, new_competitors, scheduled_update

new_competitors.SECONDS, automation_sensor.SECONDS, scheduled_update.SECONDS = 2, 5, 2
FILE = Path(os.environ["WARRIOR_ARENA"])
arena = load_arena(FILE)


@dg.resource
def engines(context):
    def start(model, *_):
        with open(FILE.parent / "starts.txt", "a") as file:
            file.write(f"{context.run_id}\\n")
        return ScriptedEngine([])

    with LedgerWriter(arena.warehouse) as ledger, Engines(arena.engine, ledger, Path(arena.warehouse), start=start) as opened:
        yield opened


defs = build_definitions(arena, FILE, resources={"engines": engines})
"""
DAEMON = """
import dagster._daemon.controller as controller
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 1
from dagster._daemon.cli import main
main()
"""
INSTANCE = {
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": 1, "max_concurrent_runs": 1},
    },
    "run_launcher": {"module": "tests.orchestration.launcher", "class": "InDaemon"},
    "telemetry": {"enabled": False},
}


NOTICED_SECONDS = 5
"""The daemon checks about every second whether the code server changed; a backfill before that fails."""


class Dagster:
    """The running webserver, through GraphQL."""

    def __init__(self, port: int, home: Path) -> None:
        self.url, self.home = f"http://127.0.0.1:{port}/graphql", home

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of a query. Raises AssertionError with the server's error message."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        with urlopen(Request(self.url, body, {"Content-Type": "application/json"}), timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def loaded(self) -> bool:
        """Whether the code location is loaded; if not, it is reloaded."""
        found = self.ask("{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name } } } }")
        if loaded := bool(found["repositoriesOrError"].get("nodes")):
            return loaded
        self.ask("mutation($n: String!) { reloadRepositoryLocation(repositoryLocationName: $n) { __typename } }", n=LOCATION)
        return False

    def reload(self) -> None:
        """The button "Reload" of the code location."""
        found = self.ask(
            "mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename"
            " ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError { message } } } } }",
            name=LOCATION,
        )["reloadRepositoryLocation"]
        assert found["locationOrLoadError"]["__typename"] == "RepositoryLocation", found
        time.sleep(NOTICED_SECONDS)

    def backfill(self, assets: list[str], partitions: list[str] | None) -> str:
        """Start the backfill of the UI's dialog: partitions of the first asset with everything downstream; returns its id."""
        selection = [{"path": [name]} for name in assets]
        params: dict[str, Any] = {"assetSelection": selection, "title": "by hand"}
        params |= {"partitionNames": partitions} if partitions else {"allPartitions": True}
        found = self.ask(
            "mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) { __typename"
            " ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
            params=params,
        )["launchPartitionBackfill"]
        return str(found["backfillId"])

    def backfills(self) -> dict[str, str]:
        """The status of every backfill, by id."""
        found = self.ask("{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }")[
            "partitionBackfillsOrError"
        ]["results"]
        return {one["id"]: one["status"] for one in found}

    def finished(self, backfill: str, seconds: float = 300) -> str:
        """The final status of a backfill."""
        going_on = ("REQUESTED", "FAILING", "CANCELING")
        return str(waited(lambda: (status := self.backfills()[backfill]) not in going_on and status, seconds))

    def turn_on(self, sensor: str) -> None:
        """The switch of a sensor."""
        selector = {**REPOSITORY, "sensorName": sensor}
        found = self.ask("mutation($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename } }", s=selector)
        assert found["startSensor"]["__typename"] == "Sensor", found

    def ticked(self, sensor: str) -> list[str]:
        """The status of each tick of a sensor, the newest first."""
        return [tick["status"] for tick in self.sensor_ticks(sensor)]

    def said(self, sensor: str) -> str:
        """The skip reason of the newest tick of a sensor."""
        found = self.sensor_ticks(sensor)
        return str(found[0]["skipReason"] or found[0]["error"]) if found else ""

    def sensor_ticks(self, sensor: str) -> list[dict[str, Any]]:
        """The ticks of a sensor, the newest first."""
        found = self.ask(
            "query($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor { sensorState { ticks"
            " { status skipReason error { message } } } } } }",
            s={**REPOSITORY, "sensorName": sensor},
        )
        return list(found["sensorOrError"]["sensorState"]["ticks"])


def waited(look: Callable[[], Any], seconds: float = 300) -> Any:
    """The first result of `look` that is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(2)
    raise TimeoutError(f"nothing came within {seconds} s")


@contextmanager
def served(arena: Path) -> Iterator[Dagster]:
    """A webserver and a daemon over an arena's file, in its folder; both are stopped at the end."""
    home, port, code_port = arena.parent / "home", free_port(), free_port()
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(INSTANCE))
    (home / "defs.py").write_text(DEFINITIONS)
    workspace = home / "workspace.yaml"
    workspace.write_text(
        yaml.safe_dump({"load_from": [{"grpc_server": {"host": "127.0.0.1", "port": code_port, "location_name": LOCATION}}]})
    )
    (home / "daemon.py").write_text(DAEMON)
    # Created once, before several processes would create the same tables.
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs(limit=1)
    env = os.environ | {"DAGSTER_HOME": str(home), "WARRIOR_ARENA": str(arena), "PYTHONPATH": str(ROOT)}
    # One code server for both, as with `dagster dev`: the daemon sees what the webserver reloads.
    commands = (
        [sys.executable, "-m", "dagster", "code-server", "start", "-f", str(home / "defs.py"), "-p", str(code_port)],
        [sys.executable, "-m", "dagster_webserver", "-w", str(workspace), "-p", str(port)],
        [sys.executable, str(home / "daemon.py"), "run", "-w", str(workspace)],
    )
    with open(home / "log.txt", "wb") as log:
        started = [
            subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True, cwd=home) for command in commands
        ]
        try:
            dagster = Dagster(port, home)
            waited(lambda: answers(dagster), 120)
            waited(dagster.loaded, 120)
            yield dagster
        finally:
            for process in started:
                process.terminate()
            for process in started:
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:  # in the middle of a run
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def answers(dagster: Dagster) -> bool:
    try:
        return bool(dagster.ask("{ version }"))
    except OSError:
        return False
