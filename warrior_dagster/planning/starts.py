"""How many times a run starts each model's engine, and how long a start takes.

One engine runs at a time. A stage begins with the model that runs, and then takes the others in the order of the roster; so
three models cost three starts in the first stage, and two in each later one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import VllmServer
from warrior_dagster.planning.hardware import hardware_of
from warrior_dagster.planning.model_size import parameters
from warrior_dagster.planning.plan import StagePlan
from warrior_dagster.stages.curation.assets import instruction_difficulty

ON_GPU, ON_CPU, EAGER_CPU = 60.0, 130.0, 40.0
"""Seconds of a start: of vLLM on an H100 (66 measured), on two cores (130), and there with enforce_eager (37)."""
EAGER_SHARE = 0.5
"""The part of a GPU's start that is left with enforce_eager."""
PARAMETERS_PER_SECOND = 5e8
"""How fast weights are loaded: a gigabyte a second, with two bytes a parameter."""


def engine_starts(arena: Arena, stages: Sequence[StagePlan], asked: Mapping[tuple[str, str], int]) -> Counter[tuple[str, str]]:
    """The starts of a run of the whole arena by stage and model; `asked` has the completions that each is asked for.

    Settings apart from the model are not told apart: a model that is served in two ways counts as one.
    """
    models = list(dict.fromkeys(one.model for one in arena.competitors))
    starts, running = Counter[tuple[str, str]](), ""
    for stage in stages:
        needed = [model for model in models if asked[stage.table.name, model]]
        for _ in range(passes(arena, stage)):
            for model in sorted(needed, key=running.__ne__):
                if model != running and arena.server_of(model).loads_weights:
                    starts[stage.table.name, model] += 1
                running = model
        if stage.table is instruction_difficulty and embedder_takes_the_gpu(arena):
            running = ""
    return starts


def passes(arena: Arena, stage: StagePlan) -> int:
    """How often a stage goes through its models: twice where the topic of instructions is asked for first."""
    return 2 if stage.table is instruction_difficulty and arena.difficulty.off_topic == "drop" else 1


def embedder_takes_the_gpu(arena: Arena) -> bool:
    """Whether engines stop before instructions are embedded and selected."""
    return any(hardware_of(s).gpus for one in arena.competitors if isinstance(s := arena.server(one), VllmServer))


def seconds_of_a_start(arena: Arena, model: str) -> float:
    """How long a start takes by the rule of thumb; 0 for servers that are not started."""
    server = arena.server_of(model)
    if not isinstance(server, VllmServer):
        return 0.0
    loading = (parameters(model) or 0.0) / PARAMETERS_PER_SECOND
    if hardware_of(server).gpus:
        return loading + ON_GPU * (EAGER_SHARE if server.enforce_eager else 1.0)
    return loading + (EAGER_CPU if server.enforce_eager else ON_CPU)
