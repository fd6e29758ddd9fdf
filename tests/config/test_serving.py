"""Settings of servers: keys stay out of the file, and services that only chat are asked for what they can do."""

import inspect
from pathlib import Path

import pytest
from pydantic import ValidationError
from transformers import PreTrainedTokenizerBase

from tests.config.test_arena import written
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena
from warrior_dagster.config.serving import PURPOSES, ChatService, Speed, TemplateArguments
from warrior_dagster.inference.usage import Usage
from warrior_dagster.materialization.recording import usage_metadata
from warrior_dagster.planning.preflight import missing_here

CHAT = "{kind: chat, urls: [https://api.example.com]%s}"
ROSTER = "name: mine\ncompetitors:\n  - {name: a, model: org/a}\n  - {name: b, model: org/b}\n  - {name: c, model: org/c}\n"


def with_service(tmp_path: Path, serve: str = "", more: str = "") -> Arena:
    """The arena of three models with weights, and then a chat service."""
    return load_arena(written(tmp_path, f"{ROSTER}  - {{name: d, model: gpt-x, serve: {CHAT % serve}}}\n{more}"))


@pytest.mark.parametrize(
    "serve",
    [
        "urls: ['https://user:sk-secret-123@host']",
        "urls: ['https://user:sk-secret/123@host']",
        "urls: ['https://sk-secret-123@host']",
        "urls: ['https://sk-secret/123@host']",
        "urls: ['user:sk-secret-123@host']",
        "urls: ['https://user:sk-secret-123@{{ env.HOST }}']",
        "urls: 'https://user:secret@host'",
        "urls: [{'https://user:secret@host': 1}]",
        "urls: ['https://host'], 'https://user:secret@host': 1",
        "urls: ['https://host'], api_key_env: gsk_secret123",
        "urls: ['https://host?api_key=sk-secret-123']",
        "urls: ['https://host#sk-secret-123']",
        "urls: ['https://host'], api_key: sk-secret-123",
        "urls: ['https://host'], api_key_env: sk-secret-123",
        "urls: ['https://host'], api_key_env: hf_secretAbCdEfGhIjKl",
        "urls: ['https://host'], api_key_env: sk_live_secretabcdefghijk",
        "urls: ['https://host'], api_key_env: [secret]",
        "urls: ['https://host'], api_key_env: {secret: 1}",
    ],
)
@pytest.mark.parametrize("kind", ["endpoint", "chat"])
def test_a_key_in_the_file_is_refused_and_not_repeated(kind: str, serve: str, tmp_path: Path) -> None:
    text = ROSTER + f"  - {{name: d, model: m, serve: {{kind: {kind}, {serve}}}}}\n"
    with pytest.raises(ArenaError) as refused:
        load_arena(written(tmp_path, text))
    (line,) = str(refused.value).splitlines()
    assert "competitors[3].serve." in line
    assert "expected" in line
    assert "secret" not in line


@pytest.mark.parametrize("name", ["MY_KEY", "my_key", "HF_TOKEN_2", "openai_key_2", "hf_token", "PK_OF_SOMETHING_LONG_2"])
def test_the_name_of_a_variable_is_no_key(name: str, tmp_path: Path) -> None:
    arena = with_service(tmp_path, f", api_key_env: {name}")
    assert arena.server(arena.competitors[3]).api_key_env == name


@pytest.mark.parametrize("name", ["$MY_KEY", "${MY_KEY}"])
def test_a_variable_is_named_without_a_dollar(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArenaError, match=r"api_key_env: expected the name of an environment variable alone; write MY_KEY$"):
        with_service(tmp_path, f", api_key_env: '{name}'")


@pytest.mark.parametrize("url", ["ftp://host", "host:8000", "https://", "http:///path", "https://host/v1", "https://host/v1/"])
def test_a_url_that_is_no_base_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ArenaError, match=r"urls: expected (URLs such as|the URL up to)"):
        load_arena(written(tmp_path, ROSTER + f"engine: {{serve: {{kind: endpoint, urls: ['{url}']}}}}\n"))


