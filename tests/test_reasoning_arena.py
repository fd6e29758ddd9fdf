"""An arena of a competitor that thinks, one whose prompt opens the reasoning, and a plain one: only answers count."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import ScriptedEngine, small_settings
from tests.families import FAMILIES
from tests.runs import EVERYTHING, materialize
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.warehouse.tables import Warehouse

OF_FAMILY = {"thinker": "qwen3", "opened": "qwq", "plain": "chatml"}
THINKING = ("opened", "thinker")
DRAFT = "SECRET draft:\n```python\ndef f(x):\n    return -1\n```\nassert f(1) == -1\n[[B]]"
OPENING = {"thinker": f"<think>\n{DRAFT}\n</think>\n\n", "opened": f"{DRAFT}\n</think>\n\n", "plain": ""}


class Thinking(ScriptedEngine):
    """Competitors that draft the opposite of what they answer."""

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
        async for request, completions in super().stream(requests):
            if request.format is None:  # a mined turn, or one constrained word
                yield request, completions
            else:
                yield request, [Completion(c.key, c.sample, reply(request), "stop", 100, 50) for c in completions]


def reply(request: Request) -> str:
    name = Path(request.model.model).name
    if "[[Tie]]" in request.prompt:
        first, second = re.findall(r"By (\w+):", request.prompt)
        return f"{OPENING[name]}By name.\n[[{'A' if first < second else 'B'}]]"
    if "assert" in request.prompt:
        return f"{OPENING[name]}assert f(1) == 2"
    return f"{OPENING[name]}By {name}:\n```python\ndef f(x):\n    return x + 1\n```"


def run(arena: Arena, *steps: tuple[str, None]) -> list[Request]:
    """Materialize; the requests that were sent."""
    log = list[Request]()
    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: Thinking(log)) as engines,
    ):
        materialize(arena, engines, *steps, checks=True)
    return log


@pytest.fixture(scope="module")
def finished_thinking(
    tmp_path_factory: pytest.TempPathFactory, bundled_model: Path, bundled_embedder: Path
) -> tuple[Arena, list[Request]]:
    """The arena with everything materialized, and the requests that were sent."""
    folder = tmp_path_factory.mktemp("thinking")
    for name, family in OF_FAMILY.items():
        FAMILIES[family].tokenizer.save_pretrained(folder / name)
        (folder / name / "config.json").write_text(f'{{"name": "{name}"}}')
    arena = Arena.model_validate(
        small_settings(folder, bundled_model, bundled_embedder, ())
        | {"competitors": [{"name": name, "model": str(folder / name)} for name in OF_FAMILY]}
        | {
            "battles": {"verdict": "reasoned", "votes": "hard", "evidence": ["opinion", "execution"], "combine": "sum"},
            "selection": {"centres": 2},
        }
    )
    return arena, run(arena, *EVERYTHING)


def exported(arena: Arena) -> str:
    """The text of all exported rows."""
    folder = Path(arena.export.folder)
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.jsonl"))]
    assert len(texts) == len(arena.export.formats)
    assert all(texts)
    return "\n".join(texts)


def test_answers_alone_are_judged_run_and_exported(finished_thinking: tuple[Arena, list[Request]]) -> None:
    arena, sent = finished_thinking
    warehouse = Warehouse(arena.warehouse)
    assert not [request for request in sent if "SECRET" in request.prompt]
    answers = warehouse.read("answers", arena.roster)
    assert not answers["answer"].str.contains("SECRET|think>").any()
    assert sorted(answers.filter(pl.col("reasoning") == DRAFT)["competitor"].unique()) == list(THINKING)
    votes = warehouse.read("judge_votes", matchup_keys(arena.roster))
    assert set(votes["status"]) == {"decided"}
    assert [row[row["verdict"]] for row in votes.iter_rows(named=True)] == [
        min(row["left"], row["right"]) for row in votes.iter_rows(named=True)
    ]
    assert not votes["text"].str.contains("SECRET").any()
    assert set(votes.filter(pl.col("judge").is_in(THINKING))["reasoning"]) == {DRAFT}
    assert set(warehouse.read("generated_tests", arena.roster)["test"]) == {"assert f(1) == 2"}
    assert set(warehouse.read("execution_results", arena.roster)["outcome"]) == {"passed"}
    assert not re.search("SECRET|think>", exported(arena))


def test_reasoning_is_exported_where_a_trainer_wants_it(finished_thinking: tuple[Arena, list[Request]]) -> None:
    arena = finished_thinking[0]
    arena = arena.model_copy(update={"export": arena.export.model_copy(update={"reasoning": True})})
    assert run(arena, *((f"{kind}_dataset", None) for kind in arena.export.formats)) == []
    text = exported(arena)
    assert text.count("<think>") == text.count("</think>") == text.count("SECRET") > 0
    assert "By plain" in text
