"""Who competes, and how models are served and sampled."""

from typing import Annotated, ClassVar, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

CHANGES_THE_TEXT = (
    *("--model", "--served-model-name", "--revision", "--tokenizer", "--quantization", "-q", "--hf-overrides", "--enable-lora"),
    *("--lora-modules", "--logits-processors", "--logprobs-mode", "--generation-config", "--override-generation-config"),
)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Sampling(Strict):
    """How one model is sampled for one purpose."""

    temperature: float = Field(1.0, ge=0, le=2)
    """0 takes the likeliest token each time."""
    top_p: float = Field(0.95, gt=0, le=1)
    """The share of probability that the next token is drawn from."""
    max_tokens: int = Field(2048, ge=1)
    """Longest completion, in tokens."""


class VllmServer(Strict):
    """The stage starts vLLM's own server as a child process and stops it when its work is done."""

    kind: Literal["vllm"] = "vllm"
    """vLLM on this machine."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs that one copy of the model is spread over."""
    max_model_len: int = Field(8192, ge=64)
    """Prompt and completion together, in tokens. A longer request becomes an error row; it is never cut."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """`auto`: as the weights are; float32 on a CPU that cannot multiply bfloat16."""
    enforce_eager: bool = False
    """Skip torch.compile and CUDA graphs: a quicker start, slower tokens on a GPU."""
    kv_cache_gib: int | None = Field(None, ge=1)
    """On a CPU: GiB for the key-value cache. On a GPU vLLM takes what gpu_memory_utilization leaves."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of a GPU that vLLM takes."""
    quantization: str | None = None
    """vLLM's on-the-fly quantization, such as fp8. It changes what the model says, and so the key of its completions."""
    extra_args: tuple[str, ...] = ()
    """Further arguments of vLLM's server, for speed and memory only: no completion's key knows of them."""
    startup_timeout_s: float = Field(1800, gt=0)
    """Seconds until a server that is not ready has failed."""

    loads_weights: ClassVar[bool] = True
    """Whether the stage loads the model itself, and keeps it loaded for the next stage."""
    api_key_env: ClassVar[str | None] = None

    @property
    def devices(self) -> int:
        """GPUs that serve the model."""
        return self.tensor_parallel_size

    @property
    def identity_suffix(self) -> str:
        """What these settings add to the model's identity, because they change its text."""
        return f"+{self.quantization}" if self.quantization else ""

    @field_validator("extra_args")
    @classmethod
    def only_speed(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        for argument in arguments:
            if argument.split("=")[0].replace("_", "-") in CHANGES_THE_TEXT:
                raise ValueError(f"expected no {argument}: it changes what a model says, and no completion's key knows of it")
        return arguments


class Endpoint(Strict):
    """OpenAI-compatible servers that already run: one URL, or many that serve the same model."""

    kind: Literal["endpoint"]
    """Servers that already run."""
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(min_length=1)
    """Base URLs up to and without `/v1`."""

    @field_validator("urls")
    @classmethod
    def are_bases(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if url.rstrip("/").endswith("/v1"):
                raise ValueError(f"expected the URL up to and without /v1, which is added to it; found {url}")
        return urls

    served_model: str | None = None
    """The model's name at the endpoint; the competitor's model when absent."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""
    loads_weights: ClassVar[bool] = False
    identity_suffix: ClassVar[str] = ""
    max_model_len: ClassVar[int | None] = None
    """Unknown."""

    @property
    def devices(self) -> int:
        """The servers; how many GPUs each has is unknown."""
        return len(self.urls)


Server = Annotated[VllmServer | Endpoint, Field(discriminator="kind")]


class Competitor(Strict):
    """A model and how it is prompted. Two competitors may share weights; they then share one running engine."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-]*(_[A-Za-z0-9.\-]+)*$", max_length=64)
    """Letters, digits, '.', '-' and single '_'. It is the partition key, and '__' joins two names to a matchup."""
    model: str = Field(min_length=1)
    """A hub id, or a local folder: a path that starts with '.', '/' or '~', relative to the arena's file."""
    revision: str | None = None
    """Commit of the hub's repository. Pin it: a moving branch changes the model under the same name."""
    license: str | None = Field(None, validation_alias=AliasChoices("license", "licence"))
    """The weights' license, as on the hub, for the dataset card."""
    system_prompt: str | None = None
    """Its system turn when it mines, answers and judges; absent: what its own template inserts."""
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
    """Tries of a request that met a transient failure before it becomes an error row."""
    request_timeout_s: float = Field(1800, gt=0)
    """Seconds until a request that was not answered is tried again."""
    tokens_per_second: float | None = Field(None, gt=0)
    """Tokens that one model generates in a second, for the hours of a plan where no speed is measured yet."""
    max_error_rate: float = Field(0.01, ge=0, le=1)
    """Share of failed requests above which a stage's check fails."""
    max_abstention_rate: float = Field(0.5, ge=0, le=1)
    """Share of a partition's verdicts that may be unreadable. Above it nothing goes on from there. Unpublished."""
    price_per_gpu_hour: float | None = Field(None, ge=0)
    """What an hour of one GPU costs, in any currency, for the costs that plans and runs tell; absent: hours only."""


def is_local(model: str) -> bool:
    """Whether a competitor's model is a local folder rather than a hub id."""
    return model.startswith((".", "/", "~"))
