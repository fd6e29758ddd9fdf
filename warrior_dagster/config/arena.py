"""The schema of an arena's YAML, the one source of configuration."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from warrior_dagster.config import stages
from warrior_dagster.config.automation import Automation, Schedule
from warrior_dagster.config.battles import Battles, Execution
from warrior_dagster.config.scalars import WarehousePlace
from warrior_dagster.config.serving import (
    ChatService,
    Competitor,
    Engine,
    Sampling,
    Server,
    Strict,
    TemplateArguments,
    is_hub_id,
    is_local,
    unique,
)
from warrior_dagster.sandbox import LANGUAGES

MATCHUP_SEPARATOR = "__"
LEAST_COMPETITORS, FOUNDERS = 3, 4
"""The fewest competitors of an arena. Exams are made of the material of this many, the first, so no newcomer changes one."""


class Arena(Strict):
    """One arena: who competes, and every value of the method."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)
    """Lower-case letters, digits and underscores; its tables go to data/NAME unless `warehouse` says otherwise."""
    competitors: Annotated[tuple[Competitor, ...], Field(min_length=LEAST_COMPETITORS), unique("name")]
    """The roster. Append new competitors at the end, so that no row of the others changes."""
    languages: Annotated[tuple[str, ...], Field(min_length=1), unique("language")] = ("Python",)
    """Programming languages that instructions are mined for. Languages other than Python are unpublished."""
    warehouse: WarehousePlace = ""
    """Folder, or object store URI, of all tables and of the ledger; absent: data/NAME beside the arena's file."""
    adopted: dict[str, str] = Field(default_factory=dict)
    """Completions of the same model under an earlier identity, as `identity: earlier identity`. `warrior plan` shows which."""
    mining: stages.Mining = stages.Mining()
    deduplication: stages.Deduplication = stages.Deduplication()
    difficulty: stages.Difficulty = stages.Difficulty()
    embedding: stages.Embedding = stages.Embedding()
    selection: stages.Selection = stages.Selection()
    answers: stages.Answers = stages.Answers()
    battles: Battles = Battles()
    execution: Execution = Execution()
    ratings: stages.Ratings = stages.Ratings()
    export: stages.Export = stages.Export()
    goals: stages.Goals = stages.Goals()
    analysis: stages.Analysis = stages.Analysis()
    engine: Engine = Engine()
    schedule: Schedule | None = None
    """When everything is brought up to date; absent: only by hand, or as `automation` says."""
    automation: Automation = Automation()

    @model_validator(mode="after")
    def panels_fit_the_roster(self) -> Self:
        others = len(self.competitors) - 1
        if self.difficulty.panel > others:
            raise ValueError(f"difficulty.panel: expected at most {others}, the competitors besides the attacker")
        if (self.battles.judges or 1) > others - 1:
            raise ValueError(f"battles.judges: expected at most {others - 1}, the competitors outside a matchup")
        return self

    @model_validator(mode="after")
    def models_are_hub_ids_or_paths(self) -> Self:
        models = {f"competitors[{i}].model": c.model for i, c in enumerate(self.competitors) if self.mines(c.name)}
        for key, model in (models | {"embedding.model": self.embedding.model}).items():
            filled_in_later = "{{" in model  # by orchestration.component
            if not (is_local(model) or is_hub_id(model) or filled_in_later):
                raise ValueError(
                    f"{key}: expected a hub id such as org/name, or a path that starts with '.', '/' or '~'; found {model!r}"
                )
        return self

    @model_validator(mode="after")
    def stages_fit_one_another(self) -> Self:
        if self.settles and not self.runs_tests:
            raise ValueError(
                "answers.samples: expected 1, or `execution` among battles.evidence, whose tests settle on one answer"
            )
        if self.settles and not any(self.answer_sampling(one).temperature for one in self.competitors):
            raise ValueError("answers.samples: expected 1, or a competitor that answers with a temperature above 0")
        if self.execution.samples > 1 and self.execution.sampling.temperature == 0:
            raise ValueError("execution.samples: expected 1, or execution.sampling with a temperature above 0")
        if self.export.dpo_rejected == "own_sample" and not self.settles:
            raise ValueError("export.dpo_rejected: expected `last`, or answers.samples above 1 for `own_sample`")
        return self

    @model_validator(mode="after")
    def tests_can_be_run(self) -> Self:
        if self.runs_tests and (others := [language for language in self.languages if language not in LANGUAGES]):
            raise ValueError(
                f"languages: expected {' or '.join(LANGUAGES)}, whose code can be run, because battles.evidence has"
                f" `execution`; found {', '.join(others)}. Judge these by opinions alone, in an arena of their own"
            )
        return self

    @model_validator(mode="after")
    def chat_services_can_do_what_is_asked(self) -> Self:
        if not any(map(self.mines, self.roster)):
            raise ValueError("competitors: expected at least one that is mined; services of kind chat are not")
        for one in self.competitors:
            if isinstance(self.server(one), ChatService) and (one.revision or one.template_arguments != TemplateArguments()):
                reason = "the service has its own weights and template"
                raise ValueError(f"competitors: expected no revision or template_arguments of {one.name}: {reason}")
        asked = {
            "battles.verdict: direct": (self.battles.verdict == "direct", len(self.possible_judges)),
            "difficulty.verdict: direct": (self.difficulty.verdict == "direct", self.difficulty.panel + 1),
            "analysis.categories": (self.analysis.categories, 2),
        }
        for key, (used, first) in asked.items():
            for competitor in self.competitors[:first] if used else ():
                if not self.server(competitor).logprobs:
                    raise ValueError(
                        f"{key} asks {competitor.name} for log-probabilities: expected `logprobs: true` in its `serve`, if the"
                        " service gives them, or a setting that does not need them"
                    )
        return self

    @property
    def roster(self) -> list[str]:
        """The competitors' names, in order."""
        return [c.name for c in self.competitors]

    def competitor(self, name: str) -> Competitor:
        return self.competitors[self.roster.index(name)]

    @property
    def founders(self) -> list[str]:
        """The competitors that every exam is made from: the first of the roster. Where one of four is the judge, two others can
        give the answers and the last the tests.
        """
        return self.roster[:FOUNDERS]

    @property
    def possible_judges(self) -> list[str]:
        """The competitors that judge any matchup."""
        return self.roster if self.battles.judges is None else self.roster[: self.battles.judges + 2]

    def panel(self, attacker: str) -> list[str]:
        """The judges that rate the instructions of `attacker`: the first of the roster without the attacker."""
        return [name for name in self.roster if name != attacker][: self.difficulty.panel]

    @property
    def asks_judges(self) -> bool:
        """Whether judges give opinions on answers."""
        return "opinion" in self.battles.evidence

    @property
    def runs_tests(self) -> bool:
        """Whether judges write tests that answers are run against."""
        return "execution" in self.battles.evidence

    @property
    def observes(self) -> bool:
        """Whether it is observed what answers return."""
        return "behaviour" in self.battles.evidence

    @property
    def unused_sections(self) -> set[str]:
        """Sections that have no effect in this arena."""
        return set() if self.runs_tests else {"execution"}

    def devices(self, model: str) -> int:
        """The GPUs that serve a model; none of a chat service."""
        return self.server_of(model).devices

    def server_of(self, model: str) -> Server:
        """Where a model is served."""
        return self.server(next(c for c in self.competitors if c.model == model))

    def server(self, competitor: Competitor) -> Server:
        """Where a competitor is served."""
        return competitor.serve or self.engine.serve

    def mines(self, name: str) -> bool:
        """Whether a competitor is mined for instructions; a service that only chats is not."""
        return self.server(self.competitor(name)).mines

    @property
    def not_mined(self) -> list[str]:
        """The competitors that only chat."""
        return [name for name in self.roster if not self.mines(name)]

    def cost(self, model: str, gpu_hours: float | None, prompt_tokens: int, completion_tokens: int) -> float | None:
        """What requests to a model cost: its tokens where its server has prices for them, else GPU hours; None if unknown."""
        server = self.server_of(model)
        if prices := server.price_per_million_tokens:
            return (prompt_tokens * prices.input + completion_tokens * prices.output) / 1e6
        hourly = self.engine.price_per_gpu_hour if server.devices else None
        return None if hourly is None or gpu_hours is None else gpu_hours * hourly

    def answer_sampling(self, competitor: Competitor) -> Sampling:
        """How a competitor's answers are sampled."""
        return competitor.sampling or self.answers.sampling

    def answer_samples(self, competitor: Competitor) -> int:
        """How many answers to an instruction a competitor gives: one if it is greedy, since all would be the same."""
        return self.answers.samples if self.answer_sampling(competitor).temperature else 1

    @property
    def settles(self) -> bool:
        """Whether competitors answer several times and settle on one of their answers."""
        return self.answers.samples > 1

    def judges(self, left: str, right: str) -> list[str]:
        return [name for name in self.roster if name not in (left, right)][: self.battles.judges]
