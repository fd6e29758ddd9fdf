"""The settings of battles: what decides them, and how answers are tested and observed. Defaults are the method's."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator

from warrior_dagster.config.prompts import by_verdict, packaged_prompt, with_placeholders
from warrior_dagster.config.serving import Sampling, Strict, unique

Kind = Literal["opinion", "execution", "behaviour"]
"""A kind of evidence: opinions of judges; results of tests that judges write without seeing an answer; how far answers agree
on what they return. It is the value of the votes' column `evidence`.
"""
OPINION, EXECUTION, BEHAVIOUR = get_args(Kind)

RATING, LENGTH = "rating", "length"
UNDECIDED = (RATING, LENGTH)
"""What puts an answer first where no evidence does: its competitor's rating, then that it is shorter."""


def votes_table(kind: str) -> str:
    """The table with the votes of a kind of evidence."""
    return "judge_votes" if kind == OPINION else f"{kind}_votes"


class Weights(Strict):
    """The weight of one vote of each kind of evidence, if votes are added up."""

    opinion: float = Field(1.0, gt=0)
    """Weight of an opinion, times that of its judge after an exam. A judge gives two per battle, one for each order."""
    execution: float = Field(2.0, gt=0)
    """Weight of the vote by a judge's tests, one per battle: 2 equals the judge's two opinions."""
    behaviour: float = Field(2.0, gt=0)
    """Weight of the vote by behaviour, one per battle."""


def listed(evidence: Any) -> Any:
    """Refuses the earlier form of battles.evidence, with the present one."""
    now = {"execution": "[execution, opinion]", "both": "[opinion, execution] with combine: sum", "opinion": "[opinion]"}
    if isinstance(evidence, str):
        raise ValueError(f"expected a list{f', here {now[evidence]}' if evidence in now else ''}; found {evidence!r}")
    return evidence


class Battles(Strict):
    """Every pair of competitors battles while the others judge (METHOD 4)."""

    instructions: Literal["all", "attackers"] = "all"
    """`all`: each pair battles on every instruction. `attackers`: only on those mined from one of the pair."""
    orders: Literal["both", "alternate"] = "both"
    """`both`: each judge sees both orders of the two answers. `alternate`: one order, which the instruction decides."""
    judges: int | None = Field(None, ge=1)
    """Judges per matchup: the first of the roster that are not in it; absent: all others, as in the paper."""
    verdict: Literal["reasoned", "direct"] = "reasoned"
    """`reasoned`: text that ends in a verdict. `direct`: one constrained letter with its probabilities."""
    votes: Literal["hard", "soft"] = "hard"
    """`soft` counts a direct verdict's probabilities (small judges need it); `hard` counts verdicts."""
    evidence: Annotated[tuple[Kind, ...], BeforeValidator(listed), unique("kind")] = ("opinion",)
    """What decides battles, in this order: `opinion` of judges, alone as in the paper; `execution` of tests that judges write
    without seeing an answer; `behaviour`, how far answers agree on what they return."""
    combine: Literal["first", "sum"] = "first"
    """`first`: the first kind of evidence that prefers a side decides a battle alone. `sum`: the votes of all kinds add up."""
    weights: Weights = Weights()
    """Only used if `combine` is `sum`."""
    same_model: float = Field(0.5, gt=0, le=1)
    """Weight of a third answer of the model of either side of a battle, since answers of one model share its mistakes; of other
    models it is 1."""
    opinions: Literal["all", "open"] = "all"
    """`open`: judges are only asked about battles that the kinds of evidence before `opinion` leave open."""
    exam: int = Field(0, ge=0)
    """Questions with a known answer that each judge is asked first. Its score is the weight of its opinions, 0 for a judge that
    guesses (docs/selection.md). 0: no exam, and every judge has the same weight."""
    prompt: Annotated[str, with_placeholders("instruction", "answer_a", "answer_b"), by_verdict("battle")] = Field(
        "", validate_default=True
    )
    """Asks which answer is better; absent: the packaged prompt for this kind of verdict."""
    sampling: Sampling = Sampling(temperature=1.0, top_p=0.995, max_tokens=1024)
    """Sampling of a reasoned verdict; a direct one is greedy."""

    @property
    def only_opinions(self) -> bool:
        """Whether opinions decide alone, as in the paper."""
        return self.evidence == (OPINION,)

    @property
    def verdict_tokens(self) -> int:
        """The most tokens of a verdict."""
        return self.sampling.max_tokens if self.verdict == "reasoned" else 1

    @field_validator("evidence")
    @classmethod
    def evidence_can_decide(cls, evidence: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not evidence:
            raise ValueError(f"expected at least one of {', '.join(get_args(Kind))}; found none")
        if "behaviour" in evidence and "execution" not in evidence:
            raise ValueError("expected `execution` beside `behaviour`, whose inputs are the calls in tests")
        return evidence

    @field_validator("opinions")
    @classmethod
    def open_needs_earlier_evidence(cls, opinions: str, info: Any) -> str:
        evidence, combine = info.data.get("evidence", ()), info.data.get("combine")
        if opinions == "open" and (combine != "first" or OPINION not in evidence[1:]):
            raise ValueError("expected `all`, or combine: first and another kind of evidence before `opinion`")
        return opinions

    @field_validator("exam")
    @classmethod
    def exams_are_for_opinions(cls, exam: int, info: Any) -> int:
        if exam and OPINION not in info.data.get("evidence", (OPINION,)):
            raise ValueError("expected 0, or `opinion` among battles.evidence: an exam weighs opinions")
        return exam

    @field_validator("votes")
    @classmethod
    def soft_needs_probabilities(cls, votes: str, info: Any) -> str:
        if votes == "soft" and info.data.get("verdict") != "direct":
            raise ValueError("expected 'hard', or verdict: direct beside it: a reasoned verdict has no probabilities")
        return votes


class Execution(Strict):
    """Tests that judges write, and how answers are run against them; unused if battles.evidence has no `execution`."""

    prompt: Annotated[str, with_placeholders("instruction")] = Field(default_factory=lambda: packaged_prompt("tests"))
    """Asks for assert statements, or for NONE if running code cannot check an answer."""
    sampling: Sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=1024)
    """Greedy by default; several samples need a temperature."""
    samples: int = Field(1, ge=1)
    """Times that each judge writes tests for an instruction."""
    max_tests: int = Field(8, ge=1)
    """The most tests of one sample that are kept. Changing it sends no request again."""
    inputs: int = Field(12, ge=1)
    """The most inputs from one judge's tests of an instruction: the calls in them, then variants. Answers are observed on those
    of all judges, samples on those of their own competitor."""
    seconds: float = Field(2.0, gt=0)
    """Time limit of one test, or of one observed call, in seconds of an idle reference machine; slower machines get more."""
    memory_mib: int = Field(512, ge=64)
    """Memory limit of each process of a run, and of all of them together, in MiB; where answers are observed, all together may
    hold twice as much."""
    modules: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*$")], ...], unique("module")] = ()
    """Installed modules, such as `numpy`, that answers may import beside the standard library; what these need comes along."""
    isolation: Literal["required", "limits"] = "required"
    """`required`: refuse to run code on a machine that cannot isolate it. `limits`: run it there with resource limits only."""
    max_timeout_rate: float = Field(0.1, ge=0, le=1)
    """Share of tests' runs that may reach their time limit; above it a check warns."""
