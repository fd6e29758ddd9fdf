"""Only arguments of vLLM that change speed and memory may be given: completion keys know nothing of them."""

from argparse import BooleanOptionalAction

import pytest

from warrior_dagster.config.serving import VllmServer
from warrior_dagster.config.vllm_arguments import ALLOWED, ONE_VALUE, SEVERAL_VALUES


@pytest.mark.parametrize(
    "arguments",
    [
        ("--block-size", "32"),
        ("--block_size=32",),
        ("--max-num-seqs=64", "--enable_expert_parallel", "--no-enable-chunked-prefill", "--cpu-offload-gb", "4"),
        ("--cudagraph-capture-sizes", "1", "2", "4", "--disable-log-stats"),
        ("--compilation-config", '{"cudagraph_mode": "NONE"}'),
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


def test_each_allowed_argument_is_one_of_the_installed_vllm_with_as_many_values() -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    actions = make_arg_parser(FlexibleArgumentParser())._option_string_actions
    assert {name for name in ALLOWED if f"--{name}" not in actions} == set()
    for name in ALLOWED:
        action = actions[f"--{name}"]
        expected = "+" if name in SEVERAL_VALUES else None if name in ONE_VALUE else 0
        assert action.nargs == expected or isinstance(action, BooleanOptionalAction), name
