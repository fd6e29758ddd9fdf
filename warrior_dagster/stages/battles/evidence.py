"""The kinds of evidence that decide battles. A new kind is a folder beside these and an entry here."""

from collections.abc import Sequence
from dataclasses import dataclass

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import BEHAVIOUR, EXECUTION, OPINION
from warrior_dagster.materialization.table import Table
from warrior_dagster.stages.battles.behaviours import assets as behaviours
from warrior_dagster.stages.battles.opinions import assets as opinions
from warrior_dagster.stages.battles.unit_tests import assets as unit_tests


@dataclass(frozen=True, eq=False)
class Evidence:
    """One kind of evidence."""

    kind: str
    """The value of the votes' column `evidence` and the key in battles.weights."""
    tables: Sequence[Table]
    """Its tables in order; the last has the votes."""

    @property
    def votes(self) -> Table:
        return self.tables[-1]


KINDS = (
    Evidence(OPINION, opinions.TABLES),
    Evidence(EXECUTION, unit_tests.TABLES),
    Evidence(BEHAVIOUR, behaviours.TABLES),
)


def kinds_in(arena: Arena) -> list[Evidence]:
    """The kinds of evidence that an arena collects."""
    return [one for one in KINDS if one.votes.enabled(arena)]
