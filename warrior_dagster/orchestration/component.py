"""An arena as a component of somebody's own Dagster project: the attributes of its defs.yaml are the arena's own keys.

The schema is the arena's, so that `dg check yaml` names a wrong key with file and line, and the assets are those of an arena
that has a code location to itself. What belongs to a whole project stays with it: its executor, and which runs it keeps.
"""

import os
from typing import Any, Self

import dagster as dg
from dagster.components.component_scaffolding import scaffold_component
from pydantic import BaseModel

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import located
from warrior_dagster.orchestration.definitions import arena_definitions

FIRST = {
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": "apache-2.0",
    "deepseek-ai/deepseek-coder-1.3b-instruct": "deepseek",
    "01-ai/Yi-Coder-1.5B-Chat": "apache-2.0",
}
"""The competitors that a new arena starts with: three small code models, and their licences."""


class ArenaScaffolder(dg.Scaffolder):
    """Writes a defs.yaml that is an arena already: named like its folder, its tables in the project's `data`."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        competitors = [
            {"name": model.split("/")[1].lower(), "model": model, "licence": licence} for model, licence in FIRST.items()
        ]
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
        """The arena of a defs.yaml, its relative paths seen from that file's folder and its templates filled in.

        Raises DagsterInvalidDefinitionError where there are no attributes, ValidationError where a filled-in value is wrong.
        """
        if attributes is None:
            raise dg.DagsterInvalidDefinitionError(f"{context.path}: expected the keys of an arena below `attributes`")
        values = filled_in(attributes.model_dump(exclude_unset=True), context.resolution_context.at_path("attributes"))
        return cls(located(Arena.model_validate(values), context.path))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The assets, checks, sensors and resources of the arena. Raises DagsterInvalidDefinitionError beside another arena."""
        names = [other.arena.name for other in context.component_tree.get_all_components(ArenaComponent)]
        if len(names) > 1:
            raise dg.DagsterInvalidDefinitionError(
                f"expected one arena in a project, whose assets are called the same in each; found {', '.join(names)}."
                " Give each a project, and so a code location, of its own."
            )
        return arena_definitions(self.arena)


def filled_in(value: Any, context: dg.ResolutionContext) -> Any:
    """A value with Dagster's templates, such as {{ env.X }}, filled in.

    Other text stays as it is: Dagster would cut a prompt's last line break, and take a name of digits for a number.
    """
    if isinstance(value, dict):
        return {key: filled_in(one, context.at_path(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [filled_in(one, context.at_path(i)) for i, one in enumerate(value)]
    return context.resolve_value(value) if isinstance(value, str) and "{{" in value else value
