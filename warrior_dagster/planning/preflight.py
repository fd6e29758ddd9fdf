"""Checks of this machine before a run: models, templates, files, API keys, isolation, context lengths."""

import os
from pathlib import Path

from warrior_dagster.config import hub
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.reference_sets import texts_of
from warrior_dagster.config.serving import PURPOSES, is_local
from warrior_dagster.config.stages import ReferenceSet
from warrior_dagster.inference.model_folder import no_model
from warrior_dagster.inference.prompting import CompetitorFailed, load_competitor
from warrior_dagster.sandbox.isolation import ALLOWED_LEVELS, IsolationError
from warrior_dagster.sandbox.modules import ModuleMissing, module_files
from warrior_dagster.sandbox.pool import Program, run_all
from warrior_dagster.sandbox.probing import best_level
from warrior_dagster.stages.battles.sandbox_runs import limits
from warrior_dagster.warehouse.state import UnsafeFolder, local_folder, no_room


def missing_here(arena: Arena) -> list[str]:
    """One line for each missing model folder, module, state folder or API key, and each reference set that cannot be read."""
    missing = [
        f"{key}: {fault}" for key, model in models(arena).items() if is_local(model) and (fault := no_model(Path(model)))
    ]
    for key, sets in (("analysis.references", arena.analysis.references), ("export.benchmarks", arena.export.benchmarks)):
        found = [(f"{key}[{index}].source", unreadable(one)) for index, one in enumerate(sets) if is_local(one.source)]
        missing += [f"{place}: {error}" for place, error in found if error]
    try:
        module_files(arena.execution.modules)
    except ModuleMissing as error:
        missing.append(f"execution.modules: {error}")
    try:
        local_folder(arena.warehouse)
    except UnsafeFolder as error:
        missing.append(f"warehouse: {error}")
    places = {arena.export.folder: "export.folder", arena.warehouse: "warehouse"}
    places = {
        place: key
        for place, key in places.items()
        if "://" not in place and arena.warehouse not in map(str, Path(place).parents)
    }
    missing += [f"{key}: {fault}" for place, key in places.items() if (fault := no_room(Path(place)))]
    serving = {f"competitors.{c.name}.serve" if c.serve else "engine.serve": arena.server(c) for c in arena.competitors}
    for key, serve in serving.items():
        if serve.api_key_env and not os.environ.get(serve.api_key_env, "").strip():
            missing.append(f"{key}.api_key_env: expected the environment variable {serve.api_key_env}; it is not set")
    return missing


def models(arena: Arena) -> dict[str, str]:
    """The models that this machine reads, hub ids or folders, by their key."""
    competitors = {f"competitors.{c.name}.model": c.model for c in arena.competitors if arena.mines(c.name)}
    return competitors | {"embedding.model": arena.embedding.model}


def not_cached(arena: Arena) -> list[str]:
    """One line for the embedding model and one for the competitors that the hub's cache lacks, if the hub cannot be used."""
    lines, embedding = [], arena.embedding
    lacking = [c for c in arena.competitors if arena.mines(c.name) and lacks(c.model, c.revision)]
    if lacks(embedding.model, embedding.revision) and (reason := hub.unreachable()):
        lines.append(
            f"embedding.model: expected a local folder, or a hub: its cache lacks {embedding.model}, and {reason}"
            + embedder_here()
        )
    if lacking and (reason := hub.unreachable()):
        names = ", ".join(dict.fromkeys(c.model for c in lacking))
        key = f"competitors.{lacking[0].name}.model"
        lines.append(f"{key}: expected local folders, or a hub: its cache lacks {names}, and {reason}")
    return lines


def embedder_here() -> str:
    """Advice to use the embedding model in ./models, where the set-up makes one; empty without it."""
    found = sorted(Path("models").glob("*/modules.json"))  # a file that every model of sentence-transformers has
    return f"; {found[0].parent.resolve()} is one on this machine: write its path" if found else ""


def lacks(model: str, revision: str | None) -> bool:
    """Whether a model comes from the hub, and its cache does not have it."""
    return not is_local(model) and not cached_commit(model, revision)


def cached_commit(model: str, revision: str | None) -> str:
    """The commit at which the hub's cache has a model; empty if it does not have it."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(model, "config.json", revision=revision)
    return Path(path).parent.name if isinstance(path, str) else ""


def unpromptable(arena: Arena, also_of_a_hub: bool = False) -> dict[str, str]:
    """Why competitors with a local model cannot be prompted, by their names. Loads tokenizers, which takes seconds."""
    found = {}
    for competitor in arena.competitors:
        try:
            if is_local(competitor.model) or (also_of_a_hub and arena.mines(competitor.name)):
                for purpose in PURPOSES:
                    load_competitor(arena, competitor.name, purpose)
        except CompetitorFailed as error:
            found[competitor.name] = str(error)
    return found


def unreadable(reference: ReferenceSet) -> str:
    """Why a reference set cannot be read; empty if it can."""
    try:
        texts_of(reference)
    except ValueError as error:
        return str(error)
    return ""


def no_isolation(arena: Arena) -> list[str]:
    """One line if the arena runs generated code and this machine has none of the isolation levels that the arena allows, or one
    for each of its modules that cannot be imported in isolation.
    """
    if not arena.runs_tests:
        return []
    modules = arena.execution.modules
    levels = ALLOWED_LEVELS[arena.execution.isolation]
    try:
        best_level(levels)
        if not modules:
            return []
        imports = Program("modules", "", tuple(f"import {module}" for module in modules))
        (result,) = run_all([imports], limits(arena.execution), levels=levels, workers=1)
    except IsolationError as error:
        return [f"execution.isolation: {error}"]
    except ModuleMissing:
        return []  # `missing_here` names it
    found = zip(modules, result.reasons, strict=True)
    return [
        f"execution.modules: {module} cannot be imported within execution.seconds and memory_mib: {reason}"
        for module, reason in found
        if reason
    ]


def tight_contexts(arena: Arena) -> list[str]:
    """One line for each competitor whose context may be too short for the longest battle, so that it would abstain."""
    answer = max(arena.answer_sampling(c).max_tokens for c in arena.competitors)
    verdict = arena.battles.verdict_tokens
    longest = arena.mining.max_tokens + 2 * answer + verdict
    return [
        f"competitors.{c.name}: max_model_len {context} may be too short for the longest battle:"
        f" an instruction of {arena.mining.max_tokens} tokens, two answers of {answer}, a verdict of {verdict}"
        for c in arena.competitors
        if (context := arena.server(c).max_model_len) and context < longest
    ]
