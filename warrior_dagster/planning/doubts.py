"""What an arena may say, and what is seldom meant: each is a line that begins with a key, for a warning."""

import re
from contextlib import suppress
from pathlib import Path

import lancedb

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena
from warrior_dagster.config.serving import is_local
from warrior_dagster.config.stages import HUMANEVAL
from warrior_dagster.config.suggestions import did_you_mean
from warrior_dagster.inference.identity import own_identity
from warrior_dagster.inference.model_folder import unfinished
from warrior_dagster.materialization.table import open_warehouse
from warrior_dagster.planning.adoption import COMMIT
from warrior_dagster.planning.preflight import cached_commit, models
from warrior_dagster.stages.mining.assets import mined_instructions
from warrior_dagster.warehouse.registry import OWNER, Registry

SPELLINGS = {
    **{"py": "python", "python3": "python", "js": "javascript", "node": "javascript", "ts": "typescript", "rs": "rust"},
    **{"golang": "go", "c++": "cpp", "cplusplus": "cpp", "c#": "csharp", "f#": "fsharp", "rb": "ruby", "kt": "kotlin"},
    **{"sh": "bash", "shell": "bash", "objc": "objective-c", "hs": "haskell", "jl": "julia", "pl": "perl"},
}
"""Languages by their other spellings, in lower case."""
MOST_FILES = 50
"""The most other files beside an arena's that are looked into."""


def doubts(arena: Arena, file: Path) -> list[str]:
    """All doubts about an arena that was read from a file."""
    return [
        *folders_without_dot(arena, file),
        *moving_revisions(arena),
        *equal_languages(arena),
        *misspelt_sets(arena),
        *shared_warehouse(arena, file),
        *unlisted_competitors(arena),
        *equal_competitors(arena),
        *unfinished_folders(arena),
    ]


def folders_without_dot(arena: Arena, file: Path) -> list[str]:
    """A line for each hub id for which a folder lies beside the file, or where we are. One with a model is refused earlier."""
    places = dict.fromkeys((file.resolve().parent, Path.cwd()))
    return [
        f"{key}: {model} is taken for a hub id; for the folder {place / model} write its path with './' or '/' before it"
        for key, model in models(arena).items()
        if not is_local(model)
        for place in places
        if (place / model).is_dir()
    ]


def moving_revisions(arena: Arena) -> list[str]:
    """Lines for models of the hub without a revision, and for each revision that is no commit."""
    lines, hub = [], [c for c in arena.competitors if arena.mines(c.name) and not is_local(c.model)]
    if unpinned := [c for c in hub if c.revision is None]:
        known = [f"{c.name} {commit}" for c in unpinned if (commit := cached_commit(c.model, None))]
        cached = f"; the hub's cache has: {', '.join(known)}" if known else ""
        names = ", ".join(c.name for c in unpinned)
        lines.append(f"competitors: no revision pinned for {names}: the model changes if its branch moves{cached}")
    named = {f"competitors.{c.name}.revision": (c.model, c.revision) for c in hub}
    named["embedding.revision"] = arena.embedding.model, arena.embedding.revision
    for key, (model, revision) in named.items():
        if revision and not is_local(model) and not COMMIT.fullmatch(revision):
            commit = cached_commit(model, revision)
            now = f"; the hub's cache has it at {commit}" if commit else ""
            lines.append(f"{key}: {revision} is no commit but a branch or tag, which may move: pin the commit{now}")
    return lines


def equal_languages(arena: Arena) -> list[str]:
    """A line for each language that is there in another spelling."""
    first, lines = dict[str, str](), []
    for index, language in enumerate(arena.languages):
        plain = re.sub(r"\s", "", language.casefold())
        other = first.setdefault(SPELLINGS.get(plain, plain), language)
        if other != language:
            lines.append(
                f"languages[{index}]: {language!r} and {other!r} are one language, which is mined twice; keep one of them"
            )
    return lines


def misspelt_sets(arena: Arena) -> list[str]:
    """A line for each data set of the hub whose name is nearly that of the set that comes with a package."""
    sets = {"analysis.references": arena.analysis.references, "export.benchmarks": arena.export.benchmarks}
    named = [(f"{key}[{place}].source", one.source) for key, given in sets.items() for place, one in enumerate(given)]
    return [
        f"{key}: {source} is taken for a data set of the hub{did_you_mean(source, [HUMANEVAL])}"
        for key, source in named
        if "/" not in source and source != HUMANEVAL and did_you_mean(source, [HUMANEVAL])
    ]


