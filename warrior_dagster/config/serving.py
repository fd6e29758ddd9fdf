"""Who competes, and how models are served and sampled."""

import re
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
    model_validator,
)

from warrior_dagster.config.messages import CREDENTIALS
from warrior_dagster.config.scalars import Place, without_guesses
from warrior_dagster.config.vllm_arguments import only_speed


class Strict(BaseModel):
    # Inputs are hidden, because a value that is refused may be a password.
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def guess_no_numbers(cls, values: Any) -> Any:
        return without_guesses(values, cls.model_fields) if isinstance(values, dict) else values


class Misplaced(ValueError):
    """A rule about a list that one of its items breaks."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def unique(noun: str) -> AfterValidator:
    """A check that no item of a tuple repeats; items with a name are compared by it. The error calls them `noun`."""

    def check(items: tuple[Any, ...]) -> tuple[Any, ...]:
        seen = set()
        for index, item in enumerate(items):
            key = getattr(item, "name", item)
            if key in seen:
                raise Misplaced(f"expected each {noun} once; {str(key)!r} occurs twice", index)
            seen.add(key)
        return items

    return AfterValidator(check)


class Sampling(Strict):
    """How one model is sampled for one purpose."""

    temperature: float = Field(1.0, ge=0, le=2)
    """0 always takes the most likely token."""
    top_p: float = Field(0.95, gt=0, le=1)
    """Nucleus sampling: the share of the probability that the next token is drawn from."""
    max_tokens: int = Field(2048, ge=1)
    """Longest completion, in tokens."""


def is_key(name: str) -> bool:
    """Whether what should be a variable's name is more like an API key: as keys begin, or with a long part without `_`."""
    if name.isupper() and "_" in name:
        return False
    return max(map(len, name.split("_"))) >= 16 or (not name.isupper() and bool(CREDENTIALS.search(name)))


class TokenPrices(Strict):
    """What a service charges for a million tokens, in the currency of the arena."""

    input: float = Field(ge=0)
    """A million tokens of prompts."""
    output: float = Field(ge=0)
    """A million tokens of replies, reasoning included."""


class Speed(Strict):
    """Tokens that one server handles in a second, over all requests that it works on at once. Only plans use it."""

    prompt: float = Field(gt=0)
    """Tokens of prompts that it reads in a second."""
    completion: float = Field(gt=0)
    """Tokens of completions that it writes in a second."""


