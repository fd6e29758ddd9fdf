"""The schema of an arena's YAML: the one source of configuration, and the only place where it is validated.

Defaults are the method's. A value that nobody published says "unpublished" in its description, and is this project's choice.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from warrior_dagster.prompts import packaged_prompt, prompt_of_verdict, with_placeholders

MATCHUP_SEPARATOR = "__"
HUMANEVAL = "humaneval"
"""The reference set that comes with a package: the 164 problems of HumanEval."""
CHANGES_THE_TEXT = (
    *("--model", "--served-model-name", "--revision", "--tokenizer", "--quantization", "-q", "--hf-overrides", "--enable-lora"),
    *("--lora-modules", "--logits-processors", "--logprobs-mode", "--generation-config", "--override-generation-config"),
)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Sampling(Strict):
    """How one model is sampled for one purpose."""

    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)
    max_tokens: int = Field(2048, ge=1)
    """Longest completion, in tokens."""


class MiningSetting(Strict):
    """One point of the mining grid."""

    temperature: float = Field(gt=0, le=2)
    top_p: float = Field(gt=0, le=1)


class VllmServer(Strict):
    """The stage starts vLLM's own server as a child process and stops it when its work is done."""

    kind: Literal["vllm"] = "vllm"
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs that one copy of the model is spread over."""
    max_model_len: int = Field(8192, ge=64)
    """Prompt and completion together, in tokens. A longer request becomes an error row; it is never cut."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    enforce_eager: bool = False
    """Skip torch.compile and CUDA graphs: a quicker start, slower tokens on a GPU."""
    kv_cache_gib: int | None = Field(None, ge=1)
    """On a CPU: GiB for the key-value cache. On a GPU vLLM takes what gpu_memory_utilization leaves."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    quantization: str | None = None
    """vLLM's on-the-fly quantization, such as fp8. It changes what the model says, and so the key of its completions."""
    extra_args: tuple[str, ...] = ()
    """Further arguments of vLLM's server, for speed and memory only: no completion's key knows of them."""
    startup_timeout_s: float = Field(1800, gt=0)

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
    urls: tuple[Annotated[str, Field(pattern=r"^https?://")], ...] = Field(min_length=1)
    """Base URLs up to and without `/v1`."""
    served_model: str | None = None
    """The model's name at the endpoint; the competitor's model when absent."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""


Server = Annotated[VllmServer | Endpoint, Field(discriminator="kind")]


class Competitor(Strict):
    """A model and how it is prompted. Two competitors may share weights; they then share one running engine."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.\-]*(_[A-Za-z0-9.\-]+)*$", max_length=64)
    """Letters, digits, '.', '-' and single '_'. It is the partition key, and '__' joins two names to a matchup."""
    model: str = Field(min_length=1)
    """A hub id, or a local folder: a path that starts with '.', '/' or '~', relative to the arena's file."""
    revision: str | None = None
    """Commit of the hub's repository. Pin it: a moving branch changes the model under the same name."""
    licence: str | None = None
    """The weights' licence, for the dataset card."""
    system_prompt: str | None = None
    """Its system turn when it mines, answers and judges; absent: what its own template inserts."""
    sampling: Sampling | None = None
    """How its answers are sampled; absent: answers.sampling."""
    serve: Server | None = None
    """Where it is served; absent: engine.serve."""


class Mining(Strict):
    """Instructions that a competitor reveals by completing the bare prefix of its own chat template (METHOD 2)."""

    prompt: Annotated[str, with_placeholders("language")] = Field(default_factory=lambda: packaged_prompt("mining"))
    """The system turn: names the language and says what the user asks about."""
    settings: tuple[MiningSetting, ...] = Field(
        tuple(MiningSetting(temperature=t, top_p=p) for t in (1.0, 1.1, 1.2) for p in (0.99, 0.995, 1.0)), min_length=1
    )
    """The grid. Nine settings in the paper, of which only (1.2, 0.99) is published; the rest is unpublished."""
    samples: int = Field(10_000, ge=1)
    """Samples for each competitor, language and setting."""
    samples_per_request: int = Field(32, ge=1, le=1024)
    """Samples that one request asks for; it changes the speed, never the rows."""
    max_tokens: int = Field(2048, ge=1)
    min_chars: int = Field(15, ge=1)
    """Shorter instructions are dropped. Unpublished."""
    max_chars: int = Field(8000, ge=1)
    """Longer instructions are dropped. Unpublished."""

    @field_validator("settings")
    @classmethod
    def settings_are_unique(cls, settings: tuple[MiningSetting, ...]) -> tuple[MiningSetting, ...]:
        if len(set(settings)) != len(settings):
            raise ValueError("expected each setting once; more samples of one are asked for with `samples`")
        return settings


