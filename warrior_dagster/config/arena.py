"""The schema of an arena's YAML, the one source of configuration."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from warrior_dagster.config import stages
from warrior_dagster.config.automation import Automation, Schedule
from warrior_dagster.config.scalars import WarehousePlace
from warrior_dagster.config.serving import Competitor, Engine, Sampling, Server, Strict, unique

MATCHUP_SEPARATOR = "__"


class Arena(Strict):
    """One arena: who competes, and every value of the method."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)
    """Lower-case letters, digits and underscores; its tables go to data/NAME unless `warehouse` says otherwise."""
    competitors: Annotated[tuple[Competitor, ...], Field(min_length=3), unique("name")]
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
    battles: stages.Battles = stages.Battles()
    execution: stages.Execution = stages.Execution()
    ratings: stages.Ratings = stages.Ratings()
    export: stages.Export = stages.Export()
    analysis: stages.Analysis = stages.Analysis()
    engine: Engine = Engine()
    schedule: Schedule | None = None
    """When matchups are scheduled; absent: never."""
    automation: Automation = Automation()

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
        return self.competitors[self.roster.index(name)]

    def panel(self, attacker: str) -> list[str]:
        """The judges that rate the instructions of `attacker`: the first of the roster without the attacker."""
        return [name for name in self.roster if name != attacker][: self.difficulty.panel]

    @property
    def runs_tests(self) -> bool:
        """Whether judges write tests that answers are run against."""
        return self.battles.evidence in ("execution", "both")

    @property
    def unused_sections(self) -> set[str]:
        """Sections that have no effect in this arena."""
        return set() if self.runs_tests else {"execution"}

    def devices(self, model: str) -> int:
        """The GPUs that serve a model; for an endpoint its servers, whose GPUs are unknown."""
        return self.server(next(c for c in self.competitors if c.model == model)).devices

    def server(self, competitor: Competitor) -> Server:
        """Where a competitor is served."""
        return competitor.serve or self.engine.serve

    def answer_sampling(self, competitor: Competitor) -> Sampling:
        """How a competitor's answers are sampled."""
        return competitor.sampling or self.answers.sampling

    def judges(self, left: str, right: str) -> list[str]:
        return [name for name in self.roster if name not in (left, right)][: self.battles.judges]