def test_an_arena_that_nobody_is_mined_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArenaError, match="expected at least one that is mined"):
        load_arena(written(tmp_path, ROSTER + f"engine: {{serve: {CHAT % ''}}}\n"))


@pytest.mark.parametrize(
    ("more", "asks"),
    [
        ("battles: {verdict: direct}\n", True),
        ("battles: {verdict: direct, judges: 1}\n", False),
        ("battles: {verdict: direct, judges: 2}\n", True),
        ("difficulty: {verdict: direct}\n", False),
        ("difficulty: {verdict: direct, panel: 3}\n", True),
        ("analysis: {categories: true}\n", False),
        ("", False),
    ],
)
def test_a_service_is_asked_for_direct_verdicts_only_if_it_gives_log_probabilities(
    more: str, asks: bool, tmp_path: Path
) -> None:
    with_service(tmp_path, ", logprobs: true", more)
    if not asks:
        with_service(tmp_path, "", more)
        return
    with pytest.raises(ArenaError, match="asks d for log-probabilities: expected `logprobs: true`"):
        with_service(tmp_path, "", more)


def test_the_panels_of_direct_verdicts_are_those_that_the_check_looks_at(tmp_path: Path) -> None:
    arena = with_service(tmp_path, ", logprobs: true", "battles: {judges: 1}\ndifficulty: {panel: 2}\n")
    pairs = [(left, right) for left in arena.roster for right in arena.roster if left < right]
    assert {judge for pair in pairs for judge in arena.judges(*pair)} == {"a", "b", "c"}
    assert {judge for attacker in arena.roster for judge in arena.panel(attacker)} == {"a", "b", "c"}


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_key_that_is_not_set_is_one_line_before_a_run(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHAT_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("CHAT_KEY", value)
    (line,) = missing_here(with_service(tmp_path, ", api_key_env: CHAT_KEY", "embedding: {model: org/e}\n"))
    assert line == "competitors.d.serve.api_key_env: expected the environment variable CHAT_KEY; it is not set"


def test_tokens_cost_what_the_service_asks_and_gpus_their_hours(tmp_path: Path) -> None:
    prices = ", price_per_million_tokens: {input: 2, output: 8}"
    arena = with_service(tmp_path, prices, "engine: {price_per_gpu_hour: 3}\n")
    assert arena.cost("gpt-x", 0.0, 500_000, 250_000) == pytest.approx(1 + 2)
    assert arena.cost("org/a", 2.0, 500_000, 250_000) == pytest.approx(6)
    assert arena.cost("org/a", None, 1, 1) is None
    assert with_service(tmp_path, "", "engine: {price_per_gpu_hour: 3}\n").cost("gpt-x", 0.0, 1, 1) is None
    assert with_service(tmp_path, prices).cost("org/a", 2.0, 1, 1) is None


def test_a_run_reports_what_the_tokens_of_a_service_cost_beside_gpu_hours(tmp_path: Path) -> None:
    prices = ", price_per_million_tokens: {input: 2, output: 8}"
    arena = with_service(tmp_path, prices, "engine: {price_per_gpu_hour: 3}\n")
    used = {
        "gpt-x": Usage(requests=1, sent=1, prompt_tokens=500_000, completion_tokens=250_000, seconds=3600),
        "org/a": Usage(requests=1, sent=1, prompt_tokens=500_000, completion_tokens=250_000, seconds=7200),
    }
    spent = usage_metadata(used, arena)
    assert spent["gpu_hours"] == pytest.approx(2)
    assert spent["cost"] == pytest.approx(3 + 6)
    unknown = with_service(tmp_path, "", "engine: {price_per_gpu_hour: 3}\n")
    assert "cost" not in usage_metadata(used, unknown)


def test_gpu_hours_of_an_endpoint_count_the_gpus_of_each_url(tmp_path: Path) -> None:
    def devices(serve: str) -> int:
        return load_arena(written(tmp_path, f"{ROSTER}engine: {{serve: {serve}}}\n")).devices("org/a")

    assert devices("{kind: endpoint, urls: [http://a, http://b]}") == 2
    assert devices("{kind: endpoint, urls: [http://a, http://b], gpus: 4}") == 8
    assert devices("{kind: vllm, tensor_parallel_size: 4}") == 4


def test_a_speed_is_stated_where_the_server_is(tmp_path: Path) -> None:
    speed = "speed: {prompt: 20000, completion: 4000}"
    own = f"  - {{name: d, model: m, serve: {{kind: vllm, {speed}}}}}\n"
    arena = load_arena(written(tmp_path, f"{ROSTER}{own}"))
    assert arena.server_of("m").speed == Speed(prompt=20000, completion=4000)
    assert arena.server_of("org/a").speed is None
    for wrong in ("{prompt: 1}", "{prompt: 0, completion: 1}", "7"):
        with pytest.raises(ArenaError, match=r"engine\.serve\.speed"):
            load_arena(written(tmp_path, f"{ROSTER}engine: {{serve: {{kind: vllm, speed: {wrong}}}}}\n"))


def test_the_earlier_key_of_a_speed_is_refused_with_the_present_one(tmp_path: Path) -> None:
    with pytest.raises(ArenaError) as refused:
        load_arena(written(tmp_path, f"{ROSTER}engine: {{tokens_per_second: 100}}\n"))
    (line,) = str(refused.value).splitlines()
    assert line.endswith(
        ":6: engine: expected no tokens_per_second, which is now serve: {speed: {prompt: N, completion: N}}, the tokens that"
        " one server reads and writes in a second"
    )


@pytest.mark.parametrize("key", ["revision: main", "template_arguments: {always: {enable_thinking: false}}"])
def test_settings_that_a_chat_service_cannot_have_are_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(ArenaError, match="competitors: expected no revision or template_arguments of d"):
        load_arena(written(tmp_path, f"{ROSTER}  - {{name: d, model: gpt-x, {key}, serve: {CHAT % ''}}}\n"))


def test_only_arguments_of_the_template_itself_are_accepted() -> None:
    rendering = inspect.signature(PreTrainedTokenizerBase.apply_chat_template).parameters.keys() - {"self", "kwargs"}
    for name in (*rendering, "messages", "strftime_now", "date_string", "not-a-name"):
        with pytest.raises(ValidationError, match="expected names of a chat template's own arguments"):
            TemplateArguments.model_validate({"answers": {name: True}})


def test_arguments_of_a_purpose_go_over_those_of_every_purpose() -> None:
    arguments = TemplateArguments(always={"enable_thinking": False, "effort": "low"}, answers={"enable_thinking": True})
    assert arguments.of("answers") == {"enable_thinking": True, "effort": "low"}
    assert all(arguments.of(one) == {"enable_thinking": False, "effort": "low"} for one in PURPOSES if one != "answers")


@pytest.mark.parametrize("url", ["http://[::1", "http://a:99999999", "http://a:x", "http://a:0", "http://a b", "ftp://a", "a"])
def test_a_url_that_no_server_can_have_is_refused_before_a_run(url: str, tmp_path: Path) -> None:
    service = f"{{kind: chat, urls: ['{url}']}}"
    with pytest.raises(ArenaError, match=r"competitors\[3\]\.serve\.urls: expected URLs such as https://host"):
        load_arena(written(tmp_path, f"{ROSTER}  - {{name: d, model: gpt-x, serve: {service}}}\n"))


def test_a_url_may_be_a_template_that_dagster_fills_in() -> None:
    urls = ("{{ env.URL }}", "http://{{ env.HOST }}:8000")
    assert ChatService(kind="chat", urls=urls).urls == urls
