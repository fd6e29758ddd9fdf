"""Which columns each column of an asset is made from: declared beside the asset, recorded with every materialization."""

from collections.abc import Callable, Collection, Iterable, Mapping

import dagster as dg

SAME_NAME = "columns of the same name"


def origins(copied_from: str = "", **columns: str) -> dict[str, str]:
    """Where the columns of a table come from.

    Args:
        copied_from: the table whose columns are passed through: each column of the same name is that column, if not listed.
        **columns: for a column, the `table.column`s that its values are made from, separated by spaces; "" for none.

    A column that is neither listed nor copied comes from no table: from a model, or from the arena's file.
    """
    return ({SAME_NAME: copied_from} if copied_from else {}) | columns


def column_lineage(
    declared: Mapping[str, str],
    columns: Iterable[str],
    columns_of: Callable[[str], Iterable[str]],
    key: Callable[[str], dg.AssetKey],
    reads: Collection[str],
) -> dg.TableColumnLineage:
    """The lineage of a table's columns, as `origins` declares it.

    Args:
        declared: the result of `origins`.
        columns: the columns that the table has.
        columns_of: gives the columns of another table.
        key: gives the asset of another table.
        reads: the tables that the asset reads in this arena; what is declared of others is left out.

    Raises ValueError for a declared column that the table does not have.
    """
    columns, copied_from = list(columns), declared.get(SAME_NAME, "")
    if unknown := set(declared) - {*columns, SAME_NAME}:
        raise ValueError(f"origins of unknown columns: {', '.join(sorted(unknown))}; the table has {', '.join(columns)}")
    copied = set(columns_of(copied_from)) if copied_from else set()
    found = {}
    for column in columns:
        listed = declared.get(column, f"{copied_from}.{column}" if column in copied else "")
        pairs = [one.split(".") for one in listed.split()]
        found[column] = [dg.TableColumnDep(key(table), of) for table, of in pairs if table in reads]
    return dg.TableColumnLineage(found)
