"""Which further arguments of vLLM's server an arena may give: those that change speed and memory only.

None of them opens the server to others (host, middleware), or runs code that vLLM does not have itself.

Completion keys know nothing of these arguments, so one that changes what a model says would mix two models' completions. The
list names what is allowed, because vLLM has hundreds of arguments and gets more. Names are those of vLLM 0.32, in full: its
parser takes abbreviations, and a later argument could change what one means.
"""

import json

ONE_VALUE = frozenset(
    (
        # How the work is divided. Sums in another order differ in their last digits, as between two GPUs.
        *("pipeline-parallel-size", "data-parallel-size", "distributed-executor-backend", "device-ids", "all2all-backend"),
        *("expert-placement-strategy", "max-parallel-loading-workers", "api-server-count"),
        # The cache's place and size; not its data type (kv-cache-dtype).
        *("block-size", "kv-cache-memory-bytes", "num-gpu-blocks-override", "kv-offloading-size", "kv-offloading-backend"),
        *("cpu-offload-gb", "limit-mm-per-prompt"),
        # In which order requests are computed.
        *("max-num-batched-tokens", "max-num-seqs", "long-prefill-token-threshold", "stream-interval"),
        # Kernels for the same operations; not moe-backend and linear-backend, some of which quantize activations.
        *("attention-backend", "optimization-level", "compilation-config", "max-cudagraph-capture-size", "performance-mode"),
        # How the same weights are read; not load-format, of which `dummy` is random weights.
        *("download-dir", "safetensors-load-strategy", "safetensors-prefetch-num-threads"),
        *("uvicorn-log-level", "log-level", "max-log-len"),
    )
)
SEVERAL_VALUES = frozenset(("cudagraph-capture-sizes",))
SWITCHES = frozenset(
    (
        *("enable-expert-parallel", "enable-eplb", "disable-custom-all-reduce", "numa-bind", "enable-dbo"),
        *("enable-prefix-caching", "disable-hybrid-kv-cache-manager", "language-model-only", "skip-mm-profiling"),
        *("enable-chunked-prefill", "async-scheduling", "disable-cascade-attn", "enable-flashinfer-autotune"),
        *("use-tqdm-on-load", "enable-log-requests"),
    )
)
ALLOWED = ONE_VALUE | SEVERAL_VALUES | SWITCHES | {f"no-{name}" for name in SWITCHES} | {"disable-log-stats"}
EXECUTORS = ("mp", "ray", "uni", "external_launcher")
COMPILERS = ("", "inductor", "eager")

RENDERED_HERE = "prompts are rendered here, not by the server: it belongs to the competitor's own keys"
PRIVATE = "the server is for its run alone: on loopback, with a key of its own"
OWN_CODE = (
    "it runs code that comes with the weights. Start such a server yourself, where that code can do no harm; under the same"
    " model's name its completions stay valid: `serve: {kind: endpoint, urls: [...]}`"
)
SERVE_KEYS = ("dtype", "quantization", "max_model_len", "tensor_parallel_size", "enforce_eager", "gpu_memory_utilization")
PLACES = {
    **{f"--{key.replace('_', '-')}": f"it is the key `{key}` of `serve`" for key in SERVE_KEYS},
    **dict.fromkeys(("--model", "--revision"), "it is a key of the competitor"),
    **dict.fromkeys(("--chat-template", "--default-chat-template-kwargs", "--reasoning-parser"), RENDERED_HERE),
    **dict.fromkeys(("--host", "--port", "--uds", "--api-key", "--middleware", "--allowed-origins"), PRIVATE),
    "--trust-remote-code": OWN_CODE,
    "--seed": "results repeat because of the ledger",
}
ELSEWHERE = "start such a server yourself, with a name of its own: `serve: {kind: endpoint, urls: [...], served_model: NAME}`"


def only_speed(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments, if each is allowed and has its values. Raises ValueError, which says what was found and where it belongs.

    A name may have `_` for `-`, and its value may follow after `=` or as the next argument, as vLLM reads them.
    """
    name, waiting = "", 0  # the name before, and the values that it may still have
    for place, argument in enumerate(arguments):
        if not argument.startswith("-"):
            if not waiting:
                raise ValueError(f"expected names of arguments and their values; found the value {argument!r} without a name")
            waiting -= 1
            imports_nothing(name, argument)
            continue
        dashed, equals, value = argument.partition("=")
        name = dashed.removeprefix("--").replace("_", "-")
        if not dashed.startswith("--") or name not in ALLOWED:
            raise ValueError(refusal(argument, f"--{name}" if dashed.startswith("--") else dashed))
        takes_value = name in ONE_VALUE | SEVERAL_VALUES
        follows = place + 1 < len(arguments) and not arguments[place + 1].startswith("-")
        if takes_value != bool(equals) and not (takes_value and follows):
            raise ValueError(f"expected {'a value' if takes_value else 'no value'} for --{name}; found {argument!r}")
        if equals:
            imports_nothing(name, value)
        waiting = 0 if equals else len(arguments) if name in SEVERAL_VALUES else int(takes_value)
    return arguments


def imports_nothing(name: str, value: str) -> None:
    """Raises ValueError for a value that vLLM would import as a module's code."""
    if name == "distributed-executor-backend" and value not in EXECUTORS:
        raise ValueError(f"expected one of {', '.join(EXECUTORS)} for --{name}; found {value!r}, which vLLM would import")
    if name != "compilation-config":
        return
    try:
        config = json.loads(value)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise ValueError(f"expected a JSON object for --{name}; found {value!r}")
    if config.get("backend", "") not in COMPILERS or "inductor_passes" in config:
        raise ValueError(
            f"expected `backend` to be inductor or eager in --{name}, and no `inductor_passes`, which vLLM would import;"
            f" found {value!r}"
        )


def refusal(argument: str, name: str) -> str:
    """Why an argument is refused, and where such a setting belongs."""
    allowed = ", ".join(f"--{one}" for one in sorted(ALLOWED) if not one.startswith("no-"))
    return (
        f"expected arguments of vLLM that change speed and memory only, by their full name; found {argument!r}:"
        f" {PLACES.get(name, ELSEWHERE)}. Allowed: {allowed}"
    )
