"""The stages of the method.

Defaults are the method's. A value that nobody published says "unpublished" in its description, and is this project's choice.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from warrior_dagster.config.prompts import packaged_prompt, prompt_of_verdict, with_placeholders
from warrior_dagster.config.serving import Sampling, Strict

HUMANEVAL = "humaneval"
"""The reference set that comes with a package: the 164 problems of HumanEval."""


class MiningSetting(Strict):
    """One point of the mining grid."""

    temperature: float = Field(gt=0, le=2)
    """Of the model that reveals instructions."""
    top_p: float = Field(gt=0, le=1)
    """The share of probability that its next token is drawn from."""


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
    """Longest sample, in tokens; a longer one is unusable."""
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
    """Consecutive words that make a shingle; 1 compares sets of words."""


class Difficulty(Strict):
    """A panel scores each instruction 1-10; those below `keep` go no further (METHOD 3)."""

    panel: int = Field(1, ge=1)
    """Judges an instruction: the first competitors of the roster that did not mine it. The score is their mean."""
    keep: float = Field(6.0, ge=1, le=10)
    """Lowest score, from 1 to 10, that goes on."""
    verdict: Literal["reasoned", "direct"] = "reasoned"
    """`reasoned`: text that ends in [[score]]. `direct`: one digit, the score is the mean under its probabilities."""
    prompt: Annotated[str, with_placeholders("instruction")] = ""
    """Asks for the verdict; absent: the one that comes with its kind."""
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=512)
    """Of a reasoned verdict; a direct one is greedy."""

    @model_validator(mode="before")
    @classmethod
    def default_prompt(cls, values: Any) -> Any:
        return prompt_of_verdict(values, "difficulty")


class Embedding(Strict):
    """The sentence-transformers model whose space the selection is made in (METHOD 3)."""

    model: str = "sentence-transformers/all-roberta-large-v1"
    """A hub id, or a local folder as for competitors."""
    revision: str | None = None
    """Commit of the hub's repository."""
    batch_size: int = Field(64, ge=1)
    """Texts embedded at once; it changes the speed and the memory."""


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
    """Of all competitors without a sampling of their own."""


class Weights(Strict):
    """What a vote of each kind counts where both are evidence."""

    opinion: float = Field(1.0, gt=0)
    """One opinion."""
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
    """Only where evidence is `both`."""
    prompt: Annotated[str, with_placeholders("instruction", "answer_a", "answer_b")] = ""
    """Asks which answer is better; absent: the one that comes with its kind of verdict."""
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.995, max_tokens=1024)
    """Of a reasoned verdict; a direct one is greedy."""

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
    """`elo`, as in the paper, depends on the order of battles; `bradley_terry` does not."""
    k: float = Field(40, gt=0)
    """How far one battle moves an Elo rating at most."""
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
    """How tables and pictures call it."""
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
    """Each is a data set of its own: supervised fine-tuning, preference pairs, single answers good or bad."""
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