class Deduplication(Strict):
    """Of instructions whose word shingles are alike, the first is kept (METHOD 3; docs/deduplication.md)."""

    threshold: float = Field(0.7, gt=0, le=1)
    """Jaccard similarity from which on a later instruction goes. The paper's 0.5 drops many that ask for something else."""
    shingle_words: int = Field(1, ge=1)


class Difficulty(Strict):
    """A panel scores each instruction 1-10; those below `keep` go no further (METHOD 3)."""

    panel: int = Field(1, ge=1)
    """Judges an instruction: the first competitors of the roster that did not mine it. The score is their mean."""
    keep: float = Field(6.0, ge=1, le=10)
    verdict: Literal["reasoned", "direct"] = "reasoned"
    """`reasoned`: text that ends in [[score]]. `direct`: one digit, the score is the mean under its probabilities."""
    prompt: Annotated[str, with_placeholders("instruction")] = ""
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=512)

    @model_validator(mode="before")
    @classmethod
    def default_prompt(cls, values: Any) -> Any:
        return prompt_of_verdict(values, "difficulty")


class Embedding(Strict):
    """The sentence-transformers model whose space the selection is made in (METHOD 3)."""

    model: str = "sentence-transformers/all-roberta-large-v1"
    revision: str | None = None
    batch_size: int = Field(64, ge=1)


class Selection(Strict):
    """K-centre-greedy over the embeddings, each competitor after those before it in the roster."""

    centres: int = Field(1400, ge=1)
    """Instructions that each competitor contributes at most. Unpublished; 1,400 makes the paper's 70,000 rounds."""
    part_rows: int = Field(1_000_000, ge=1, validate_default=True)
    """Vectors of one competitor held in memory at once. More are selected from in parts, with a guarantee half as good."""

    @field_validator("part_rows")
    @classmethod
    def parts_shrink(cls, part_rows: int, info: Any) -> int:
        if part_rows < 2 * info.data.get("centres", 0):
            raise ValueError(f"expected at least {2 * info.data['centres']}, twice the centres: a part must leave some out")
        return part_rows


class Answers(Strict):
    """Every competitor answers every selected instruction (METHOD 4)."""

    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=2048)


class Weights(Strict):
    """What a vote of each kind counts where both are evidence."""

    opinion: float = Field(1.0, gt=0)
    execution: float = Field(2.0, gt=0)
    """A judge gives two opinions of a battle, one an order, and one vote by its tests: with 2 they weigh the same."""


class Battles(Strict):
    """Every pair of competitors battles while the others judge (METHOD 4)."""

    instructions: Literal["all", "attackers"] = "all"
    """`all`: each pair battles on every instruction. `attackers`: only on those mined from one of the two."""
    orders: Literal["both", "alternate"] = "both"
    """`both`: each judge sees both orders of the two answers. `alternate`: one, by the instruction."""
    judges: int | None = Field(None, ge=1)
    """Judges a matchup: the first of the roster that are not in it; absent: all others, as in the paper."""
    verdict: Literal["reasoned", "direct"] = "reasoned"
    """`reasoned`: text that ends in a verdict. `direct`: one constrained letter, its probabilities kept."""
    votes: Literal["hard", "soft"] = "hard"
    """`soft` counts a direct verdict's probabilities (small judges need it); `hard` counts verdicts."""
    evidence: Literal["opinion", "execution", "both"] = "opinion"
    """`opinion`: what judges think, as in the paper. `execution`: what tests say that judges write blind, opinions where they
    say nothing. `both`: their votes add up."""
    weights: Weights = Weights()
    prompt: Annotated[str, with_placeholders("instruction", "answer_a", "answer_b")] = ""
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.995, max_tokens=1024)

    @model_validator(mode="before")
    @classmethod
    def default_prompt(cls, values: Any) -> Any:
        return prompt_of_verdict(values, "battle")

    @field_validator("votes")
    @classmethod
    def soft_needs_probabilities(cls, votes: str, info: Any) -> str:
        if votes == "soft" and info.data.get("verdict") != "direct":
            raise ValueError("expected 'hard', or verdict: direct beside it: a reasoned verdict has no probabilities")
        return votes


