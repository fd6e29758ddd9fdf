"""Mined instructions, for the tests of this folder."""

import polars as pl

ROSTER = ["zed", "ann", "bob"]


def mined(texts: dict[str, list[str]]) -> pl.DataFrame:
    rows = [
        {
            "row_id": f"{name}{n}", "instruction_id": f"{name}{n}", "competitor": name, "language": "Python",
            "temperature": 1.0, "top_p": 0.9, "sample": n, "status": "ok" if text else "empty", "instruction": text,
            "completion_key": "k",
        }
        for name, own in texts.items() for n, text in enumerate(own)
    ]  # fmt: skip
    return pl.DataFrame(rows)
