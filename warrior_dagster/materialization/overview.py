"""What the UI says of an asset, made from what its table declares: what it is, what a partition is, and what it costs."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

from warrior_dagster.config.arena import Arena

if TYPE_CHECKING:
    from warrior_dagster.materialization.table import Table

PARTITIONS = {
    "competitor": "One partition for each competitor.",
    "matchup": "One partition for each matchup, a pair of competitors.",
    "nothing": "It has no partitions.",
}
KIND_OF_SERVER = {"vllm": "vllm", "endpoint": "llm", "chat": "llm"}
"""The tag of assets that ask models, by how these are served."""


def overview(table: "Table", arena: Arena, undrawn: Sequence[str]) -> str:
    """The description of a table's asset, in Markdown. `undrawn` are the tables that it reads without an edge in the graph."""
    reads = f"It also reads {', '.join(undrawn)}, which the graph does not draw: other edges imply it."
    paragraphs = [
        inspect.cleandoc(table.compute.__doc__ or ""),
        f"{PARTITIONS[table.partitioned_by]} {cost(table, arena)}",
        *([reads] if undrawn else []),
    ]
    return "\n\n".join(paragraphs)


def cost(table: "Table", arena: Arena) -> str:
    """What materializing a table takes."""
    it = "it" if table.partitioned_by == "nothing" else "one"
    if table.requests:
        own = all(list(table.requests.asked(arena, one)) == [one] for one in table.partitions(arena))
        whom = "that competitor" if own else "its judges, which are other competitors"
        return f"Materializing {it} sends requests to {whom}; completions that the ledger has are not asked for again."
    if table.runs:
        return f"Materializing {it} runs code of models in the sandbox, on the CPU: no request is sent, and no run repeated."
    if table.uses_gpu:
        return f"Materializing {it} computes on the GPU, or on the CPU if there is none. No request is sent."
    return f"Materializing {it} takes only CPU time: no request is sent, and no code of models is run."


def kinds_of(table: "Table", arena: Arena) -> set[str]:
    """The tags of a table's asset; where it asks models, they say how these are served."""
    if table.requests is None:
        return set(table.kinds)
    asked = {name for one in table.partitions(arena) for name in table.requests.asked(arena, one)}
    return {KIND_OF_SERVER[arena.server(arena.competitor(name)).kind] for name in asked} | {"lancedb"}
