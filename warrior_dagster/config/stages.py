"""The settings of each stage. Defaults are the method's; a default that is this project's choice says "unpublished"."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from warrior_dagster.config.prompts import by_verdict, packaged_prompt, with_placeholders
from warrior_dagster.config.scalars import Folder, Place
from warrior_dagster.config.serving import Sampling, Strict, is_hub_id, is_local, unique

FILES = (".json", ".jsonl", ".parquet")
"""The kinds of local files that are reference sets."""
COMPRESSED = (".gz", ".bz2", ".zst")
"""The compressions of a .json or .jsonl file."""
HUMANEVAL = "humaneval"
"""The reference set that comes with a package: the 164 problems of HumanEval."""


class MiningSetting(Strict):
    """One point of the mining grid."""

    temperature: float = Field(gt=0, le=2)
    """Sampling temperature of the competitor that is mined."""
    top_p: float = Field(gt=0, le=1)
    """Nucleus sampling: the share of the probability that its next token is drawn from."""


class Mining(Strict):
    """Instructions that a competitor writes when it completes the bare prefix of its chat template (METHOD 2)."""

    prompt: Annotated[str, with_placeholders("language")] = Field(default_factory=lambda: packaged_prompt("mining"))
    """The system message: the language, and what the user asks about."""
    settings: Annotated[tuple[MiningSetting, ...], Field(min_length=1), unique("setting")] = tuple(
        MiningSetting(temperature=t, top_p=p) for t in (1.0, 1.1, 1.2) for p in (0.99, 0.995, 1.0)
    )
    """The grid: nine settings in the paper, of which only (1.2, 0.99) is published."""
    samples: int = Field(10_000, ge=1)
    """Samples for each competitor, language and setting."""
    samples_per_request: int = Field(32, ge=1, le=1024)
    """Samples per request; it changes the speed, never the rows."""
    max_tokens: int = Field(2048, ge=1)
    """Longest sample, in tokens; a longer one is unusable."""
    min_chars: int = Field(15, ge=1)
    """Shorter instructions are dropped; a letter of Chinese, Japanese or Korean counts as three. Unpublished."""
    max_chars: int = Field(8000, ge=1, validate_default=True)
    """Longer instructions are dropped. Unpublished."""

    @field_validator("max_chars")
    @classmethod
    def at_least_min_chars(cls, max_chars: int, info: Any) -> int:
        if max_chars < info.data.get("min_chars", 0):
            raise ValueError(f"expected at least {info.data['min_chars']}, which is min_chars; found {max_chars}")
        return max_chars


class Deduplication(Strict):
    """Of instructions with similar word shingles, the first is kept (METHOD 3; docs/deduplication.md)."""

    threshold: float = Field(0.7, gt=0, le=1)
    """A later instruction with this Jaccard similarity or more is dropped. The paper's 0.5 drops many different tasks."""
    shingle_words: int = Field(1, ge=1)
    """Consecutive words in a shingle; 1 compares sets of words."""


class Difficulty(Strict):
    """A panel scores each instruction from 1 to 10; those below `keep` are dropped (METHOD 3)."""

    panel: int = Field(1, ge=1)
    """Judges per instruction: the first competitors of the roster that did not mine it. The score is their mean."""
    keep: float = Field(6.0, ge=1, le=10)
    """Lowest score of an instruction that is kept."""
    verdict: Literal["reasoned", "direct"] = "reasoned"
    """`reasoned`: text that ends in [[score]]. `direct`: one digit; the score is the mean under its probabilities."""
    prompt: Annotated[str, with_placeholders("instruction"), by_verdict("difficulty")] = Field("", validate_default=True)
    """Asks for the verdict; absent: the packaged prompt for this kind of verdict."""
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=512)
    """Sampling of a reasoned verdict; a direct one is greedy."""
    off_topic: Literal["keep", "drop"] = "keep"
    """`drop`: the panel is first asked whether an instruction is about programming; others are neither rated nor answered."""
    topic_prompt: Annotated[str, with_placeholders("instruction"), by_verdict("topic")] = Field("", validate_default=True)
    """Asks whether it is, for Y or N, or for [[Yes]] or [[No]]; absent: the packaged prompt for this kind of verdict."""


class Embedding(Strict):
    """The sentence-transformers model whose embeddings the selection uses (METHOD 3)."""

    model: Place = "sentence-transformers/all-roberta-large-v1"
    """A hub id, or a local folder as for competitors."""
    revision: str | None = None
    """Commit of the hub's repository."""
    batch_size: int = Field(64, ge=1)
    """Texts embedded at once; it changes speed and memory."""


class Selection(Strict):
    """K-centre-greedy over the embeddings, each competitor after those before it in the roster."""

    centres: int = Field(1400, ge=1)
    """The most instructions of each competitor. Unpublished; 1,400 makes the paper's 70,000 rounds."""
    part_rows: int = Field(1_000_000, ge=1, validate_default=True)
    """Vectors of one competitor in memory at once. More are selected in parts, with a guarantee half as good."""

    @field_validator("part_rows")
    @classmethod
    def parts_shrink(cls, part_rows: int, info: Any) -> int:
        if part_rows < 2 * info.data.get("centres", 0):
            raise ValueError(f"expected at least {2 * info.data['centres']}, twice the centres: a part must leave some out")
        return part_rows


class Answers(Strict):
    """Every competitor answers every selected instruction (METHOD 4)."""

    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=2048)
    """Sampling of competitors without a `sampling` of their own."""
    samples: int = Field(1, ge=1)
    """Answers of each competitor to an instruction, 1 if it is greedy. The one that agrees most with its others, on the inputs
    of the competitor's own tests, battles (docs/selection.md). Needs `execution` among battles.evidence."""