def shared_warehouse(arena: Arena, file: Path) -> list[str]:
    """A line if the warehouse is that of another arena too, unless this one has tables of its own there already."""
    others = {other: path for path in neighbours(file) if (other := name_if_in(arena, path))}
    if arena.name in others:
        risk = "a run of either replaces tables and exports of the other"
        own = "give this arena a `name` and a `warehouse` of its own"
        return [f"warehouse: {others[arena.name]} has the same name and warehouse: {risk}; {own}"]
    owner = owner_of(arena.warehouse)
    if owner and open_warehouse(arena).partitions(mined_instructions.name):
        return []
    if owner not in (None, arena.name) or others:
        name = owner if owner not in (None, arena.name) else next(iter(others))
        where = f" ({others[name]})" if name in others else ""
        shared = "both use one ledger, and what is deleted there is gone for both; tables are apart"
        own = f"for one of its own write `warehouse: ../data/{arena.name}`"
        return [f"warehouse: it is that of the arena {name} too{where}: {shared}; {own}"]
    return []


def unlisted_competitors(arena: Arena) -> list[str]:
    """A line if the warehouse has rows of competitors of this arena that its file does not list; none in an object store."""
    if owner_of(arena.warehouse) is None:
        return []
    mined = open_warehouse(arena).partitions(mined_instructions.name)
    names = ", ".join(name for name in mined if name not in arena.roster)
    kept = "they are kept, and nothing is made from them"
    return [f"competitors: the warehouse has rows of {names}, which this file does not list: {kept}"] if names else []


def equal_competitors(arena: Arena) -> list[str]:
    """A line for each competitor that sends the same requests as an earlier one, so that it gives the same answers."""
    first, lines = dict[tuple[str, str], str](), []
    for one in arena.competitors:
        with suppress(FileNotFoundError):  # a folder without a model is named elsewhere
            shared = {"system_prompt", "template_arguments", "reasoning_tags"}
            asked = one.model_copy(update={"sampling": arena.answer_sampling(one)})
            key = own_identity(arena, one), asked.model_dump_json(include=shared | {"sampling"})
            if (earlier := first.setdefault(key, one.name)) != one.name:
                lines.append(
                    f"competitors: {earlier} and {one.name} have the same model, prompt and sampling, so they give the same"
                    " answers, and every battle between them is a tie; change one of them, or leave it out"
                )
    return lines


def neighbours(file: Path) -> list[Path]:
    """The other YAML files beside an arena's."""
    folder = file.resolve().parent
    return [one for one in sorted(folder.glob("*.y*ml"))[:MOST_FILES] if one != file.resolve()]


def name_if_in(arena: Arena, file: Path) -> str | None:
    """The name of another file's arena if it has the warehouse of `arena`, and is not the same with competitors appended."""
    try:
        other = load_arena(file)
    except ArenaError:  # not ours to report, and perhaps no arena
        return None
    shorter = min(len(arena.competitors), len(other.competitors))
    grown = len(arena.competitors) != len(other.competitors) and arena.competitors[:shorter] == other.competitors[:shorter]
    same = other.model_copy(update={"competitors": arena.competitors}) == arena
    return other.name if other.warehouse == arena.warehouse and not (grown and same) else None


def owner_of(warehouse: str) -> str | None:
    """The arena that first wrote to a warehouse's folder; None if none has, or if it is in an object store."""
    folder = Path(warehouse)
    return Registry(lancedb.connect(folder)).owner() if (folder / f"{OWNER}.lance").is_dir() else None


def unfinished_folders(arena: Arena) -> list[str]:
    """A line for each model folder that cannot be loaded, because its weights, or some of them, are missing."""
    loaded = {f"competitors.{c.name}.model" for c in arena.competitors if arena.server(c).loads_weights} | {"embedding.model"}
    found = {key: unfinished(Path(model)) for key, model in models(arena).items() if key in loaded and is_local(model)}
    return [f"{key}: it cannot be loaded: {fault}" for key, fault in found.items() if fault]
