"""Which instructions of the warehouse are left after each stage, and why the others are not."""

from collections import Counter

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.matchups import matchup_keys
from warrior_dagster.warehouse.tables import WHOLE, Warehouse


def funnel_stages(arena: Arena, warehouse: Warehouse) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """The frames and reasons that `stages.funnel` takes, of the present roster. Raises LookupError as Warehouse.read does."""
    roster = arena.roster
    mined = warehouse.read("mined_instructions", roster, ["competitor", "status"])
    unique = warehouse.read("unique_instructions", roster, ["competitor", "kept"])
    rated = warehouse.read("instruction_difficulty", roster, ["competitor", "kept"])
    selected = warehouse.read("selected_instructions", roster, ["competitor", "instruction_id"])
    outcomes = warehouse.read("battle_outcomes", matchup_keys(roster), ["instruction_id", "outcome"])
    fought = outcomes.drop_nulls("outcome")
    dropped = Counter(mined.filter(pl.col("status") != "ok")["status"].to_list())
    stages = {
        "mined": mined,
        "usable": mined.filter(status="ok"),
        "unique": unique.filter("kept"),
        "difficult enough": rated.filter("kept"),
        "selected": selected,
        "fought over": selected.join(fought, on="instruction_id", how="semi"),
    }
    if "sft" in arena.export.formats:
        exported = warehouse.read("sft_dataset", [WHOLE], ["attacker"])
        stages["exported (sft)"] = exported.select(competitor="attacker")
    reasons = {
        "usable": ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in dropped.most_common()),
        "unique": f"near duplicates from {arena.deduplication.threshold:g} on",
        "difficult enough": f"scored below {arena.difficulty.keep:g}, or not at all",
        "selected": f"beyond {arena.selection.centres} centres a competitor",
        "fought over": "no two usable answers",
        "exported (sft)": "the gold answer was cut off at the token limit, or a benchmark is in the row",
    }
    return stages, reasons
