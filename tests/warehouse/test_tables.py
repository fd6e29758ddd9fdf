import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import lancedb
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warrior_dagster.warehouse import spool, tables
from warrior_dagster.warehouse.registry import open_table
from warrior_dagster.warehouse.row_hash import rows_sha256
from warrior_dagster.warehouse.tables import Warehouse


def frame(*ids: str, value: float = 1.0) -> pl.DataFrame:
    return pl.DataFrame({"row_id": list(ids), "value": [value] * len(ids)}, schema={"row_id": pl.String, "value": pl.Float64})


def registry_version(folder: Path) -> int:
    """The version of the list of written partitions."""
    return int(lancedb.connect(str(folder)).open_table("_partitions").version)


def test_a_partition_contains_exactly_the_rows_of_its_last_write(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.write("t", "p", frame("a", "b"))
    warehouse.write("t", "q", frame("a"))
    warehouse.write("t", "p", frame("b", "c", value=2.0))
    assert warehouse.read("t", ["p"])["row_id"].to_list() == ["b", "c"]
    assert warehouse.read("t", ["p"])["value"].to_list() == [2.0, 2.0]
    assert warehouse.read("t", ["q"])["row_id"].to_list() == ["a"]
    assert len(warehouse.read("t")) == 3


def test_rows_are_read_by_instruction_with_any_characters_in_the_ids(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    named = ["a", "b'; --", "c", "b'; --"]
    warehouse.write("t", "p", frame(*"wxyz").with_columns(instruction_id=pl.Series(named)))
    warehouse.write("t", "q", frame("w").with_columns(instruction_id=pl.lit("c")))
    read = warehouse.read("t", ["p"], ["instruction_id"], ["b'; --", "c"])
    assert read.select("row_id", "instruction_id").rows() == [("x", "b'; --"), ("y", "c"), ("z", "b'; --")]
    assert len(warehouse.read("t", instructions=["c", "absent"])) == 2


def test_the_same_rows_are_not_written_again_and_keep_their_hash(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    first = warehouse.write("t", "p", frame("a", "b"))
    version = registry_version(tmp_path)
    assert warehouse.write("t", "p", frame("b", "a")) == first
    assert registry_version(tmp_path) == version
    assert warehouse.partitions("t") == {"p": first.sha256}
    changed = warehouse.write("t", "p", frame("a", "b", value=3.0))
    assert changed.sha256 != first.sha256
    assert changed.table_version > first.table_version


def test_a_missing_partition_is_an_error_and_an_empty_one_is_not(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    with pytest.raises(LookupError, match="t was never materialized"):
        warehouse.read("t")
    warehouse.write("t", "empty", frame())
    assert len(warehouse.read("t", ["empty"])) == 0
    with pytest.raises(LookupError, match="never materialized for absent"):
        warehouse.read("t", ["empty", "absent"])


def test_repeated_row_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected each row_id once"):
        Warehouse(str(tmp_path)).write("t", "p", frame("a", "a"))


def test_other_columns_replace_the_table_and_make_its_other_partitions_missing(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.write("t", "p", frame("a"))
    warehouse.write("t", "q", frame("a"))
    warehouse.write("t", "p", frame("a").with_columns(more=pl.lit("x")))
    assert warehouse.read("t", ["p"])["more"].to_list() == ["x"]
    with pytest.raises(LookupError, match="q"):
        warehouse.read("t", ["q"])


def test_vectors_lists_and_structs_are_read_back_unchanged(tmp_path: Path) -> None:
    rows = frame("a", "b").with_columns(
        vector=pl.Series(np.arange(6, dtype=np.float32).reshape(2, 3), dtype=pl.Array(pl.Float32, 3)),
        notes=pl.Series(
            [[{"judge": "x", "score": None}], []], dtype=pl.List(pl.Struct({"judge": pl.String, "score": pl.Float64}))
        ),
    )
    warehouse = Warehouse(str(tmp_path))
    warehouse.write("t", "p", rows)
    assert warehouse.read("t").drop("partition").equals(rows)


def test_a_stream_of_frames_is_written_as_one_partition_in_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.write("t", "q", frame("z"))
    whole = warehouse.write("t", "p", frame(*"abcdef"))
    monkeypatch.setattr(tables, "SLICE", 2)
    monkeypatch.setattr(spool, "SLICE", 2)
    assert warehouse.write("t", "p", (frame(*ids) for ids in ("fc", "", "bae", "d"))) == whole  # the same rows, not written
    changed = warehouse.write("t", "p", iter([frame("a", "b", "c", value=2.0), frame("x")]))
    assert changed.table_version == whole.table_version + 1
    assert changed.first["row_id"].to_list() == ["a", "b"]
    assert warehouse.read("t", ["p"])["row_id"].to_list() == ["a", "b", "c", "x"]
    assert warehouse.read("t", ["q"])["row_id"].to_list() == ["z"]
    assert warehouse.write("t", "p", iter([frame()])).rows == 0
    assert len(warehouse.read("t", ["p"])) == 0
    with pytest.raises(ValueError, match="expected each row_id once"):
        warehouse.write("t", "p", iter([frame("a"), frame("b", "a")]))


def test_a_stream_of_frames_that_fails_leaves_the_partition_unchanged(tmp_path: Path) -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield frame("new")
        raise RuntimeError("out of memory")

    warehouse = Warehouse(str(tmp_path))
    warehouse.write("t", "p", frame("old"))
    with pytest.raises(RuntimeError, match="out of memory"):
        warehouse.write("t", "p", broken())
    assert warehouse.read("t", ["p"])["row_id"].to_list() == ["old"]


@pytest.mark.parametrize(("committed", "value"), [(True, 2.0), (False, 1.0)])
def test_a_rewrite_killed_around_its_commit_leaves_all_old_rows_or_all_new_rows_without_a_hash(
    committed: bool, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, commit = Warehouse(str(tmp_path)), lance.LanceDataset.commit

    def killed(*args: Any, **options: Any) -> None:
        if committed:
            commit(*args, **options)
        raise KeyboardInterrupt

    old = warehouse.write("t", "p", frame("a", "b"))
    monkeypatch.setattr(lance.LanceDataset, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        warehouse.write("t", "p", frame("a", "b", value=2.0))
    with pytest.raises(KeyboardInterrupt):
        warehouse.write("t", "new", frame("a"))
    monkeypatch.undo()
    assert warehouse.partitions("t") == {"p": ""}
    assert warehouse.read("t", ["p"])["value"].to_list() == [value, value]
    with pytest.raises(LookupError, match="never materialized for new"):
        warehouse.read("t", ["new"])
    assert warehouse.write("t", "p", frame("a", "b")).table_version > old.table_version
    assert warehouse.read("t", ["p"])["value"].to_list() == [1.0, 1.0]
    warehouse.write("t", "new", frame("a"))
    assert len(warehouse.read("t", ["new"])) == 1


def test_a_reader_sees_the_old_rows_while_a_partition_is_rewritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse, commit, seen = Warehouse(str(tmp_path)), lance.LanceDataset.commit, list[float]()

    def watched(*args: Any, **options: Any) -> None:
        seen.extend(Warehouse(str(tmp_path)).read("t", ["p"])["value"])
        commit(*args, **options)

    warehouse.write("t", "p", frame("a"))
    monkeypatch.setattr(lance.LanceDataset, "commit", watched)
    warehouse.write("t", "p", frame("a", value=2.0))
    assert seen == [1.0]


def test_a_table_replaced_while_it_is_opened_is_not_read_with_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, opens = Warehouse(str(tmp_path)), "warrior_dagster.warehouse.tables.open_table"
    for partition in ("p", "q"):
        warehouse.write("t", partition, frame("a"))

    def replaced(database: Any, table: str) -> Any:
        if table == "t":
            monkeypatch.setattr(opens, open_table)
            Warehouse(str(tmp_path)).write("t", "q", frame("a").with_columns(other=1))
        return open_table(database, table)

    monkeypatch.setattr(opens, replaced)
    with pytest.raises(LookupError, match="never materialized for p "):
        warehouse.read("t", ["p", "q"])


def test_replaced_rows_are_deleted_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "VERSIONS_KEPT", timedelta(0))
    for value in range(4):
        Warehouse(str(tmp_path)).write("t", "p", frame("a", value=value))
    assert len(list((tmp_path / "t.lance" / "data").iterdir())) == 1
    assert Warehouse(str(tmp_path)).read("t")["value"].to_list() == [3.0]


def test_writes_and_invalidations_of_another_object_are_visible_at_once(tmp_path: Path) -> None:
    warehouse, other = Warehouse(str(tmp_path)), Warehouse(str(tmp_path))
    assert warehouse.partitions("t") == {}
    first = other.write("t", "p", frame("a")).sha256
    assert warehouse.partitions("t") == {"p": first}
    changed = other.write("t", "p", frame("b")).sha256
    assert warehouse.read("t", ["p"])["row_id"].to_list() == ["b"]
    assert warehouse.read_hashes == {("t", "p"): changed}
    other.save_fingerprints("t", {"p": "text"})
    assert warehouse.fingerprints("t") == {"p": "text"}
    other.invalidate("t", {"p": changed})
    assert warehouse.partitions("t") == {}
    with pytest.raises(LookupError, match="never materialized for p "):
        warehouse.read("t", ["p"])


def test_the_registry_stays_in_few_fragments_and_loses_no_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "FRAGMENTS", 4)
    warehouse, names = Warehouse(str(tmp_path)), [f"p{n}" for n in range(12)]
    written = {name: warehouse.write("t", name, frame("a")).sha256 for name in names}
    for name in names:
        warehouse.save_fingerprints("t", {name: name})
    assert Warehouse(str(tmp_path)).partitions("t") == written
    assert Warehouse(str(tmp_path)).fingerprints("t") == {name: name for name in names}
    for name in ("_partitions", "_bases"):
        assert len(lancedb.connect(str(tmp_path)).open_table(name).to_lance().get_fragments()) <= 4 + 1


def test_a_table_without_rows_can_change_its_columns(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    empty = warehouse.write("t", "p", frame())
    more = warehouse.write("t", "p", frame().with_columns(more=pl.lit("x")))
    assert more.sha256 != empty.sha256 == rows_sha256(frame())
    warehouse.write("t", "p", frame("a").with_columns(more=pl.lit("x")))
    assert warehouse.read("t", ["p"])["more"].to_list() == ["x"]


def test_the_first_rows_keep_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    written = Warehouse(str(tmp_path)).write("t", "p", frame("c", "a", "b"))
    assert written.first["row_id"].to_list() == ["c", "a", "b"]


def test_the_rows_of_partitions_are_counted(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    for partition, ids in (("p", "ab"), ("q", "c"), ("r", "def")):
        warehouse.write("t", partition, frame(*ids))
    assert warehouse.count("t", ["p", "r"]) == 5
    with pytest.raises(LookupError, match="never materialized for s"):
        warehouse.count("t", ["p", "s"])


def test_vectors_of_a_repeated_or_missing_row_are_an_error(tmp_path: Path) -> None:
    kind = pl.Array(pl.Float32, 2)
    rows = pl.DataFrame({"row_id": ["a", "c"], "vector": pl.Series([[1.0, 2.0]] * 2, dtype=kind)})
    warehouse = Warehouse(str(tmp_path))
    warehouse.write("t", "p", rows)
    table = lancedb.connect(tmp_path).open_table("t")
    table.add(table.search().where("row_id = 'a'").to_arrow())
    with pytest.raises(LookupError, match="expected each of 3 rows once; found 1"):
        warehouse.vectors("t", "p", pl.Series(["a", "b", "c"]))


def test_writing_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected at least one frame"):
        Warehouse(str(tmp_path)).write("t", "p", iter(()))


def test_lost_rows_are_written_again(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.write("t", "p", frame("a", "b"))
    lancedb.connect(tmp_path).open_table("t").delete("row_id = 'a'")
    warehouse.write("t", "p", frame("a", "b"))
    assert warehouse.read("t", ["p"])["row_id"].to_list() == ["a", "b"]


def test_vectors_are_returned_in_the_order_of_their_ids_and_a_missing_one_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SLICE", 3)
    warehouse, numbers = Warehouse(str(tmp_path)), np.arange(20, dtype=np.float32).reshape(10, 2)
    ids = [f"it's {n}" for n in range(10)]
    rows = pl.DataFrame({"row_id": ids, "vector": pl.Series(numbers, dtype=pl.Array(pl.Float32, 2))})
    warehouse.write("t", "p", rows[::-1])
    warehouse.write("t", "q", rows.with_columns(vector=pl.col("vector") * 0))
    assert (warehouse.vectors("t", "p", pl.Series(ids)) == numbers).all()
    assert (warehouse.vectors("t", "p", pl.Series([ids[2], ids[7]])) == numbers[[2, 7]]).all()
    assert warehouse.vectors("t", "p", pl.Series([], dtype=pl.String)).shape == (0, 2)
    with pytest.raises(LookupError, match="expected each of 2 rows once; found 1"):
        warehouse.vectors("t", "p", pl.Series([ids[2], ids[2] + "x"]))
    assert warehouse.read("t", ["p"], ["row_id"]).columns == ["partition", "row_id"]


def write_many(uri: str, partition: str) -> None:
    warehouse = Warehouse(uri)
    for value in range(5):
        warehouse.write("t", partition, frame(*(f"{partition}{i}" for i in range(20)), value=float(value)))


def test_concurrent_writers_lose_no_rows(tmp_path: Path) -> None:
    Warehouse(str(tmp_path)).write("t", "p0", frame("seed"))
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(str(tmp_path), f"p{n}")) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [w.exitcode for w in writers] == [0] * 4
    rows = Warehouse(str(tmp_path)).read("t")
    assert rows["value"].unique().to_list() == [4.0]
    assert rows["partition"].value_counts().sort("partition").rows() == [(f"p{n}", 20) for n in range(4)]


texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=6, unique=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(ids=texts, partition=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8))
def test_any_text_can_be_a_row_id_and_a_partition(tmp_path: Path, ids: list[str], partition: str) -> None:
    warehouse = Warehouse(str(tmp_path))
    warehouse.write("u", partition, frame(*ids))
    assert set(warehouse.read("u", [partition])["row_id"]) == set(ids)


@given(ids=texts)
def test_the_hash_depends_on_the_rows_and_not_on_their_order(ids: list[str]) -> None:
    assert rows_sha256(frame(*ids)) == rows_sha256(frame(*reversed(ids)))
    assert rows_sha256(frame(*ids)) != rows_sha256(frame(*ids, value=2.0))
    assert rows_sha256(frame(*ids)) != rows_sha256(frame(*ids, ids[0]))
    vectors = [pl.Series("vector", [pair] * len(ids), dtype=pl.Array(pl.Float32, 2)) for pair in ([1.0, 2.0], [2.0, 1.0])]
    assert rows_sha256(frame(*ids).with_columns(vectors[0])) != rows_sha256(frame(*ids).with_columns(vectors[1]))


def test_an_invalidated_partition_is_missing_until_rewritten_and_a_newer_write_is_not_invalidated(tmp_path: Path) -> None:
    warehouse = Warehouse(str(tmp_path))
    old = warehouse.write("t", "p", frame("a")).sha256
    warehouse.write("t", "q", frame("b"))
    warehouse.invalidate("t", {"p": "another hash"})
    assert warehouse.read("t", ["p", "q"]).height == 2
    warehouse.invalidate("t", {"p": old})
    assert set(warehouse.partitions("t")) == {"q"}
    with pytest.raises(LookupError, match=r"t was never materialized for p in .*, or a failed check invalidated it"):
        warehouse.read("t", ["p", "q"])
    assert warehouse.write("t", "p", frame("a")).sha256 == old
    assert warehouse.read("t", ["p"])["row_id"].to_list() == ["a"]


WRITER = """
import sys
import polars as pl
from warrior_dagster.warehouse.tables import Warehouse
warehouse = Warehouse(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for partition in ("a", "b", "c"):
    rows = {"row_id": [f"{partition}{n}" for n in range(6)], "vector": [[1.0] * 384] * 6}
    warehouse.write("t", partition, pl.DataFrame(rows, schema={"row_id": pl.String, "vector": pl.Array(pl.Float32, 384)}))
"""


def test_concurrent_writers_of_the_same_partitions_repeat_and_lose_no_row(tmp_path: Path) -> None:
    for round_ in range(2):
        command = [sys.executable, "-c", WRITER, str(tmp_path / str(round_))]
        writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        assert [writer.stdout.readline() for writer in writers if writer.stdout] == ["ready\n"] * 2
        for writer in writers:
            assert writer.stdin
            writer.stdin.close()  # starts both
        assert [writer.wait() for writer in writers] == [0, 0]
        rows = Warehouse(str(tmp_path / str(round_))).read("t", ["a", "b", "c"])
        assert sorted(rows["row_id"]) == [f"{partition}{n}" for partition in "abc" for n in range(6)]
