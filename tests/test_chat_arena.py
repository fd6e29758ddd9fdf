"""An arena in which one competitor is a service that only chats, with real HTTP servers: exports, increments and the plan."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from typer.testing import CliRunner

from benchmarks.increment import needed, paid
from tests import runs
from tests.conftest import small_settings
from tests.inference.scripted_servers import in_a_thread
from tests.stages.battles.unit_tests.scripts import ANSWERS, ASKS_FOR_TESTS, TESTS
from warrior_dagster import cli
from warrior_dagster.config.arena import Arena
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.orchestration.definitions import open_engines
from warrior_dagster.planning.cost import plan, totals
from warrior_dagster.warehouse.tables import WHOLE, Warehouse

SERVED = "chat-1"
PRICES = {"input": 2.0, "output": 10.0}


class Service(NamedTuple):
    """A server that has /v1/completions for models with weights here, and /v1/chat/completions for the others."""

    url: str
    sent: list[tuple[str, dict[str, Any]]]
    """The path and the body of each request."""


def said(prompt: str, body: dict[str, Any], sample: int) -> tuple[str, dict[str, float] | None]:
    """A text that depends only on the request, and log-probabilities of the first token if they were asked for."""
    number = int(hashlib.sha256(json.dumps([body, sample], sort_keys=True).encode()).hexdigest(), 16)
    words = ["A", "B"] if "assistant" in prompt else [*"0123456789"]
    if body.get("logprobs"):
        logprobs = {word: -1.0 - (number >> (8 * place)) % 7 for place, word in enumerate(words)}
        return max(logprobs, key=lambda word: logprobs[word]), logprobs
    if ASKS_FOR_TESTS in prompt:
        return TESTS[number % 4], None
    if "[[" in prompt:
        return f"Thought of.\n[[{'AB'[number % 2] if '[[A]]' in prompt else 6 + number % 5}]]", None
    if "Python code" in prompt or "asks" in prompt:
        return f"Write function {number % 10**9} in Python that handles {number % 10**7} and {number % 10**8}", None
    return ANSWERS[number % 4].replace("MARK", f"{number}"), None


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    service = Service("", [])

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        service.sent.append((request.path, body))
        texts = [said(body["prompt"], body, sample) for sample in range(body["n"])]
        choices = [
            {"text": text, "finish_reason": "stop", "logprobs": {"top_logprobs": [logprobs]}} for text, logprobs in texts
        ]
        return web.json_response({"choices": choices, "usage": {"prompt_tokens": 50, "completion_tokens": 20 * body["n"]}})

    async def chat(request: web.Request) -> web.Response:
        body = await request.json()
        service.sent.append((request.path, body))
        if request.headers.get("Authorization") != "Bearer secret-of-the-test":
            return web.json_response({"error": {"message": "no key"}}, status=401)
        text, logprobs = said(body["messages"][-1]["content"], body, 0)
        reply: dict[str, Any] = {"message": {"content": text}, "finish_reason": "length" if logprobs else "stop"}
        if logprobs:
            likeliest = [{"token": token, "logprob": value} for token, value in logprobs.items()]
            reply["logprobs"] = {"content": [{"token": text, "top_logprobs": likeliest}]}
        usage = {"prompt_tokens": 1000, "completion_tokens": 100}
        return web.json_response({"choices": [reply], "usage": usage}, headers={"x-ratelimit-remaining-requests": "999"})

    async def start() -> int:
        app = web.Application()
        app.router.add_post("/v1/completions", complete)
        app.router.add_post("/v1/chat/completions", chat)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server
        return int(site._server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]

    with in_a_thread(start()) as port:
        yield service._replace(url=f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def arena_in(service: Service, bundled_model: Path, bundled_embedder: Path) -> Callable[..., Arena]:
    """Makes arenas of a chat service cyd, ann and bob; `more` are further competitors, where `chat` makes one a service too."""

    def make(folder: Path, more: dict[str, str] | None = None, **values: Any) -> Arena:
        base = small_settings(folder, bundled_model, bundled_embedder, ("cyd", "ann", "bob", *(more or {})))
        chat = {"kind": "chat", "urls": [service.url], "api_key_env": "CHAT_KEY", "price_per_million_tokens": PRICES}
        for competitor in base["competitors"]:
            if competitor["name"] == "cyd" or (more or {}).get(competitor["name"]) == "chat":
                competitor |= {"model": f"{SERVED}-{competitor['name']}", "serve": chat | values.get("chat", {})}
        base["engine"] = {"serve": {"kind": "endpoint", "urls": [service.url]}}
        base["difficulty"] = {"verdict": "reasoned", "keep": 1.0, "panel": 2}
        base["battles"] = {
            "verdict": "reasoned",
            "votes": "hard",
            "evidence": ["opinion", "execution"],
            "combine": "sum",
        } | values.get("battles", {})
        return Arena.model_validate(base)

    return make


@pytest.fixture(autouse=True, scope="module")
def key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAT_KEY", "secret-of-the-test")
        yield


@pytest.fixture(scope="module")
def before(arena_in: Callable[..., Arena], service: Service, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """The arena with everything materialized. Read only."""
    arena = arena_in(tmp_path_factory.mktemp("chat"))
    run(arena, service)
    return arena


def run(arena: Arena, service: Service) -> list[tuple[str, dict[str, Any]]]:
    """Materialize everything; checks that exactly the new samples were sent, each once. Returns the requests."""
    had, first = paid(arena) if Warehouse(arena.warehouse).partitions("answers") else set(), len(service.sent)
    with open_engines(arena, lambda _: None) as engines:
        runs.materialize(arena, engines, *runs.EVERYTHING)
    sent = service.sent[first:]
    assert sum(body.get("n", 1) for _, body in sent) == len(needed(arena) - had)
    assert max(Counter(json.dumps(one) for one in sent if "chat" in one[0]).values(), default=1) == 1
    return sent


def test_it_runs_to_its_exports_and_the_service_answers_judges_and_writes_tests_but_is_not_mined(
    before: Arena, service: Service
) -> None:
    warehouse = Warehouse(before.warehouse)
    mined = warehouse.read("mined_instructions")
    assert set(warehouse.partitions("mined_instructions")) == {"ann", "bob", "cyd"}
    assert mined["competitor"].unique().sort().to_list() == ["ann", "bob"]
    assert mined.filter(status="ok")["instruction"].str.starts_with("Write function").all()
    selected = warehouse.read("selected_instructions")
    assert selected["competitor"].unique().sort().to_list() == ["ann", "bob"]
    answers = warehouse.read("answers", ["cyd"])
    assert len(answers) == len(selected)
    assert answers["error"].null_count() == len(answers)
    votes = warehouse.read("judge_votes", ["ann__bob"])
    assert set(votes["judge"]) == {"cyd"}
    assert set(votes["status"]) <= {"decided", "tie"}
    assert warehouse.read("generated_tests", ["cyd"]).filter(status="ok").height > 0
    rated = warehouse.read("instruction_difficulty").explode("ratings")["ratings"].struct.unnest()
    assert rated.filter(judge="cyd")["score"].null_count() == 0
    assert set(warehouse.read("elo_ratings", [WHOLE])["competitor"]) == {"ann", "bob", "cyd"}
    folder = Path(before.export.folder)
    assert (folder / "sft" / "train.parquet").is_file()
    assert "a service that only chats; not mined" in (folder / "sft" / "README.md").read_text()
    chat = [body for path, body in service.sent if path.endswith("chat/completions")]
    assert {body["model"] for body in chat} == {"chat-1-cyd"}
    assert set().union(*chat) == {"model", "messages", "temperature", "top_p", "max_tokens"}
    assert not any("secret" in path.read_text("utf-8", "ignore") for path in folder.rglob("*.md"))


def test_a_second_run_sends_nothing(before: Arena, service: Service, tmp_path: Path, arena_in: Callable[..., Arena]) -> None:
    shutil.copytree(before.warehouse, tmp_path / "warehouse")
    assert run(arena_in(tmp_path), service) == []


@pytest.mark.parametrize("kind", [pytest.param("endpoint", marks=pytest.mark.long), "chat"])
def test_appending_a_competitor_sends_exactly_the_new_requests(
    kind: str, before: Arena, service: Service, tmp_path: Path, arena_in: Callable[..., Arena]
) -> None:
    shutil.copytree(before.warehouse, tmp_path / "warehouse")
    arena = arena_in(tmp_path, {"dan": kind})
    old = Warehouse(arena.warehouse).read("answers")
    assert run(arena, service)
    new = Warehouse(arena.warehouse).read("answers")
    assert new.join(old.select("partition", "row_id"), on=["partition", "row_id"], how="semi").equals(old)
    mined = Warehouse(arena.warehouse).read("mined_instructions", ["dan"]).height
    assert mined == (0 if kind == "chat" else 8)
    assert totals(plan(arena, LedgerReader(arena.warehouse), Warehouse(arena.warehouse)))["to_send"] == 0


def test_direct_verdicts_by_a_service_with_log_probabilities_are_soft_votes(
    before: Arena, service: Service, tmp_path: Path, arena_in: Callable[..., Arena]
) -> None:
    shutil.copytree(before.warehouse, tmp_path / "warehouse")
    direct = {"verdict": "direct", "votes": "soft"}
    arena = arena_in(tmp_path, battles=direct, chat={"logprobs": True})
    sent = run(arena, service)
    assert {body["max_tokens"] for _, body in sent} == {1}, "only votes are new"
    votes = Warehouse(arena.warehouse).read("judge_votes", ["ann__bob"])
    assert set(votes["judge"]) == {"cyd"}
    assert votes["p_left"].null_count() == 0
    assert votes["p_left"].is_between(0, 1, closed="none").all()


def test_the_plan_has_the_service_s_prices_beside_gpu_hours_and_says_that_it_is_not_mined(
    before: Arena, tmp_path: Path, arena_in: Callable[..., Arena], bundled_embedder: Path
) -> None:
    shutil.copytree(before.warehouse, tmp_path / "warehouse")
    arena = arena_in(tmp_path)
    longer = arena.answers.model_copy(update={"sampling": arena.answers.sampling.model_copy(update={"max_tokens": 65})})
    arena = arena.model_copy(update={"answers": longer})
    lines = plan(arena, LedgerReader(arena.warehouse), Warehouse(arena.warehouse))
    (answers,) = (line for line in lines if line.model == f"{SERVED}-cyd" and line.stage == "answers")
    assert answers.to_send > 0
    assert answers.gpu_hours == 0
    spent = answers.prompt_tokens * PRICES["input"] + answers.completion_tokens * PRICES["output"]
    assert answers.cost == pytest.approx(spent / 1e6)
    assert not [line for line in lines if line.stage == "mined_instructions" and line.model == answers.model]
    text = CliRunner().invoke(cli.app, ["plan", "-c", str(as_file(arena, tmp_path / "arena.yaml"))]).output
    assert "not mined, because they only chat: cyd" in text
    assert "never mined" not in text


def test_a_plan_of_an_arena_that_never_ran_asks_the_service_for_everything_but_instructions(
    tmp_path: Path, arena_in: Callable[..., Arena]
) -> None:
    arena = arena_in(tmp_path)
    lines = plan(arena, LedgerReader(arena.warehouse), Warehouse(arena.warehouse))
    ours = {line.stage: line for line in lines if line.model == f"{SERVED}-cyd"}
    assert set(ours) == {"instruction_difficulty", "generated_tests", "answers", "judge_votes"}
    assert all(line.cost for line in ours.values())
    assert sum(line.to_send for line in lines if line.stage == "mined_instructions") == 2 * 8
    shown = CliRunner().invoke(cli.app, ["check", str(as_file(arena, tmp_path / "arena.yaml"))])
    assert shown.exit_code == 0
    assert "not mined, because they only chat: cyd" in shown.output
    assert "no revision pinned" not in shown.output


def as_file(arena: Arena, file: Path) -> Path:
    """An arena's file; JSON is YAML."""
    file.write_text(arena.model_dump_json(exclude_unset=True))
    return file


def test_the_missing_key_of_a_service_is_one_line_before_anything_is_sent(
    before: Arena, tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHAT_KEY")
    sent = len(service.sent)
    for command in ("check", "run"):
        shown = CliRunner().invoke(cli.app, [command, str(as_file(before, tmp_path / "arena.yaml"))])
        assert shown.exit_code == 1
        (line,) = shown.output.split("arena.yaml:")[1:]
        assert ".serve.api_key_env: expected the environment variable CHAT_KEY" in " ".join(line.split())
    assert len(service.sent) == sent
