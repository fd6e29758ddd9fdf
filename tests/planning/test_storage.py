"""Bytes on disk are estimated by a rule until a warehouse holds enough to measure."""

from pathlib import Path
from typing import Any

import polars as pl

from warrior_dagster.planning.storage import LEAST, Storage, by_rule, storage_of


class Ledger:
    """In place of a ledger: completions of two tokens to prompts of three."""

    def __init__(self, count: int) -> None:
        self.count = count

    def models(self) -> dict[str, int]:
        return {"m": self.count}

    def newest(self, _: int, columns: list[str]) -> pl.DataFrame:
        return pl.DataFrame({columns[0]: [3] * self.count, columns[1]: [2] * self.count})


def of(warehouse: Any, count: int) -> Storage:
    ledger: Any = Ledger(count)
    return storage_of(str(warehouse), ledger)


def test_what_a_warehouse_takes_scales_the_rule(tmp_path: Path) -> None:
    size = 2 * by_rule(LEAST, 3 * LEAST, 2 * LEAST)
    (tmp_path / "ledger.lance" / "data").mkdir(parents=True)
    (tmp_path / "ledger.lance" / "data" / "x.lance").write_bytes(b"\0" * size)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "vllm.log").write_bytes(b"\0" * size)
    assert of(tmp_path, LEAST) == Storage(2.0)
    assert of(tmp_path, LEAST).bytes(LEAST, 3 * LEAST, 2 * LEAST) == size


def test_few_completions_and_object_stores_are_not_measured(tmp_path: Path) -> None:
    assert of(tmp_path, LEAST - 1) == of("s3://bucket/arena", 10 * LEAST) == Storage()
    assert Storage().bytes(0, 0, 0) == 0
