"""Completions under an earlier identity of a model: found, explained, adopted by the user's decision, never by a guess."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from tests.conftest import scripted_engines
from warrior_dagster import cli
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Sampling
from warrior_dagster.inference import prompting
from warrior_dagster.inference.identity import earlier_folder_identity, folder_identity
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.inference.request import Request, params
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.orchestration.catalog import arena_assets
from warrior_dagster.orchestration.definitions import open_engines
from warrior_dagster.planning.adoption import Earlier, asked_again, described, earlier_identities, warnings
from warrior_dagster.planning.cost import plan, totals
from warrior_dagster.stages.mining import sampling

MODEL = Path(__file__).parents[1] / "fixtures" / "warehouse_of_6c55b93" / "model"
LOG = logging.getLogger(__name__)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MakeArena = Callable[..., Arena]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A hub model whose branch main is at COMMIT, in the cache of this machine."""
    repository = tmp_path / "hub" / "models--org--m"
    shutil.copytree(MODEL, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return "org/m"


def roster(model: str, **values: Any) -> list[dict[str, Any]]:
    return [{"name": name, "model": model, "system_prompt": f"You are {name}."} | values for name in ("ann", "bob", "cyd")]


def mine(arena: Arena) -> int:
    """Mine an arena; returns the number of samples that were sent."""
    log: list[Request] = []
    with scripted_engines(arena, log, []) as engines:
        assert sampling.mine(arena, engines, arena.roster, LOG).failures == {}
    return sum(len(request.samples) for request in log)


def notes(arena: Arena) -> list[str]:
    ledger, warehouse = LedgerReader(arena.warehouse), open_warehouse(arena)
    return asked_again(arena, plan(arena, ledger, warehouse), ledger, warehouse)


def test_a_revision_that_is_pinned_after_a_run_sends_nothing_again_once_it_is_adopted(make_arena: MakeArena, hub: str) -> None:
    first = make_arena(competitors=roster(hub))
    assert mine(first) == 24
    pinned = make_arena(competitors=roster(hub, revision=COMMIT))
    header, why, how = notes(pinned)
    assert header.startswith("24 of the requests to send were sent before")
    assert why.startswith(f"ann, bob, cyd: 24 completions are in the ledger as org/m@main; now the identity is org/m@{COMMIT}.")
    assert why.endswith(f"only if revision main was {COMMIT} when they were made")
    assert warnings(pinned, LedgerReader(pinned.warehouse)) == [why, how]

    adopting = make_arena(competitors=roster(hub, revision=COMMIT), **yaml.safe_load(how[how.index("adopted:") :]))
    assert mine(adopting) == 0
    assert (notes(adopting), warnings(adopting, LedgerReader(adopting.warehouse))) == ([], [])


def test_a_pinned_revision_that_is_asked_again_is_no_longer_warned_about(make_arena: MakeArena, hub: str) -> None:
    mine(make_arena(competitors=roster(hub)))
    pinned = make_arena(competitors=roster(hub, revision=COMMIT))
    assert mine(pinned) == 24
    assert warnings(pinned, LedgerReader(pinned.warehouse)) == []


def test_an_adopted_identity_that_the_ledger_does_not_have_is_named(make_arena: MakeArena, hub: str) -> None:
    mine(make_arena(competitors=roster(hub)))
    misspelt = make_arena(competitors=roster(hub, revision=COMMIT), adopted={f"org/m@{COMMIT}": "org/m@mian"})
    line = "adopted: the ledger has no completions as org/m@mian; did you mean org/m@main?"
    assert notes(misspelt) == warnings(misspelt, LedgerReader(misspelt.warehouse)) == [line]


def test_completions_that_several_models_had_under_one_identity_are_never_adopted(make_arena: MakeArena, hub: str) -> None:
    def served(name: str | None) -> dict[str, Any]:
        return {"kind": "endpoint", "urls": ["http://127.0.0.1:9"], "served_model": name}

    mine(make_arena(competitors=roster(hub)))
    names = ("lora-a", "lora-b", "lora-b")
    arena = make_arena(competitors=[one | {"serve": served(name)} for one, name in zip(roster(hub), names, strict=True)])
    ann, bob = notes(arena)
    assert ann == (
        "ann: 24 completions are in the ledger as org/m@main, which was the identity of several competitors:"
        " which of them made a completion is unknown, so all are sent again"
    )
    assert bob.startswith("bob, cyd: 24")
    base = make_arena(competitors=[*roster(hub)[:2], roster(hub, serve=served("lora"))[2]])
    assert [note.partition(":")[0] for note in notes(base)] == ["cyd"]
    mine(base)
    assert warnings(base, LedgerReader(base.warehouse)) == []


@pytest.mark.parametrize(
    ("revision", "serve", "stored", "found"),
    [
        (COMMIT, {}, "org/m@main", True),
        (COMMIT, {}, "org/m@v1.0", True),
        (COMMIT, {}, f"org/m@{COMMIT[::-1]}", False),  # another commit is other weights
        (None, {}, f"org/m@{COMMIT}", False),
        (COMMIT, {}, "org/m2@main", False),
        (COMMIT, {}, "other/org/m@main", False),
        (COMMIT, {"quantization": "fp8"}, "org/m@main", False),
        (COMMIT, {"quantization": "fp8"}, "org/m@main+fp8", True),
        (None, {"dtype": "float16"}, "org/m@main", True),
        (None, {"dtype": "float16"}, "org/m@main+dtype=float32", False),
        (None, {}, "org/m@main+dtype=float16", False),
        (COMMIT, {"dtype": "float16", "quantization": "fp8"}, f"org/m@{COMMIT}+fp8", True),
    ],
)
def test_only_what_can_be_the_same_model_is_offered(
    make_arena: MakeArena, revision: str | None, serve: dict[str, str], stored: str, found: bool
) -> None:
    arena = make_arena(competitors=roster("org/m", revision=revision, serve={"kind": "vllm", **serve}))
    assert [one.earlier for one in earlier_identities(arena, {stored: 1})] == [stored] * found


def test_a_folder_whose_other_files_were_part_of_its_identity_is_not_asked_again(make_arena: MakeArena, tmp_path: Path) -> None:
    model = shutil.copytree(MODEL, tmp_path / "model")
    (model / "notes.txt").write_text("Trained on a Tuesday.")
    folder = str(model)
    as_before = {folder_identity(folder): earlier_folder_identity(folder)}
    assert mine(make_arena(competitors=roster(folder), adopted=as_before)) == 24  # as an earlier version stored them

    arena = make_arena(competitors=roster(folder))
    assert totals(plan(arena, LedgerReader(arena.warehouse), open_warehouse(arena)))["in_ledger"] == 24
    assert (notes(arena), warnings(arena, LedgerReader(arena.warehouse))) == ([], [])
    with open_engines(arena) as engines:  # remembers, so that the notes may change from now on
        assert len(sampling.mine(arena, engines, arena.roster, LOG).rows) == 24
        assert sum(usage.sent for usage in engines.total.values()) == 0
    (model / "notes.txt").write_text("Trained on a Wednesday.")
    earlier_folder_identity.cache_clear()
    assert mine(arena) == 0


def test_an_earlier_hash_of_the_same_folder_is_offered_without_a_condition() -> None:
    had, how = described([Earlier(("ann",), "./model", "local@2", "local@1", 24, shared=False)])
    assert had.endswith("now the identity is local@2. They are of the same model")
    assert how.endswith('adopted: {"local@2": "local@1"}')


def test_a_plan_names_the_parameters_that_have_changed_for_the_same_prompt_and_sampling(
    make_arena: MakeArena, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [{"temperature": 1.0, "top_p": 0.99}]
    grid = {"settings": settings, "samples": 8, "max_tokens": 64}
    arena = make_arena(competitors=roster(str(MODEL)), mining=grid)
    mine(arena)
    ledger, warehouse = LedgerReader(arena.warehouse), open_warehouse(arena)
    more = make_arena(
        competitors=roster(str(MODEL)),
        mining=grid | {"samples": 9, "settings": [*settings, {"temperature": 0.5, "top_p": 0.99}]},
    )
    assert all("sent before" not in line.basis for line in plan(more, ledger, warehouse))

    def another_version(sampling: Sampling, **values: Any) -> str:
        return params(sampling, **values | {"stop": ["END"]})

    monkeypatch.setattr(prompting, "params", another_version)
    line = plan(arena, ledger, warehouse)[0]
    assert (line.stage, line.to_send) == ("mined_instructions", 24)
    assert line.basis.startswith('sent before with other parameters: stop was absent, now ["END"]; ')


def test_check_and_plan_tell_the_user_before_anything_is_sent(make_arena: MakeArena, hub: str, tmp_path: Path) -> None:
    arena = make_arena(competitors=roster(hub))
    mine(arena)
    file = tmp_path / "mine.yaml"
    file.write_text(json.dumps(arena.model_dump(mode="json") | {"competitors": roster(hub, revision=COMMIT)}))
    checked = CliRunner().invoke(cli.app, ["check", str(file)])
    assert "warning: ann, bob, cyd: 24 completions are in the ledger as org/m@main" in checked.stderr
    planned = CliRunner().invoke(cli.app, ["plan", "-c", str(file), "--json"])
    assert [line.partition(" ")[0] for line in json.loads(planned.stdout)["asked_again"]] == ["24", "ann,", "to"]


def test_an_earlier_identity_that_two_models_adopt_fails_these_by_name_and_nothing_else(
    make_arena: MakeArena, hub: str
) -> None:
    ann, bob, cyd = roster(hub, revision=COMMIT)
    ann["revision"], bob["revision"] = "a" * 40, "b" * 40
    twice = {f"org/m@{one['revision']}": "org/m@main" for one in (ann, bob)}
    arena = make_arena(competitors=[ann, bob, cyd], adopted=twice)
    assert arena_assets(Scope(arena))
    for name in ("ann", "bob"):
        with pytest.raises(prompting.CompetitorFailed, match="expected one model for each earlier identity"):
            prompting.load_competitor(arena, name, "answers")
    assert prompting.load_competitor(arena, "cyd", "answers").model.identity == f"org/m@{COMMIT}"
