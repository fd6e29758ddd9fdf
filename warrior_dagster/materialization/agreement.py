"""Tables that a step reads together have to be of one selection: otherwise rows would be missing, or too many, unnoticed."""

import polars as pl

from warrior_dagster.config.matchups import matchup_keys, sides


def check_rows(table: str, rows: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Raise LookupError unless a table's rows are exactly those expected, by its columns; the first says whose."""
    on = expected.columns
    missing, extra = expected.join(rows, on=on, how="anti"), rows.select(on).join(expected, on=on, how="anti")
    if whose := sorted({*missing[on[0]], *extra[on[0]]}):
        counts = f"{len(missing)} rows are missing, and {len(extra)} are of instructions or answers that are gone"
        raise LookupError(f"{table}: {counts} ({', '.join(whose)}); materialize {table} first")


def check_columns(table: str, rows: pl.DataFrame, *columns: str) -> None:
    """Raise LookupError if a table was made by an earlier version, which had not all of these columns."""
    if missing := [column for column in columns if column not in rows.columns]:
        raise LookupError(f"{table}: an earlier version made it, without {', '.join(missing)}; materialize {table} first")


def check_answers(answers: pl.DataFrame, selected: pl.DataFrame, roster: list[str]) -> None:
    """Raise LookupError unless every competitor has an answer, usable or not, to each selected instruction and to no other."""
    everybody = pl.DataFrame({"competitor": roster}, schema={"competitor": pl.String})
    check_rows("answers", answers, everybody.join(selected.select("instruction_id"), how="cross"))


def check_outcomes(outcomes: pl.DataFrame, selected: pl.DataFrame, roster: list[str], which: str) -> None:
    """Raise LookupError unless every matchup has an outcome for each instruction that it battles on, and for no other.

    `which` is the arena's battles.instructions.
    """
    battles = pl.concat(
        selected.filter(pl.lit(which == "all") | pl.col("competitor").is_in(sides(m))).select(
            pl.lit(m).alias("partition"), "instruction_id"
        )
        for m in matchup_keys(roster)
    )
    check_rows("battle_outcomes", outcomes, battles)
