"""How fast each model reads prompts and writes completions: as measured, else as the YAML says, else by a rule of thumb."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import ChatService, RemoteServer
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning.hardware import READING, hardware_of, writes
from warrior_dagster.planning.model_size import in_words, parameters
from warrior_dagster.planning.quantities import rate

IDLE_SECONDS = 60.0
"""After a longer gap between completions the model was idle."""
NEWEST = 200_000
"""The completions that speeds are measured on."""
BATCHES = 2
"""The fewest completions that show a speed, as a multiple of those in flight: the first of these come at once."""

Parameters = tuple[str, str]
"""A model's identity and sampling parameters, as in the ledger."""


class Pace(NamedTuple):
    """The tokens that all servers of a model read and write in a second."""

    prompt: float
    completion: float
    rough: bool = False
    """Whether it is a rule of thumb."""

    def seconds(self, prompt_tokens: float, completion_tokens: float) -> float:
        """How long these tokens take."""
        return prompt_tokens / self.prompt + completion_tokens / self.completion

    def __str__(self) -> str:
        return f"reading {rate(self.prompt)} and writing {rate(self.completion)} tokens/s"


class Measured(NamedTuple):
    """What a model did in the time between its completions."""

    completions: int
    seconds: float
    prompt_tokens: int
    completion_tokens: int

    def pace(self, in_flight: int) -> Pace | None:
        """None if it did too little to tell. A token of a prompt counts as READING says."""
        done = self.prompt_tokens / READING + self.completion_tokens
        if self.completions < BATCHES * in_flight or self.seconds <= 0 or not done:
            return None
        return Pace(READING * done / self.seconds, done / self.seconds)


def measured(ledger: LedgerReader) -> dict[Parameters, Measured]:
    """What the ledger's newest rows show, without idle times. Raises LedgerError."""
    rows = ledger.newest(NEWEST, ["model", "params", "created_at", "prompt_tokens", "completion_tokens"]).sort("created_at")
    gaps = rows.with_columns(gap=pl.col("created_at").diff().dt.total_microseconds().over("model") / 1e6)
    busy = gaps.filter(pl.col("gap") <= IDLE_SECONDS).group_by("model", "params", maintain_order=True)
    sums = busy.agg(pl.len(), *(pl.col(name).sum() for name in ("gap", "prompt_tokens", "completion_tokens")))
    return {(model, params): Measured(*values) for model, params, *values in sums.iter_rows()}


def pace_of(
    arena: Arena, model: str, asked: Iterable[Parameters], identities: Iterable[str], found: Mapping[Parameters, Measured]
) -> tuple[Pace | None, str]:
    """The pace of a model where it is asked so, and its basis; None if it is unknown, with what would say it.

    `found` is first looked through for the same parameters, then for any of the model's `identities`.
    """
    server = arena.server_of(model)
    copies = len(server.urls) if isinstance(server, RemoteServer) else 1
    own = [found[one] for one in asked if one in found]
    names = set(identities)
    of_model = [one for (identity, _), one in found.items() if identity in names]
    for several in (own, of_model):
        if several and (pace := Measured(*map(sum, zip(*several, strict=True))).pace(copies * arena.engine.max_in_flight)):
            return pace, f"speed: as measured so far, {pace}"
    if server.speed:
        pace = Pace(server.speed.prompt * copies, server.speed.completion * copies)
        return pace, f"speed: as the YAML says, {pace}"
    if isinstance(server, ChatService):
        return None, "speed: unknown until it is measured; set `speed` in its `serve`"
    if not (size := parameters(model)):
        return None, "speed: unknown; neither a folder nor its name says how large the model is; set `speed` in its `serve`"
    hardware = hardware_of(server)
    one = writes(hardware, size)
    pace = Pace(one * READING * copies, one * copies, rough=True)
    servers = f"{copies} servers of " if copies > 1 else ""
    return pace, f"speed: rule of thumb: {in_words(size)} parameters on {servers}{hardware}, {pace}"
