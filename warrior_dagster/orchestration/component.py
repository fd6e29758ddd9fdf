"""An arena as a component of another Dagster project: the attributes of its defs.yaml are the arena's keys.

With several arenas in a project, the names of their assets, jobs, sensors and resources start with the arena's name. The
project chooses its executor, and which runs it keeps.
"""

import os
from typing import Any, Self

import dagster as dg
from pydantic import BaseModel

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import located
from warrior_dagster.materialization.dagster_internals import scaffold_component
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.orchestration.definitions import arena_definitions, conflict_of

FIRST = {
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": "apache-2.0",
    "deepseek-ai/deepseek-coder-1.3b-instruct": "deepseek",
    "01-ai/Yi-Coder-1.5B-Chat": "apache-2.0",
}
"""The competitors of a new arena: three small code models, and their licenses."""


class ArenaScaffolder(dg.Scaffolder):
    """Writes a defs.yaml with a complete arena, named after its folder, with its tables in the project's `data`."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        competitors = [{"name": model.split("/")[1].lower(), "model": model, "license": name} for model, name in FIRST.items()]
        name, folder = request.target_path.name, request.target_path
        warehouse = os.path.relpath((request.project_root or folder) / "data" / name, folder)
        scaffold_component(request, {"name": name, "warehouse": warehouse, "competitors": competitors})


@dg.scaffold_with(ArenaScaffolder)
class ArenaComponent(dg.Component):
    """An arena: code LLMs battle, and SFT, DPO and KTO data sets come out (the WarriorCoder method)."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The schema of the attributes."""
        return Arena

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """The arena of a defs.yaml, with templates filled in and paths relative to that file's folder.

        Raises DagsterInvalidDefinitionError without attributes, and ValidationError if a filled-in value is wrong.
        """
        if attributes is None:
            raise dg.DagsterInvalidDefinitionError(f"{context.path}: expected the keys of an arena below `attributes`")
        values = filled_in(attributes.model_dump(exclude_unset=True), context.resolution_context.at_path("attributes"))
        return cls(located(Arena.model_validate(values), context.path))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The arena's assets, checks, sensors and resources. Raises DagsterInvalidDefinitionError on a conflict."""
        arenas = [other.arena for other in context.component_tree.get_all_components(ArenaComponent)]
        if conflict := conflict_of(arenas):
            raise dg.DagsterInvalidDefinitionError(conflict)
        return arena_definitions(Scope(self.arena, self.arena.name if len(arenas) > 1 else ""))


def filled_in(value: Any, context: dg.ResolutionContext) -> Any:
    """A value with Dagster's templates, such as {{ env.X }}, filled in.

    Other text is kept: Dagster would strip a prompt's last line break, and read a name of digits as a number.
    """
    if isinstance(value, dict):
        return {key: filled_in(one, context.at_path(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [filled_in(one, context.at_path(i)) for i, one in enumerate(value)]
    return context.resolve_value(value) if isinstance(value, str) and "{{" in value else value