class VllmServer(Strict):
    """A vLLM server that the stage starts as a child process, and stops when its work is done."""

    kind: Literal["vllm"] = "vllm"
    """vLLM on this machine."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs that one copy of the model is split over."""
    max_model_len: int = Field(8192, ge=64)
    """Prompt and completion together, in tokens. A longer request becomes an error row; it is never truncated."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """`auto`: that of the weights, or float32 on a CPU without bfloat16. Another one is part of the keys of completions."""
    enforce_eager: bool = False
    """Skip torch.compile and CUDA graphs: a quicker start, but slower generation on a GPU."""
    kv_cache_gib: int | None = Field(None, ge=1)
    """GiB for the key-value cache on a CPU. On a GPU gpu_memory_utilization decides."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of a GPU's memory that vLLM takes."""
    quantization: str | None = None
    """vLLM's on-the-fly quantization, such as fp8. It changes the model's text, and so the keys of its completions."""
    extra_args: tuple[str, ...] = ()
    """Further arguments of vLLM's server, for speed and memory only (a known list): they are not part of a completion's key."""
    startup_timeout_s: float = Field(1800, gt=0)
    """Seconds after which a server that is not ready counts as failed."""
    speed: Speed | None = None
    """Its speed, for plans until it is measured; absent: a rule of thumb (docs/costs.md)."""

    loads_weights: ClassVar[bool] = True
    """Whether the stage loads the model itself, and keeps it loaded for the next stage."""
    mines: ClassVar[bool] = True
    """Whether it completes a bare prompt, from which instructions are mined."""
    logprobs: ClassVar[bool] = True
    api_key_env: ClassVar[str | None] = None
    price_per_million_tokens: ClassVar[TokenPrices | None] = None

    @property
    def devices(self) -> int:
        """GPUs that serve the model."""
        return self.tensor_parallel_size

    @property
    def identity_suffix(self) -> str:
        """The part of the model's identity that comes from these settings, because they change its text."""
        data_type = "" if self.dtype == "auto" else f"+dtype={self.dtype}"
        return (f"+{self.quantization}" if self.quantization else "") + data_type

    @field_validator("extra_args")
    @classmethod
    def speed_alone(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return only_speed(arguments)


class RemoteServer(Strict):
    """Servers that this project does not start."""

    urls: tuple[str, ...] = Field(min_length=1)
    """Base URLs, without the `/v1` at their end."""
    served_model: str | None = None
    """The model's name there, such as that of a LoRA, and part of the keys; absent: the competitor's model."""
    api_key_env: str | None = None
    """Name of the environment variable with the API key."""
    price_per_million_tokens: TokenPrices | None = None
    """What its tokens cost, for the costs of plans and runs; absent: nothing is charged for tokens, or it is unknown."""
    speed: Speed | None = None
    """The speed of one URL, for plans until it is measured; absent: for an endpoint a rule of thumb (docs/costs.md)."""

    loads_weights: ClassVar[bool] = False
    identity_suffix: ClassVar[str] = ""
    max_model_len: ClassVar[int | None] = None
    """Unknown."""

    @field_validator("urls")
    @classmethod
    def are_bases(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if re.search("[@?#]", re.sub(r"\{\{.*?\}\}", "", url)):
                raise ValueError(
                    "expected no key, password or query in a URL: name the key's environment variable in api_key_env"
                )
            if "{{" in url:  # filled in later (orchestration.component)
                continue
            try:
                parts = urlsplit(url)
                usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not re.search(r"\s", url)
            except ValueError:  # an address in brackets, or a port, that is none
                usable = False
            if not usable:
                raise ValueError("expected URLs such as https://host or http://host:8000")
            if url.rstrip("/").endswith("/v1"):
                raise ValueError(f"expected the URL up to and without /v1, which is added to it; found {url}")
        return urls

    @field_validator("api_key_env")
    @classmethod
    def is_a_name(cls, name: str | None) -> str | None:
        if name is None or (re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and not is_key(name)):
            return name
        if re.fullmatch(r"\$\{?[A-Z_][A-Z0-9_]*\}?", name):
            raise ValueError(f"expected the name of an environment variable alone; write {name.strip('${}')}")
        raise ValueError("expected the name of an environment variable, such as MY_API_KEY; a key itself stays out of the file")


class Endpoint(RemoteServer):
    """OpenAI-compatible completions servers that already run: one URL, or many that serve the same model."""

    kind: Literal["endpoint"]
    """Servers that already run."""
    gpus: int = Field(1, ge=1)
    """GPUs behind each URL, for the GPU hours of plans and runs."""
    mines: ClassVar[bool] = True
    logprobs: ClassVar[bool] = True

    @property
    def devices(self) -> int:
        """GPUs that serve the model."""
        return len(self.urls) * self.gpus


class ChatService(RemoteServer):
    """A service that only chats, through /v1/chat/completions: it answers, judges and writes tests, and does not mine."""

    kind: Literal["chat"]
    """A service that only chats, such as a private model."""
    logprobs: bool = False
    """Whether it gives log-probabilities of the 20 likeliest tokens, without which it cannot give direct verdicts."""
    mines: ClassVar[bool] = False
    devices: ClassVar[int] = 0
    """Its GPUs are not ours: tokens are paid for, not hours."""


Server = Annotated[VllmServer | Endpoint | ChatService, Field(discriminator="kind")]


Purpose = Literal["mining", "answers", "verdicts", "tests"]
"""What a model is asked for. Difficulty, preferences and categories are verdicts."""
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
SET_BY_THE_PROJECT = (
    *("messages", "conversation", "tools", "documents", "strftime_now", "date_string"),
    # Of transformers' apply_chat_template itself.
    *("chat_template", "add_generation_prompt", "continue_final_message", "tokenize", "tokenizer_kwargs"),
    *("padding", "truncation", "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask"),
)


def only_template_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    for name in arguments:
        if name in SET_BY_THE_PROJECT or not name.isidentifier():
            raise ValueError(f"expected names of a chat template's own arguments, such as enable_thinking; found {name!r}")
    return arguments


Arguments = Annotated[dict[str, JsonValue], AfterValidator(only_template_arguments)]


class TemplateArguments(Strict):
    """Arguments of a competitor's chat template, such as `enable_thinking: false` or `reasoning_effort: low`.

    They change prompts, and so the keys of the completions.
    """

    always: Arguments = {}
    """For every purpose."""
    mining: Arguments = {}
    """When instructions are mined, over `always`."""
    answers: Arguments = {}
    """When it answers, over `always`."""
    verdicts: Arguments = {}
    """When it judges, rates difficulty or sorts instructions into categories, over `always`."""
    tests: Arguments = {}
    """When it writes tests, over `always`."""

    def of(self, purpose: Purpose) -> dict[str, JsonValue]:
        """The arguments for one purpose."""
        specific: dict[str, JsonValue] = getattr(self, purpose)
        return self.always | specific


class Competitor(Strict):
    """A model and how it is prompted. Competitors with the same weights share one running engine."""

    # Editors accept the old spelling of `license` too.
    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema["properties"].update(licence={"type": ["string", "null"], "deprecated": True})
    )

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-]*(_[A-Za-z0-9.\-]+)*$", max_length=64)
    """Letters, digits, '.', '-' and single '_': '__' joins two names to the key of a matchup."""

    @field_validator("name")
    @classmethod
    def is_partition(cls, name: str) -> str:
        if "..." in name:
            raise ValueError(f"expected a name without '...', which means a range of Dagster's partitions; found {name!r}")
        return name

    @model_validator(mode="before")
    @classmethod
    def one_license(cls, values: Any) -> Any:
        if isinstance(values, dict) and "license" in values and "licence" in values:
            raise ValueError("expected one of license and licence, which are the same key; found both")
        return values

    model: Place = Field(min_length=1)
    """A hub id, or a local folder: a path that starts with '.', '/' or '~', relative to the arena's file. For a service of kind
    `chat`, the name of its model."""
    revision: str | None = None
    """Commit of the hub's repository. Pin it: the branch may later point to other weights."""
    license: str | None = Field(None, validation_alias=AliasChoices("license", "licence"))
    """The license of the weights, as on the hub, for the dataset card."""
    system_prompt: str | None = None
    """Its system message when it is mined, answers and judges; absent: what its chat template inserts."""
    template_arguments: TemplateArguments = TemplateArguments()
    """Arguments of its chat template, for all purposes or one."""
    reasoning_tags: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=2, max_length=2)] | None = None
    """What opens and closes its reasoning; only needed where neither its template nor a known pair of tags shows it."""
    sampling: Sampling | None = None
    """How its answers are sampled; absent: answers.sampling."""
    serve: Server | None = None
    """Where it is served; absent: engine.serve."""


