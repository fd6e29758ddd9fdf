"""Shared fixtures: the bundled model, small arenas, and a scripted engine for tests that need no real one."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import hypothesis
import pytest
from sqlalchemy import Engine, event

os.environ["HF_HUB_OFFLINE"] = "1"
# Workers and their engines share the cores: a thread that waits gives its core away instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from warrior_dagster.analysis import pictures
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.bundled_models import EMBEDDER, LLM
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.progress import Report
from warrior_dagster.inference.request import Completion, Request, ServedModel

# Machines are noisy: no test is timed.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

LONGEST = (
    *("test_end_to_end.py", "test_increments.py", "test_graph.py", "test_messages.py", "test_staleness.py"),
    *("test_scheduled_update.py", "test_row_checks.py", "test_page.py", "test_planted_secret.py"),
)
"""The slowest files come first, so that workers that each take a whole file end at about the same time."""

MODELS = Path(__file__).parent.parent / "models"
DRAW: dict[str, Callable[..., Any]] = {"as_png": pictures.as_png, "as_svg": pictures.as_svg}
BLANK: dict[str, Callable[..., Any]] = {"as_png": lambda figure: b"", "as_svg": lambda figure, title: "<svg></svg>"}


@event.listens_for(Engine, "connect")
def commit_without_waiting_for_the_disk(connection: object, _: object) -> None:
    """Dagster commits thousands of times in these tests, and none of them is about a machine that loses power."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files of LONGEST first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def bundled_model() -> Path:
    """The folder of the bundled SmolLM2-135M-Instruct."""
    assert (MODELS / LLM / "config.json").is_file(), "run `make setup` first"
    return MODELS / LLM


@pytest.fixture(scope="session")
def bundled_embedder() -> Path:
    """The folder of the bundled sentence-transformers model."""
    assert (MODELS / EMBEDDER / "config.json").is_file(), "run `make setup` first"
    return MODELS / EMBEDDER


def small_settings(folder: Path, model: Path, embedder: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of an arena on the bundled model with its warehouse in a folder."""
    return {
        "name": "small",
        "competitors": [{"name": n, "model": str(model), "system_prompt": f"You are {n}, who writes Python."} for n in names],
        "warehouse": str(folder / "warehouse"),
        "mining": {"settings": [{"temperature": 1.0, "top_p": 0.99}], "samples": 8, "max_tokens": 64},
        "difficulty": {"verdict": "direct", "keep": 1.0},
        "embedding": {"model": str(embedder)},
        "selection": {"centres": 3},
        "answers": {"sampling": {"max_tokens": 64}},
        "battles": {"verdict": "direct", "votes": "soft"},
        "ratings": {"bootstrap_rounds": 20},
        "export": {"folder": str(folder / "exports")},
    }


@pytest.fixture
def make_arena(bundled_model: Path, bundled_embedder: Path, tmp_path: Path) -> Callable[..., Arena]:
    """Small arenas in the test's own folder; keyword arguments replace top-level values."""

    def make(names: tuple[str, ...] = ("ann", "bob", "cyd"), **values: Any) -> Arena:
        return Arena.model_validate(small_settings(tmp_path, bundled_model, bundled_embedder, names) | values)

    return make


class FinishedRun(NamedTuple):
    """A small arena with everything materialized, every request that was sent, and every engine start."""

    arena: Arena
    log: list[Request]
    starts: list[ServedModel]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path) -> FinishedRun:
    """One run for all tests. Read only; a test that changes the warehouse takes `finished_copy`."""
    from tests.runs import EVERYTHING, materialize

    folder = tmp_path_factory.mktemp("finished")
    arena = Arena.model_validate(small_settings(folder, bundled_model, bundled_embedder, ("ann", "bob", "cyd")))
    done = FinishedRun(arena, [], [])
    with scripted_engines(arena, done.log, done.starts) as engines:
        materialize(arena, engines, *EVERYTHING, checks=True)
    return done


@pytest.fixture(scope="session")
def finished(finished_run: FinishedRun) -> tuple[Arena, list[Request]]:
    """The arena and the requests of `finished_run`."""
    return finished_run.arena, finished_run.log


@pytest.fixture
def finished_copy(finished_run: FinishedRun, make_arena: Callable[..., Arena]) -> Callable[..., Arena]:
    """The same arena on a copy of its warehouse, which a test may change; keyword arguments replace top-level values."""

    def copy(**values: Any) -> Arena:
        arena = make_arena(**values)
        shutil.copytree(finished_run.arena.warehouse, arena.warehouse)
        return arena

    return copy


@pytest.fixture(scope="session", autouse=True)
def blank_pictures() -> Iterator[None]:
    """Draws nothing: pictures are a fifth of the time of a run of the graph."""
    with pytest.MonkeyPatch.context() as patch:
        for name, blank in BLANK.items():
            patch.setattr(pictures, name, blank)
        yield


@pytest.fixture(autouse=True)
def drawn_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws pictures in tests marked `pictures`."""
    if request.node.get_closest_marker("pictures"):
        for name, draw in DRAW.items():
            monkeypatch.setattr(pictures, name, draw)


@pytest.fixture
def memory_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of the product are recorded in memory instead of DAGSTER_HOME."""
    monkeypatch.setattr(dg.DagsterInstance, "get", dg.DagsterInstance.ephemeral)


class ScriptedEngine:
    """Answers from a hash of the request's key: different prompts give different texts, equal ones equal texts."""

    def __init__(self, log: list[Request]) -> None:
        self.log = log

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
        async for request in requests:
            self.log.append(request)
            keyed = zip(request.samples, request.keys(), strict=True)
            yield request, [scripted(request, sample, key) for sample, key in keyed]


def scripted(request: Request, sample: int, key: str) -> Completion:
    """One scripted completion: a letter or digit with probabilities for a request with choices, else a few words."""
    number = int(hashlib.sha256(key.encode()).hexdigest(), 16)
    choice = json.loads(request.params).get("structured_outputs", {}).get("choice")
    if choice:
        logprobs = {word: -1.0 - (number >> (8 * i)) % 7 for i, word in enumerate(choice)}
        text = max(logprobs, key=lambda word: logprobs[word])
        return Completion(key, sample, text, "stop", 100, 1, logprobs)
    verbs, things = (
        ("write", "fix", "explain", "test"),
        ("a parser", "a queue", "this loop", "a regex", "a cache", "a class"),
    )
    words = f"{verbs[number % 4]} {things[number // 4 % 6]} in Python that handles {key[:6]} and {key[6:12]} {key[12:18]}"
    return Completion(key, sample, words, "stop", 20, 12)


@contextmanager
def scripted_engines(
    arena: Arena, log: list[Request], starts: list[ServedModel], report: Report | None = None
) -> Iterator[Engines]:
    """Scripted engines with the arena's real ledger; every start and request is appended to the lists."""

    def start(model: ServedModel, *_: object) -> ScriptedEngine:
        starts.append(model)
        return ScriptedEngine(log)

    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), report=report, start=start) as engines,
    ):
        yield engines