class Ratings(Strict):
    """Ratings from all outcomes, and the final score that combines them with the votes (METHOD 5)."""

    method: Literal["elo", "bradley_terry", "judge_aware"] = "elo"
    """`elo`, as in the paper, updates ratings battle by battle; `bradley_terry` fits all battles at once; `judge_aware` fits
    all votes, with how well each judge tells competitors apart."""
    orders: Literal["many", "one"] = "many"
    """Elo is the mean over `many` seeded orders of the battles, or, as in the paper, `one` pass in one seeded order. That order
    alone moves a rating by about 50 points, and depends on the competitors' names."""
    k: float = Field(40, gt=0)
    """The most that one battle changes an Elo rating."""
    initial: float = 1000.0
    """Rating before the first battle. Unpublished; it shifts every rating by the same amount."""
    alpha: float = Field(0.7, ge=0, le=1)
    """Weight of the expectation from the ratings in the final score; the votes have 1 - alpha."""
    seed: int = Field(0, ge=0)
    """Seed of the orders in which Elo replays the battles, and of the bootstrap."""
    bootstrap_rounds: int = Field(100, ge=0)
    """Bootstrap resamples for the 95 % intervals; 0: no intervals."""

    @property
    def one_pass(self) -> bool:
        """Whether ratings are those of one pass of Elo."""
        return self.method == "elo" and self.orders == "one"


class ReferenceSet(Strict):
    """A public set of tasks that instructions are compared with."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Letters, digits, '.', '_' and '-': its name in tables and pictures."""
    source: Place = Field(min_length=1)
    """`humaneval`, a hub id, or a local file that starts with '.', '/' or '~': .parquet, or .json or .jsonl, which may end in
    .gz, .bz2 or .zst too."""
    column: str = "instruction"
    """The column, or key, with the text."""
    config: str | None = Field(None, min_length=1)
    """Configuration of a hub's data set, such as a language; absent: its default."""
    split: str = "train"
    """Split of a hub's data set."""
    revision: str | None = None
    """Revision of a hub's data set; without one, later comparisons may use a newer version."""

    @field_validator("source")
    @classmethod
    def is_hub_id_or_file(cls, source: str) -> str:
        if is_local(source) or "{{" in source:  # the latter is filled in later (orchestration.component)
            return source
        if not is_hub_id(source):
            raise ValueError(f"expected a hub id, or a file that starts with './', '/' or '~/'; found {source!r}")
        if source.endswith((*FILES, *COMPRESSED)):
            raise ValueError(f"expected './{source}' for a file beside the arena's")
        return source

    @field_validator("config")
    @classmethod
    def is_on_the_hub(cls, config: str | None, info: Any) -> str | None:
        source = info.data.get("source", "")
        if config and (source == HUMANEVAL or is_local(source)):
            raise ValueError(f"expected none: only data sets of the hub have configurations, and {source} is not there")
        return config


class Analysis(Strict):
    """The arena's analysis (METHOD 7)."""

    references: Annotated[tuple[ReferenceSet, ...], unique("name")] = (ReferenceSet(name=HUMANEVAL, source=HUMANEVAL),)
    """Sets that the novelty of instructions is measured against."""
    categories: bool = False
    """Have a judge sort the selected instructions into seven kinds of task, with one short request each."""
    category_prompt: Annotated[str, with_placeholders("instruction")] = Field(
        default_factory=lambda: packaged_prompt("category")
    )
    """Asks for one digit from 1 to 7."""


class Goals(Strict):
    """What the data of an arena must reach: a check of the table fails where it does not. 0 asks for nothing."""

    answers_with_code: float = Field(0.0, ge=0, le=1)
    """The least share of SFT rows whose answer has code: Python that can be read, or a fenced block of another language."""
    decided_battles: float = Field(0.0, ge=0, le=1)
    """The least share of battles that tests or behaviour decide."""


class Export(Strict):
    """The files for trainers (METHOD 6)."""

    formats: tuple[Literal["sft", "dpo", "kto"], ...] = Field(("sft", "dpo", "kto"), min_length=1)
    """One data set each: supervised fine-tuning, preference pairs, single answers labelled good or bad."""
    folder: Folder = ""
    """Folder of the files; absent: `exports` in the warehouse, or `exports.NAME` if the warehouse's folder is not called as the
    arena. If the warehouse is no folder: `exports` in data/NAME beside the arena's file."""
    reasoning: bool = False
    """Whether a good or bad answer begins with its reasoning between <think> and </think>, if the model wrote any."""
    undecided: Literal["leave_out", "keep"] = "leave_out"
    """Instructions whose best answer no evidence put first, but only a rating or its length: left out of SFT, DPO and KTO, or
    kept as in the paper (docs/selection.md)."""
    dpo_rejected: Literal["last", "own_sample"] = "last"
    """The rejected answer: that of the last rank, or, if answers.samples is above 1, the chosen competitor's own sample that
    agrees least with the chosen answer. Such a sample has no score, and dpo_margin does not apply."""
    dpo_margin: float = Field(0.0, ge=0)
    """A DPO pair needs a difference of final scores above this."""
    benchmarks: Annotated[tuple[ReferenceSet, ...], unique("name")] = (ReferenceSet(name=HUMANEVAL, source=HUMANEVAL),)
    """Benchmarks that must not leak: a row whose instruction or answer overlaps one of them is left out."""
    overlap_words: int = Field(10, ge=3)
    """Two texts overlap if they share this many consecutive words (docs/method.md, 6)."""
    turn_tokens: Literal["keep", "neutralise"] = "keep"
    """`neutralise`: break special tokens of chat templates in messages, such as <|im_end|>, with a space. Both are counted."""