class Engine(Strict):
    """How requests are served."""

    serve: Server = VllmServer()
    """Where competitors without a `serve` of their own are served."""
    max_in_flight: int = Field(256, ge=1)
    """Requests in flight at each URL."""
    attempts: int = Field(6, ge=1)
    """Attempts at a request with transient failures before it becomes an error row."""
    request_timeout_s: float = Field(1800, gt=0)
    """Seconds after which a request without an answer is sent again."""
    max_error_rate: float = Field(0.01, ge=0, le=1)
    """Share of failed requests above which a stage's check fails."""
    max_abstention_rate: float = Field(0.5, ge=0, le=1)
    """Share of a partition's verdicts that may be unreadable; above it a check blocks what is downstream. Unpublished."""
    price_per_gpu_hour: float | None = Field(None, ge=0)
    """The price of an hour of one GPU, in any currency, for the costs of plans and runs; absent: hours only."""

    @model_validator(mode="before")
    @classmethod
    def speed_is_that_of_a_server(cls, values: Any) -> Any:
        if isinstance(values, dict) and "tokens_per_second" in values:
            now = "serve: {speed: {prompt: N, completion: N}}, the tokens that one server reads and writes in a second"
            raise ValueError(f"expected no tokens_per_second, which is now {now}")
        return values


def is_hub_id(name: str) -> bool:
    """Whether a name can be that of a model or data set of the hub."""
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) is not None


def is_local(model: str) -> bool:
    """Whether a competitor's model is a local folder rather than a hub id."""
    return model.startswith((".", "/", "~"))
