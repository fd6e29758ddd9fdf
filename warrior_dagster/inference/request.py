"""A request to a model, its completions, and the permanent key of a completion.

The key is a hash of model identity, rendered prompt, sampling parameters and sample number (see docs/architecture.md). No seed
is sent: results are repeatable because of the ledger, and a seeded request can crash vLLM's CPU engine.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import ChatService, Competitor, Sampling, Server, is_local

SAMPLED_BYTES = 1 << 16
SAMPLED_BLOCKS = 64


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Weights and where they are served. Competitors with the same served model share one running engine."""

    identity: str
    model: str
    revision: str | None
    serve: Server


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and the numbers of its samples; `tag` is for the stage that made it and not part of the key."""

    model: ServedModel
    prompt: str
    params: str
    samples: tuple[int, ...] = (0,)
    tag: Any = field(default=None, compare=False)

    _keys: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def keys(self) -> list[str]:
        """The ledger key of each sample: 32 hexadecimal digits."""
        if not self._keys:
            common = blake2b(digest_size=16)
            for part in (self.model.identity, self.prompt, self.params):
                encoded = part.encode("utf-8", "surrogatepass")
                common.update(len(encoded).to_bytes(8, "little") + encoded)
            for sample in self.samples:
                digest = common.copy()
                digest.update(sample.to_bytes(8, "little"))
                self._keys.append(digest.hexdigest())
        return self._keys


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's text for one sample of a request, or the error."""

    key: str
    sample: int
    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprobs: dict[str, float] | None = None  # natural log-probabilities of the likeliest first tokens, if they were requested
    error: str | None = None
    attempts: int = 1


def params(
    sampling: Sampling,
    *,
    stop_token_ids: Sequence[int] = (),
    stop: Sequence[str] = (),
    choice: Sequence[str] = (),
    logprobs: int | None = None,
) -> str:
    """Sampling parameters as canonical JSON, with the names of vLLM's completions endpoint.

    Top-k, min-p and the repetition penalty are always given, because a server may have other defaults.
    """
    values: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }
    if stop_token_ids:
        values["stop_token_ids"] = list(stop_token_ids)
    if stop:
        values["stop"] = list(stop)
    if choice:
        values["structured_outputs"] = {"choice": list(choice)}
    if logprobs is not None:
        values["logprobs"] = logprobs
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def served_model(arena: Arena, competitor: Competitor) -> ServedModel:
    serve = arena.server(competitor)
    if isinstance(serve, ChatService):  # neither weights nor a revision are known: its name is its identity
        return ServedModel(f"{serve.served_model or competitor.model}@chat", competitor.model, None, serve)
    identity = (
        folder_identity(competitor.model)
        if is_local(competitor.model)
        else f"{competitor.model}@{competitor.revision or 'main'}"
    )
    return ServedModel(identity + serve.identity_suffix, competitor.model, competitor.revision, serve)


@cache
def folder_identity(folder: str) -> str:
    """A hash of a local model's files, not of their folder. Raises FileNotFoundError without a config.json.

    Of files above 4 MiB, the size and 64 evenly spaced blocks of 64 KiB are hashed: reading 140 GB would take minutes at every
    start, and training changes nearly every weight.
    """
    root = Path(folder)
    if not (root / "config.json").is_file():
        raise FileNotFoundError(f"{folder}: expected a model folder with config.json")
    digest = sha256()
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if not path.is_file() or path.name == "README.md" or any(part.startswith(".") for part in relative.parts):
            continue
        size = path.stat().st_size
        digest.update(f"{relative.as_posix()}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= SAMPLED_BYTES * SAMPLED_BLOCKS:
                digest.update(file.read())
            else:
                for block in range(SAMPLED_BLOCKS):
                    file.seek(block * (size - SAMPLED_BYTES) // (SAMPLED_BLOCKS - 1))
                    digest.update(file.read(SAMPLED_BYTES))
    return f"local@{digest.hexdigest()[:32]}"
