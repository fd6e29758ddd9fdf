"""The schema of an arena's YAML: the one source of configuration, and the only place where it is validated.

Its parts are beside it: who competes and how models are served, the stages of the method, and what starts without a person.
"""

from typing import Self

from pydantic import Field, field_validator, model_validator

from warrior_dagster.config.automation import Automation, Schedule
from warrior_dagster.config.serving import Competitor, Engine, Strict
from warrior_dagster.config.stages import (
    Analysis,
    Answers,
    Battles,
    Deduplication,
    Difficulty,
    Embedding,
    Execution,
    Export,
    Mining,
    Ratings,
    Selection,
)

MATCHUP_SEPARATOR = "__"


class Arena(Strict):
    """One arena: who competes, and every value of the method."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Lower-case letters, digits and underscores; its tables go to data/NAME unless `warehouse` says otherwise."""
    competitors: tuple[Competitor, ...] = Field(min_length=3)
    """The roster. Its order matters: append new competitors at the end, so that no row of the others changes."""
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
    """When matchups are scheduled; absent: never."""
    automation: Automation = Automation()

    @field_validator("competitors")
    @classmethod
    def names_are_unique(cls, competitors: tuple[Competitor, ...]) -> tuple[Competitor, ...]:
        seen: set[str] = set()
        for competitor in competitors:
            if competitor.name in seen:
                raise ValueError(f"expected each name once; {competitor.name!r} occurs twice")
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
        """The judges that rate the instructions of `attacker`: the first of the roster, never the attacker itself."""
        return [name for name in self.roster if name != attacker][: self.difficulty.panel]

    @property
    def runs_tests(self) -> bool:
        """Whether judges write tests, and answers are run against them."""
        return self.battles.evidence != "opinion"

    @property
    def unused_sections(self) -> set[str]:
        """Sections that have no effect in this arena."""
        return set() if self.runs_tests else {"execution"}

    def devices(self, model: str) -> int:
        """The GPUs that serve a model; for an endpoint its servers, whose GPUs are unknown."""
        return (next(c for c in self.competitors if c.model == model).serve or self.engine.serve).devices

    def judges(self, left: str, right: str) -> list[str]:
        """The judges of the matchup of two competitors."""
        return [name for name in self.roster if name not in (left, right)][: self.battles.judges]
