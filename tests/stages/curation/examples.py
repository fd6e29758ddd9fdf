"""Mined instructions, for the tests of this folder."""

import polars as pl

ROSTER = ["zed", "ann", "bob"]


def mined(texts: dict[str, list[str]], languages: tuple[str, ...] = ("Python",)) -> pl.DataFrame:
    """One row for each text of a competitor, mined for the languages in turn."""
    rows = [
        {
            "row_id": f"{name}{n}", "instruction_id": f"{name}{n}", "competitor": name,
            "language": languages[n % len(languages)], "temperature": 1.0, "top_p": 0.9, "sample": n,
            "status": "ok" if text else "empty", "instruction": text, "completion_key": "k",
        }
        for name, own in texts.items() for n, text in enumerate(own)
    ]  # fmt: skip
    return pl.DataFrame(rows)
