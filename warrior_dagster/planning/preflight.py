"""Checks of this machine before a run: models, files, API keys, isolation, context lengths."""

import os
from pathlib import Path

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import is_local
from warrior_dagster.sandbox.isolation import ALLOWED_LEVELS, IsolationError
from warrior_dagster.sandbox.probing import best_isolation


def missing_here(arena: Arena) -> list[str]:
    """One line for each missing model folder, file or API key."""
    named = [(f"competitors.{c.name}.model", c.model) for c in arena.competitors if arena.mines(c.name)]
    named.append(("embedding.model", arena.embedding.model))
    missing = [
        f"{key}: expected a model folder with config.json, or a hub id; {model} is neither"
        for key, model in named
        if is_local(model) and not (Path(model) / "config.json").is_file()
    ]
    missing += [
        f"{key}.{r.name}.source: expected a file; none exists at {r.source}"
        for key, sets in (("analysis.references", arena.analysis.references), ("export.benchmarks", arena.export.benchmarks))
        for r in sets
        if is_local(r.source) and not Path(r.source).is_file()
    ]
    serving = [(f"competitors.{c.name}.serve", c.serve) for c in arena.competitors] + [("engine.serve", arena.engine.serve)]
    for key, serve in serving:
        if serve and serve.api_key_env and not os.environ.get(serve.api_key_env, "").strip():
            missing.append(f"{key}.api_key_env: expected the environment variable {serve.api_key_env}; it is not set")
    return missing


def no_isolation(arena: Arena) -> list[str]:
    """One line if the arena runs generated code and this machine has none of the isolation levels that the arena allows."""
    try:
        if arena.runs_tests:
            best_isolation(ALLOWED_LEVELS[arena.execution.isolation])
    except IsolationError as error:
        return [f"execution.isolation: {error}"]
    return []


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
