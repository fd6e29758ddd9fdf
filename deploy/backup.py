"""Copies what a server cannot lose, while its runs go on: `python -m deploy.backup FOLDER`, in the services' environment.

FOLDER/2026-11-28T180000/
    arenas/         the files that WARRIOR_ARENA names
    NAME/           the warehouse of the arena NAME: its ledger and its tables
    dagster.dump    runs and events in PostgreSQL, or dagster_home/ with those in SQLite

A Lance table is a set of files that never change and a manifest that names them. So one version of it is copied, which a tag
keeps from being cleaned up meanwhile. Exports and reports are not copied: they are made again without a request. What a
step printed is not copied either.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path

import lance

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import load_arena
from warrior_dagster.inference.ledger.journal import folder_of
from warrior_dagster.inference.ledger.table import table_path
from warrior_dagster.warehouse.locks import file_lock

TAG = "backup"
UNFINISHED = ".unfinished"


def main() -> None:
    """Copy everything to a new folder, and remove the oldest ones. What fails ends the program, and leaves no such folder."""
    parser = argparse.ArgumentParser(prog="python -m deploy.backup", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the copies are, one folder for each")
    parser.add_argument("--keep", type=int, default=7, help="how many copies are kept (7)")
    given = parser.parse_args()
    if not (arenas := os.environ.get("WARRIOR_ARENA")):
        parser.error("expected the arenas' files in WARRIOR_ARENA, separated by colons")
    target = back_up(given.folder, [Path(file) for file in arenas.split(os.pathsep)])
    for old in sorted(copies(given.folder))[: -given.keep]:
        shutil.rmtree(old)
    print(target)


def back_up(folder: Path, arenas: list[Path]) -> Path:
    """Copy the warehouses of some arenas, their files, and Dagster's instance; returns the new folder.

    Raises ValueError if a warehouse is no folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / "backup.lock"):
        for left in folder.glob(f"*{UNFINISHED}"):
            shutil.rmtree(left)
        target = folder / f"{datetime.now():%Y-%m-%dT%H%M%S}"
        unfinished = target.with_name(f"{target.name}{UNFINISHED}")
        (unfinished / "arenas").mkdir(parents=True)
        for file in arenas:
            shutil.copy(file, unfinished / "arenas")
        for name, warehouse in warehouses([load_arena(file) for file in arenas]).items():
            copy_warehouse(warehouse, unfinished / name)
        copy_instance(unfinished)
        unfinished.rename(target)
    return target


def copies(folder: Path) -> Iterator[Path]:
    """The finished copies in a folder."""
    return (one for one in folder.iterdir() if one.is_dir() and not one.name.endswith(UNFINISHED))


def warehouses(arenas: list[Arena]) -> dict[str, Path]:
    """The folder of each warehouse, by the name of its first arena. Raises ValueError if one is an object store."""
    found = dict[str, Path]()
    for arena in arenas:
        if "://" in arena.warehouse:
            raise ValueError(f"{arena.name}: expected a warehouse in a folder; copy {arena.warehouse} by the store's own means")
        if Path(arena.warehouse) not in found.values():
            found[arena.name] = Path(arena.warehouse)
    return found


def copy_warehouse(source: Path, target: Path) -> None:
    """Copy a warehouse. Every completion that was stored before is in the copy, and its tables are those of one moment."""
    target.mkdir()
    # Before the ledger: a completion leaves the journal only when it is in the ledger.
    for file in (*source.glob("*.json"), *folder_of(str(source)).glob("*.jsonl")):
        place = target / file.relative_to(source)
        place.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # its writer has just ended
            shutil.copy(file, place)
    ledger = Path(table_path(str(source)))
    if ledger.exists():
        copy_table(ledger, target)
    with file_lock(source / "locks" / "tables.lock"):  # runs wait before they write a table
        for table in sorted(set(source.glob("*.lance")) - {ledger}):
            copy_table(table, target)


def copy_table(source: Path, target: Path) -> None:
    """Copy the newest version of a table to a folder. Raises OSError if the copy lacks rows."""
    table = lance.dataset(str(source))
    with kept(table):
        copied = table.deep_clone(target / source.name, TAG)
    if (rows := copied.count_rows()) != table.count_rows():
        raise OSError(f"{target / source.name}: expected {table.count_rows()} rows, found {rows}")


@contextmanager
def kept(table: lance.LanceDataset) -> Iterator[None]:
    """Keep a version of a table from being cleaned up. A copy that was killed may have left the tag."""
    if TAG in table.tags.list():
        table.tags.delete(TAG)
    table.tags.create(TAG, table.version)
    try:
        yield
    finally:
        table.tags.delete(TAG)


def copy_instance(target: Path) -> None:
    """Copy Dagster's runs and events: from PostgreSQL if the environment names it, else from SQLite in DAGSTER_HOME."""
    if "DAGSTER_PG_HOST" in os.environ:
        at = {name: os.environ[f"DAGSTER_PG_{name}"] for name in ("HOST", "PORT", "USERNAME", "DB")}
        reached = ["--host", at["HOST"], "--port", at["PORT"], "--username", at["USERNAME"], "--no-password", at["DB"]]
        environment = os.environ | {"PGPASSWORD": os.environ["DAGSTER_PG_PASSWORD"]}
        command = ["pg_dump", "--format=custom", "--file", str(target / "dagster.dump"), *reached]
        subprocess.run(command, check=True, env=environment)
        return
    home = Path(os.environ["DAGSTER_HOME"])
    for file in (*home.glob("*.yaml"), *home.rglob("*.db")):
        place = target / "dagster_home" / file.relative_to(home)
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".db":
            with closing(sqlite3.connect(file)) as own, closing(sqlite3.connect(place)) as copied:
                own.backup(copied)
        else:
            shutil.copy(file, place)


if __name__ == "__main__":
    main()
