"""Completions that the ledger has under an earlier identity of an arena's models: why they are sent again, and how not to.

A revision that is pinned after a first run, and a served name or data type that earlier versions left out of the identity, give
a model a new identity. Whether it is the same model cannot be computed, so the user decides, with `adopted` in the arena.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor, is_local
from warrior_dagster.config.suggestions import did_you_mean
from warrior_dagster.inference.identity import earlier_folder_identity, own_identity, stored_identity
from warrior_dagster.inference.ledger.earlier_folders import with_earlier_folders
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning.cost import PlanLine, plan
from warrior_dagster.warehouse.tables import Warehouse

PARTS = re.compile(
    r"(?P<base>.*?)(\+(?!dtype=|served_model=)(?P<quantization>[^+]*))?"
    r"(\+dtype=(?P<dtype>\w+))?(\+served_model=(?P<served_model>.*))?",
    re.DOTALL,
)
COMMIT = re.compile("[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Earlier:
    """The likeliest earlier identity of one model in the ledger."""

    competitors: tuple[str, ...]
    model: str
    identity: str
    """The identity of the model now."""
    earlier: str
    completions: int
    """In the ledger, under the earlier identity."""
    shared: bool
    """Whether other models of the arena had this identity too, so that nobody knows which model made a completion."""


def warnings(arena: Arena, ledger: LedgerReader) -> list[str]:
    """Lines about models that have completions under an earlier identity and none under their own. Raises LedgerError."""
    arena, stored = with_earlier_folders(arena, ledger), ledger.models()
    return [*empty(arena, stored), *described([one for one in earlier_identities(arena, stored) if one.identity not in stored])]


def asked_again(arena: Arena, lines: Sequence[PlanLine], ledger: LedgerReader, warehouse: Warehouse) -> list[str]:
    """Lines about the requests of a plan that were sent before, under an earlier identity. Raises as `plan` does.

    A second plan, which adopts all of these identities, counts them.
    """
    if not any(line.to_send for line in lines):
        return []
    arena, stored = with_earlier_folders(arena, ledger), ledger.models()
    found = earlier_identities(arena, stored)
    pairs = {one.identity: one.earlier for one in found if not one.shared}
    more = Counter[str]()
    if pairs:
        adopting = arena.model_copy(update={"adopted": arena.adopted | pairs})
        for line in plan(adopting, ledger, warehouse):
            more[line.model] += line.in_ledger
        for line in lines:
            more[line.model] -= line.in_ledger
    said = described([one for one in found if one.shared or more[one.model] > 0])
    if count := more.total():
        said.insert(0, f"{count} of the requests to send were sent before, when their model had another identity:")
    return [*empty(arena, stored), *said]


def empty(arena: Arena, stored: Mapping[str, int]) -> list[str]:
    """A line for each adopted identity that has no completions: it may be misspelt."""
    return [
        f"adopted: the ledger has no completions as {one}{did_you_mean(one, stored)}"
        for one in arena.adopted.values()
        if one not in stored
    ]


def earlier_identities(arena: Arena, stored: Mapping[str, int]) -> list[Earlier]:
    """The earlier identity of each model that has one in the ledger; `stored` counts completions by identity."""
    owners = defaultdict[str, list[Competitor]](list)
    taken = set[str]()
    for competitor in arena.competitors:
        try:
            owners[own_identity(arena, competitor)].append(competitor)
            taken.add(stored_identity(arena, competitor))
        except (OSError, ValueError):  # reported elsewhere: the folder is missing, or an adopted identity is shared
            continue
    likeliest = dict[str, str]()
    for identity, (first, *_) in owners.items():
        possible = [one for one in stored if identity not in arena.adopted and is_earlier(one, identity, first)]
        if possible:
            likeliest[identity] = max(possible, key=lambda one: (base(one) == base(identity), stored[one]))
    found = []
    for identity, earlier in likeliest.items():
        shared = earlier in taken or list(likeliest.values()).count(earlier) > 1
        if not (shared and identity in stored):
            names = tuple(competitor.name for competitor in owners[identity])
            found.append(Earlier(names, owners[identity][0].model, identity, earlier, stored[earlier], shared))
    return found


def parts(identity: str) -> dict[str, str | None]:
    """The base of an identity, and the settings that follow it."""
    found = PARTS.fullmatch(identity)
    assert found  # the pattern matches every text
    return found.groupdict()


def base(identity: str) -> str:
    return parts(identity)["base"] or ""


def is_earlier(stored: str, identity: str, competitor: Competitor) -> bool:
    """Whether a stored identity can be an earlier one: with a movable revision, or without a setting that counts today."""
    then, now = parts(stored), parts(identity)
    if stored == identity or then["quantization"] != now["quantization"]:
        return False
    if any(then[name] not in (None, now[name]) for name in ("dtype", "served_model")):
        return False
    if is_local(competitor.model):
        return then["base"] in (now["base"], earlier_folder_identity(competitor.model))
    model, _, revision = base(stored).rpartition("@")
    pinned_since = competitor.revision is not None and not COMMIT.fullmatch(revision)
    return model == competitor.model and (then["base"] == now["base"] or pinned_since)


def described(found: Sequence[Earlier]) -> list[str]:
    """A line for each earlier identity, and one with what to write into the arena."""
    lines = []
    for one in found:
        had = f"{', '.join(one.competitors)}: {one.completions} completions are in the ledger as {one.earlier}"
        if one.shared:
            unknown = "which of them made a completion is unknown, so all are sent again"
            lines.append(f"{had}, which was the identity of several competitors: {unknown}")
        else:
            lines.append(f"{had}; now the identity is {one.identity}. They are of the same model{condition(one)}")
    if pairs := {one.identity: one.earlier for one in found if not one.shared}:
        lines.append(f"to use them instead of sending these requests again, add to the arena: adopted: {json.dumps(pairs)}")
    return lines


def condition(one: Earlier) -> str:
    """What must have been true when the earlier completions were made; nothing for a folder: its files were hashed."""
    then, now = parts(one.earlier), parts(one.identity)
    claims = []
    if then["base"] != now["base"] and not is_local(one.model):
        claims.append(f"revision {base(one.earlier).rpartition('@')[2]} was {base(one.identity).rpartition('@')[2]}")
    claims += [f"{name} was {now[name]}" for name in ("dtype", "served_model") if then[name] != now[name]]
    return f" only if {' and '.join(claims)} when they were made" if claims else ""
