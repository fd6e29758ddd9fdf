"""A request to a model, its completions, and the permanent key of a completion.

The key is a hash of model identity, rendered prompt, sampling parameters and sample number (see docs/architecture.md). No seed
is sent: results are repeatable because of the ledger, and a seeded request can crash vLLM's CPU engine.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Competitor, Sampling, Server
from warrior_dagster.inference.identity import stored_identity

if TYPE_CHECKING:
    from warrior_dagster.inference.reasoning import ReplyFormat


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Weights and where they are served. Competitors with the same served model share one running engine."""

    identity: str
    model: str
    revision: str | None
    serve: Server


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt and the numbers of its samples; `tag` is for the stage that made it and not part of the key.

    `frame_stops` are further stop tokens. They follow from the model and its template, and are not part of the key, so that
    completions of versions that did not send them stay valid. `format` divides the reply; None leaves it whole. `refused` says
    why the request must not be sent; it is then the error of each sample.
    """

    model: ServedModel
    prompt: str
    params: str
    samples: tuple[int, ...] = (0,)
    tag: Any = field(default=None, compare=False)
    frame_stops: tuple[int, ...] = field(default=(), compare=False)
    format: "ReplyFormat | None" = field(default=None, compare=False)
    refused: str = field(default="", compare=False)

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
    reasoning: str | None = None  # once `reasoning.answer_of` has divided the text; the ledger has both as one text


def params(
    sampling: Sampling,
    *,
    stop_token_ids: Sequence[int] = (),
    stop: Sequence[str] = (),
    choice: Sequence[str] = (),
    logprobs: int | None = None,
    special_tokens: bool = False,
) -> str:
    """Sampling parameters as canonical JSON, with the names of vLLM's completions endpoint.

    Top-k, min-p and the repetition penalty are always given, because a server may have other defaults. `special_tokens` keeps
    those in the text.
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
    if special_tokens:
        values["skip_special_tokens"] = False
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def served_model(arena: Arena, competitor: Competitor) -> ServedModel:
    """A competitor's model and where it is served. Raises FileNotFoundError and ValueError as `stored_identity` does."""
    identity = stored_identity(arena, competitor)
    return ServedModel(identity, competitor.model, competitor.revision, arena.server(competitor))