class Execution(Strict):
    """Tests that judges write without seeing an answer, and the answers that are run against them (METHOD 4).

    There is nothing of this where battles.evidence is `opinion`.
    """

    prompt: Annotated[str, with_placeholders("instruction")] = Field(default_factory=lambda: packaged_prompt("tests"))
    """Asks for assert statements, or for NONE where running code can check nothing."""
    sampling: Sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=1024)
    """Each judge is asked once for each instruction, so for the tests that it holds to be the likeliest."""
    max_tests: int = Field(8, ge=1)
    """Tests of one judge and instruction that are kept at most; another number asks nothing again."""
    seconds: float = Field(2.0, gt=0)
    """What one test may take, of an idle reference machine; slower machines get more."""
    memory_mib: int = Field(512, ge=64)
    """Memory of each process of a test."""
    isolation: Literal["required", "limits"] = "required"
    """`required`: nothing is run where this machine cannot isolate it. `limits`: it is run there too, held by limits alone."""
    max_timeout_rate: float = Field(0.1, ge=0, le=1)
    """Share of runs that may end at their limit of time, beyond which a check warns."""


class Ratings(Strict):
    """Ratings from all outcomes, and the final score that mixes them with the votes (METHOD 5)."""

    method: Literal["elo", "bradley_terry"] = "elo"
    k: float = Field(40, gt=0)
    initial: float = 1000.0
    """Rating before the first battle. Unpublished; it moves every rating alike."""
    alpha: float = Field(0.7, ge=0, le=1)
    """Weight of the rating's expectation in the final score; the votes have 1 - alpha."""
    seed: int = Field(0, ge=0)
    """Of the order in which Elo replays the battles, and of the bootstrap."""
    bootstrap_rounds: int = Field(100, ge=0)
    """Resamplings behind the 95 % intervals; 0 leaves them out."""


class ReferenceSet(Strict):
    """A public set of tasks that instructions are compared with."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    source: str = Field(min_length=1)
    """`humaneval`, a hub id, or a local .json, .jsonl or .parquet file that starts with '.', '/' or '~'."""
    column: str = "instruction"
    """The column, or key, of the text."""
    split: str = "train"
    """Of a hub's data set."""
    revision: str | None = None
    """Of a hub's data set; without one, another version of it may be compared with each time."""


def each_name_once(references: tuple[ReferenceSet, ...]) -> tuple[ReferenceSet, ...]:
    """The sets, if no two share a name. Raises ValueError."""
    if len({one.name for one in references}) != len(references):
        raise ValueError("expected each name once")
    return references


class Analysis(Strict):
    """What the arena's analysis compares and asks (METHOD 7)."""

    references: tuple[ReferenceSet, ...] = (ReferenceSet(name=HUMANEVAL, source=HUMANEVAL),)
    """What the novelty of instructions is measured against."""
    categories: bool = False
    """Have a judge sort the selected instructions into seven kinds of task: one short request for each of them."""
    category_prompt: Annotated[str, with_placeholders("instruction")] = Field(
        default_factory=lambda: packaged_prompt("category")
    )
    """Asks for one digit from 1 to 7."""

    @field_validator("references")
    @classmethod
    def names_are_unique(cls, references: tuple[ReferenceSet, ...]) -> tuple[ReferenceSet, ...]:
        return each_name_once(references)


class Export(Strict):
    """What is written for the trainers."""

    formats: tuple[Literal["sft", "dpo", "kto"], ...] = Field(("sft", "dpo", "kto"), min_length=1)
    folder: str = ""
    """Where the files go; absent: `exports` in the warehouse, or in data/NAME beside the arena if that is no folder."""
    dpo_margin: float = Field(0.0, ge=0)
    """A DPO pair needs a difference of final scores above this."""
    benchmarks: tuple[ReferenceSet, ...] = (ReferenceSet(name=HUMANEVAL, source=HUMANEVAL),)
    """What must not be in the data sets: a row with an instruction or an answer that overlaps one of these is left out."""
    overlap_words: int = Field(10, ge=3)
    """Consecutive words in common from which on two texts overlap (docs/method.md, 6)."""

    @field_validator("benchmarks")
    @classmethod
    def names_are_unique(cls, benchmarks: tuple[ReferenceSet, ...]) -> tuple[ReferenceSet, ...]:
        return each_name_once(benchmarks)


class Schedule(Strict):
    """When matchups battle by themselves."""

    cron: str = "0 2 * * *"
    timezone: str = "UTC"
    """A name of the time zone database, such as Europe/Berlin."""
    matchups: int = Field(10, ge=1)
    """At most so many at each tick."""

    @field_validator("cron")
    @classmethod
    def is_cron(cls, cron: str) -> str:
        from dagster._utils.schedules import is_valid_cron_schedule

        if not is_valid_cron_schedule(cron):
            raise ValueError(f"expected a cron schedule of five fields, such as '0 2 * * *'; found {cron!r}")
        return cron

    @field_validator("timezone")
    @classmethod
    def is_timezone(cls, timezone: str) -> str:
        from zoneinfo import available_timezones

        if timezone not in available_timezones():
            raise ValueError(f"expected a name of the time zone database, such as Europe/Berlin; found {timezone!r}")
        return timezone


