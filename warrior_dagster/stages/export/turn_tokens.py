"""Turn tokens in what is trained on: a trainer that reads `<|im_end|>` inside an answer as a special token ends the turn there.

The template of the model that will be trained is unknown, so these are the tokens of all known families of templates.
"""

import polars as pl

from warrior_dagster.turn_tokens import ANGLED, SQUARE


def trained_on(rows: pl.DataFrame) -> list[str]:
    """The columns of a data set with lists of messages."""
    return [name for name, kind in rows.schema.items() if isinstance(kind, pl.List) and isinstance(kind.inner, pl.Struct)]


def rows_with_turn_tokens(rows: pl.DataFrame) -> int:
    """How many rows of a data set have a turn token in a message."""
    content = pl.element().struct.field("content")
    found = [pl.col(name).list.eval(content.str.contains(f"{ANGLED}|{SQUARE}")).list.any() for name in trained_on(rows)]
    return rows.filter(pl.any_horizontal(found)).height


def neutralised(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of a data set without turn tokens in messages."""
    content = broken(pl.field("content"))
    return rows.with_columns(pl.col(name).list.eval(pl.element().struct.with_fields(content)) for name in trained_on(rows))


def broken(text: pl.Expr) -> pl.Expr:
    """A text with a space before the last character of each turn token, as in prompts: no tokenizer takes it for one."""
    return text.str.replace_all(ANGLED, "$1 >").str.replace_all(SQUARE, "$1 ]")
