"""Finds the completions of model folders under the identity that earlier versions gave them, when more files counted."""

import json
import os
from pathlib import Path

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import is_local
from warrior_dagster.inference.identity import RECORDED, earlier_folder_identity, folder_identity, recorded
from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.warehouse.locks import opened
from warrior_dagster.warehouse.state import local_folder


def with_earlier_folders(arena: Arena, ledger: LedgerReader) -> Arena:
    """The arena, which adopts what the ledger has of its folders under their earlier identities. Raises LedgerError.

    These need nobody's decision: the earlier hash is over all files, so it is of the same model.
    """
    return arena.model_copy(update={"adopted": earlier_folders(arena, ledger) | arena.adopted})


def record_earlier_folders(arena: Arena, ledger: LedgerReader) -> None:
    """Record these identities in the warehouse's folder: they cannot be found again once another file is added."""
    if found := earlier_folders(arena, ledger):
        path = local_folder(arena.warehouse) / RECORDED
        unfinished = Path(f"{path}.{os.getpid()}")
        with open(unfinished, "w", encoding="utf-8", opener=opened) as file:
            json.dump(recorded(arena.warehouse) | found, file, indent=2)
        unfinished.rename(path)


def earlier_folders(arena: Arena, ledger: LedgerReader) -> dict[str, str]:
    """The earlier identity of each folder whose completions are under that one alone, by identity."""
    changed = dict[str, str]()
    for competitor in arena.competitors:
        if is_local(competitor.model) and (Path(competitor.model) / "config.json").is_file():
            now, earlier = folder_identity(competitor.model), earlier_folder_identity(competitor.model)
            suffix = arena.server(competitor).identity_suffix
            if now != earlier and now + suffix not in recorded(arena.warehouse):
                changed[now + suffix] = earlier + suffix
    stored = ledger.models() if changed else {}
    return {now: earlier for now, earlier in changed.items() if earlier in stored and now not in stored}
