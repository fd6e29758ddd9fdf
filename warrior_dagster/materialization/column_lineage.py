"""Where each column of an asset comes from: declared beside the asset, and told to Dagster whenever it is materialized."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dagster as dg

ORIGINS = "column_origins"
SAME_NAME = "columns of the same name"


def origins(passes: str = "", **columns: str) -> dict[str, Any]:
    """The metadata of an asset that says where its columns come from.

    Args:
        passes: the asset whose rows are passed on: each column of the same name is that column, unless it is named below.
        **columns: of a column, the `asset.column`s that its values are made from, with spaces between; "" for none of them.

    A column that is neither named nor passed on comes from no asset: from a model, or from the arena's file.
    """
    return {ORIGINS: ({SAME_NAME: passes} if passes else {}) | columns}


def lineage(
    declared: Mapping[str, str], columns: Iterable[str], columns_of: Callable[[str], Iterable[str]]
) -> dg.TableColumnLineage:
    """The lineage of a table's columns, as `origins` declares it; `columns_of` gives the columns that an upstream table has.

    Raises ValueError for a declared column that the table does not have.
    """
    columns, passes = list(columns), declared.get(SAME_NAME, "")
    if unknown := set(declared) - {*columns, SAME_NAME}:
        raise ValueError(f"origins of columns that are not there: {', '.join(sorted(unknown))}; there are {', '.join(columns)}")
    passed = set(columns_of(passes)) if passes else set()
    found = {}
    for column in columns:
        named = declared.get(column, f"{passes}.{column}" if column in passed else "")
        pairs = [one.split(".") for one in named.split()]
        found[column] = [dg.TableColumnDep(dg.AssetKey(table), of) for table, of in pairs]
    return dg.TableColumnLineage(found)
