"""Only arguments of vLLM that change speed and memory may be given: completion keys know nothing of them."""

from argparse import BooleanOptionalAction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.serving import VllmServer
from warrior_dagster.config.vllm_arguments import ALLOWED, ONE_VALUE, SEVERAL_VALUES, only_speed

values = st.sampled_from(("1", "fp8", "auto", '{"level": 1}', "x.yaml", "-1", "--"))
tails = st.sampled_from(("", "", "=1", "=fp8", ".key", ".key=1"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--block-size", "32"),
        ("--block_size=32",),
        ("--max-num-seqs=64", "--enable_expert_parallel", "--no-enable-chunked-prefill", "--cpu-offload-gb", "4"),
        ("--cudagraph-capture-sizes", "1", "2", "4", "--disable-log-stats"),
        ("--compilation-config", '{"cudagraph_mode": "NONE"}'),
        ("--compilation_config={}", "--distributed-executor-backend", "ray"),
    ],
)
def test_arguments_about_speed_and_memory_are_allowed_in_every_spelling_of_vllm(arguments: tuple[str, ...]) -> None:
    assert VllmServer(extra_args=arguments).extra_args == arguments


@pytest.mark.parametrize(
    ("arguments", "belongs"),
    [
        (("--quant", "fp8"), "served_model: NAME"),  # argparse takes abbreviations
        (("--config", "server.yaml"), "served_model: NAME"),
        (("--config=server.yaml",), "served_model: NAME"),
        (("-q", "fp8"), "served_model: NAME"),
        (("-O3",), "served_model: NAME"),
        (("-tp", "2"), "served_model: NAME"),
        (("--hf-overrides.rope_theta", "5"), "served_model: NAME"),
        (("--compilation-config.mode", "3"), "served_model: NAME"),
        (("--kv_cache_dtype=fp8",), "served_model: NAME"),
        (("--enable-lora", "--lora-modules", "a=b"), "served_model: NAME"),
        (("--load-format=dummy",), "served_model: NAME"),
        (("--",), "served_model: NAME"),
        (("--dtype=half",), "the key `dtype`"),
        (("--Quantization=fp8",), "served_model: NAME"),
        (("--quantization=fp8",), "the key `quantization`"),
        (("--tensor_parallel_size=2",), "the key `tensor_parallel_size`"),
        (("--chat-template", "x"), "prompts are rendered here"),
        (("--reasoning_parser=x",), "prompts are rendered here"),
        (("--seed", "1"), "results repeat because of the ledger"),
        (("--host", "0.0.0.0"), "on loopback, with a key of its own"),
        (("--hos=0.0.0.0",), "served_model: NAME"),
        (("--port=1",), "on loopback, with a key of its own"),
        (("--uds=/tmp/socket",), "on loopback, with a key of its own"),
        (("--api_key=x",), "on loopback, with a key of its own"),
        (("--middleware=a.b",), "on loopback, with a key of its own"),
        (("--ssl-keyfile=x",), "served_model: NAME"),
        (("--served-model-name=x",), "served_model: NAME"),
        (("--tokenizer=x",), "served_model: NAME"),
        (("--trust-remote-code",), "runs code that comes with the weights"),
        (("--trust_remote_code",), "runs code that comes with the weights"),
        (("--trust-remote",), "served_model: NAME"),
        (("--no-trust-remote-code",), "served_model: NAME"),
        (("--worker-cls=a.B",), "served_model: NAME"),
        (("--worker-extension-cls", "a.B"), "served_model: NAME"),
        (("--scheduler-cls=a.B",), "served_model: NAME"),
        (("--logits-processors=a.B",), "served_model: NAME"),
        (("--tool-parser-plugin=a.py",), "served_model: NAME"),
        (("--io-processor-plugin=a",), "served_model: NAME"),
        (("--allowed-local-media-path=/",), "served_model: NAME"),
        (("--hf-config-path=x",), "served_model: NAME"),
        (("--model-loader-extra-config={}",), "served_model: NAME"),
        (("--kv-transfer-config={}",), "served_model: NAME"),
    ],
)
def test_any_other_argument_is_refused_with_the_place_where_it_belongs(arguments: tuple[str, ...], belongs: str) -> None:
    with pytest.raises(ValueError, match="speed and memory only") as error:
        VllmServer(extra_args=arguments)
    message = error.value.errors()[0]["msg"]  # type: ignore[attr-defined]
    assert "\n" not in message
    assert repr(arguments[0]) in message
    assert belongs in message
    assert "--block-size" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fp8",), "without a name"),
        (("--block-size", "32", "64"), "without a name"),
        (("--enable-chunked-prefill", "true"), "without a name"),
        (("--block-size",), "expected a value for --block-size"),
        (("--block-size", "--max-num-seqs=2"), "expected a value for --block-size"),
        (("--enable-chunked-prefill=true",), "expected no value for --enable-chunked-prefill"),
    ],
)
def test_a_value_without_its_argument_or_an_argument_without_its_value_is_refused(
    arguments: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(ValueError, match=expected):
        VllmServer(extra_args=arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--distributed-executor-backend", "my.module.Executor"), "one of mp, ray, uni, external_launcher"),
        (("--distributed_executor_backend=my.module.Executor",), "one of mp, ray, uni, external_launcher"),
        (("--compilation-config", '{"mode": 1, "backend": "my.module"}'), "no `inductor_passes`"),
        (('--compilation-config={"inductor_passes": {"a": "my.module"}}',), "no `inductor_passes`"),
        (("--compilation-config", '{"backend": ["my.module"]}'), "no `inductor_passes`"),
        (("--compilation-config", "my.json"), "expected a JSON object"),
        (("--compilation-config=[]",), "expected a JSON object"),
    ],
)
def test_a_value_that_vllm_would_import_is_refused(arguments: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        VllmServer(extra_args=arguments)


@pytest.fixture(scope="module")
def parser() -> Any:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    return make_arg_parser(FlexibleArgumentParser())


def test_each_allowed_argument_is_one_of_the_installed_vllm_with_as_many_values(parser: Any) -> None:
    actions = parser._option_string_actions
    assert {name for name in ALLOWED if f"--{name}" not in actions} == set()
    for name in ALLOWED:
        action = actions[f"--{name}"]
        expected = "+" if name in SEVERAL_VALUES else None if name in ONE_VALUE else 0
        assert action.nargs == expected or isinstance(action, BooleanOptionalAction), name


@given(data=st.data())
def test_what_is_accepted_sets_nothing_else_in_the_parser_of_vllm(parser: Any, data: st.DataObject) -> None:
    actions = parser._option_string_actions
    full = st.sampled_from(sorted(set(actions) - {"-h", "--help"}))
    allowed = st.sampled_from(sorted(f"--{name}" for name in ALLOWED))
    name = allowed | full | st.builds(lambda one, end: one[:end], full, st.integers(1, 30)) | st.just("--config")
    spelt = st.builds(lambda one, other, tail: one.replace("-b", other) + tail, name, st.sampled_from(("-b", "_b")), tails)
    given_arguments = tuple(data.draw(st.lists(spelt | values, max_size=5)))
    try:
        only_speed(given_arguments)
    except ValueError:
        return
    try:
        parsed = vars(parser.parse_args(list(given_arguments)))
    except (SystemExit, ValueError):
        return  # then vLLM does not start
    defaults = vars(parser.parse_args([]))
    changed = {name for name in parsed if repr(parsed[name]) != repr(defaults.get(name))}
    assert changed <= {actions[f"--{name}"].dest for name in ALLOWED}
