"""The one way in which a table becomes a Dagster asset: everything that can be derived from its description is derived here."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import dagster as dg

from warrior_dagster.materialization.code_versions import code_version
from warrior_dagster.materialization.column_lineage import ORIGINS
from warrior_dagster.materialization.partitions import Scope
from warrior_dagster.materialization.table import Table

OWNERS = ["team:warrior"]
FEW_FAILED = "few_failed_requests"
POOL = "engine"
"""What uses a GPU waits its turn in this pool."""

Compute = Callable[..., dg.MaterializeResult]


def table_asset(
    scope: Scope,
    table: Table,
    *,
    reads: Mapping[str, str],
    settings: Iterable[Any] = (),
    origins: Mapping[str, Any],
    kinds: Collection[str] = ("polars", "lancedb"),
    uses_gpu: bool = False,
    code: Sequence[ModuleType] = (),
    checks: Sequence[dg.AssetCheckSpec] = (),
) -> Callable[[Compute], dg.AssetsDefinition]:
    """A decorator: the asset that fills a table.

    The function takes the context and the resources that it names (`warehouse`, `engines`, `ledger`); its docstring is what the
    UI shows. Its `warehouse` refuses to read other tables than `reads` and its own.

    Args:
        scope: the arena.
        table: what is filled. A table with requests asks models.
        reads: the tables that are read, each with how its partitions are (SAME, EARLIER, BOTH_SIDES, EVERYONE).
        settings: the part of the arena that the rows depend on, for the code version.
        origins: the result of `origins`, where columns come from.
        kinds: tags in the UI, where no model is asked.
        uses_gpu: waits for the engine pool though it asks no model.
        code: modules that the rows depend on and that the function does not name.
        checks: checks whose results the function returns.
    """
    asks = table.requests is not None

    def decorate(compute: Compute) -> dg.AssetsDefinition:
        resources = list(inspect.signature(compute).parameters)[1:]

        def step(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            given = {name: getattr(context.resources, scope.name(name)) for name in resources}
            given["warehouse"] = given["warehouse"].for_step(table.name, table.columns_in(scope.arena), reads)
            return compute(context, **given)

        return dg.asset(
            key=scope.key(table.name),
            description=inspect.cleandoc(compute.__doc__ or ""),
            group_name=scope.name(table.asset_group),
            owners=OWNERS,
            kinds={"vllm", "lancedb"} if asks else set(kinds),
            partitions_def=scope.partitions_of(table.partitioned_by),
            backfill_policy=dg.BackfillPolicy.single_run() if scope.partitions_of(table.partitioned_by) else None,
            pool=POOL if asks or uses_gpu else None,
            deps=[dg.AssetDep(scope.key(name), partition_mapping=scope.mapping(how)) for name, how in reads.items()],
            required_resource_keys={scope.name(name) for name in resources},
            code_version=code_version(compute, settings, code),
            metadata={**origins, READS: sorted(reads)},
            check_specs=[*([dg.AssetCheckSpec(FEW_FAILED, asset=scope.key(table.name))] if asks else []), *checks],
        )(step)

    return decorate


READS = "reads"
"""The metadata that names the tables that an asset reads."""
__all__ = ["FEW_FAILED", "ORIGINS", "OWNERS", "READS", "table_asset"]