class Automation(Strict):
    """What starts by itself."""

    backfill_new_competitors: bool = False
    """The roster sensor starts the work of a competitor that was appended. It costs GPU hours without being asked."""


class Engine(Strict):
    """How requests are served."""

    serve: Server = VllmServer()
    max_in_flight: int = Field(256, ge=1)
    """Requests in flight at each URL."""
    attempts: int = Field(6, ge=1)
    """Tries of a request that met a transient failure before it becomes an error row."""
    request_timeout_s: float = Field(1800, gt=0)
    tokens_per_second: float | None = Field(None, gt=0)
    """Tokens that one model generates in a second, for the hours of a plan where no speed is measured yet."""
    max_error_rate: float = Field(0.01, ge=0, le=1)
    """Share of failed requests above which a stage's check fails."""
    max_abstention_rate: float = Field(0.5, ge=0, le=1)
    """Share of a partition's verdicts that may be unreadable. Above it nothing goes on from there. Unpublished."""
    price_per_gpu_hour: float | None = Field(None, ge=0)
    """What an hour of one GPU costs, in any currency, for the costs that plans and runs tell; absent: hours only."""


class Arena(Strict):
    """One arena: who competes, and every value of the method."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    competitors: tuple[Competitor, ...] = Field(min_length=3)
    """The roster. Its order matters; append new competitors at the end, and no row of the others changes."""
    languages: tuple[str, ...] = Field(("Python",), min_length=1)
    """Programming languages that instructions are mined for. Others than Python are unpublished."""
    warehouse: str = ""
    """Folder, or object store URI, of all tables and of the ledger; absent: data/NAME beside the arena's file."""
    mining: Mining = Mining()
    deduplication: Deduplication = Deduplication()
    difficulty: Difficulty = Field(default_factory=lambda: Difficulty.model_validate({}))
    embedding: Embedding = Embedding()
    selection: Selection = Selection()
    answers: Answers = Answers()
    battles: Battles = Field(default_factory=lambda: Battles.model_validate({}))
    execution: Execution = Execution()
    ratings: Ratings = Ratings()
    export: Export = Export()
    analysis: Analysis = Analysis()
    engine: Engine = Engine()
    schedule: Schedule | None = None
    """When matchups battle by themselves; absent: only when they are materialized."""
    automation: Automation = Automation()

    @field_validator("competitors")
    @classmethod
    def names_are_unique(cls, competitors: tuple[Competitor, ...]) -> tuple[Competitor, ...]:
        seen: set[str] = set()
        for competitor in competitors:
            if competitor.name in seen:
                raise ValueError(f"expected each name once; {competitor.name!r} is there twice")
            seen.add(competitor.name)
        return competitors

    @field_validator("languages")
    @classmethod
    def languages_are_unique(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(languages)) != len(languages):
            raise ValueError("expected each language once")
        return languages

    @model_validator(mode="after")
    def panels_fit_the_roster(self) -> Self:
        others = len(self.competitors) - 1
        if self.difficulty.panel > others:
            raise ValueError(f"difficulty.panel: expected at most {others}, the competitors besides the attacker")
        if (self.battles.judges or 1) > others - 1:
            raise ValueError(f"battles.judges: expected at most {others - 1}, the competitors outside a matchup")
        return self

    @property
    def roster(self) -> list[str]:
        """The competitors' names, in order."""
        return [c.name for c in self.competitors]

    def competitor(self, name: str) -> Competitor:
        """The competitor of that name."""
        return self.competitors[self.roster.index(name)]

    def panel(self, attacker: str) -> list[str]:
        """Who rates the instructions that `attacker` revealed: a prefix-stable choice, never the attacker itself."""
        return [name for name in self.roster if name != attacker][: self.difficulty.panel]

    @property
    def runs_tests(self) -> bool:
        """Whether judges write tests that answers are run against."""
        return self.battles.evidence != "opinion"

    @property
    def unused(self) -> set[str]:
        """Keys that say nothing of this arena."""
        return set() if self.runs_tests else {"execution"}

    def devices(self, model: str) -> int:
        """GPUs that serve a model at once; of an endpoint its servers, whose GPUs nobody told us of."""
        serve = next(c for c in self.competitors if c.model == model).serve or self.engine.serve
        return len(serve.urls) if isinstance(serve, Endpoint) else serve.tensor_parallel_size

    def judges(self, left: str, right: str) -> list[str]:
        """Who judges the matchup of two competitors."""
        return [name for name in self.roster if name not in (left, right)][: self.battles.judges]


def is_local(model: str) -> bool:
    """Whether a competitor's model is a local folder rather than a hub id."""
    return model.startswith((".", "/", "~"))
