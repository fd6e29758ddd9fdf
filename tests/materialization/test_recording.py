"""What Dagster's UI gets of a model's text: values, and never Markdown."""

import dagster as dg
import polars as pl
from hypothesis import given

from tests.hostile_text import TEXTS, obeyed
from warrior_dagster.materialization.recording import PREVIEW_CHARS, PREVIEW_ROWS, partition_metadata
from warrior_dagster.warehouse.tables import Written


@given(TEXTS)
def test_a_preview_is_no_markdown_and_has_nothing_that_a_browser_obeys(text: str) -> None:
    frame = pl.DataFrame({"row_id": ["1"], "text": [text.encode("utf-8", "replace").decode()], "list": [["a"]]})
    metadata = partition_metadata(Written(1, "h", 1, frame))
    assert not [value for value in metadata.values() if isinstance(value, dg.MarkdownMetadataValue)]
    preview = metadata["preview"]
    assert isinstance(preview, dg.TableMetadataValue)  # the UI shows its cells as text
    assert not obeyed("".join(str(value) for record in preview.records for value in record.data.values()))


def test_a_preview_has_the_first_rows_with_short_values_and_without_ids_and_vectors() -> None:
    vectors = pl.Series([[0.5, 0.5]] * 9, dtype=pl.Array(pl.Float32, 2))
    frame = pl.DataFrame({"row_id": "r", "text": ["word\n\n" * 100] * 9, "score": 1 / 3, "missing": None, "vector": vectors})
    preview = partition_metadata(Written(9, "h", 1, frame))["preview"]
    assert len(preview.records) == PREVIEW_ROWS == 5
    assert preview.records[0].data == {"text": ("word " * 100)[: PREVIEW_CHARS - 1] + "…", "score": "0.3333", "missing": ""}
    assert [(column.name, column.type) for column in preview.schema.columns] == [
        ("text", "String"), ("score", "Float64"), ("missing", "Null")
    ]  # fmt: skip


def test_a_partition_without_rows_has_a_preview_with_its_columns_alone() -> None:
    preview = partition_metadata(Written(0, "h", 1, pl.DataFrame(schema={"row_id": pl.String, "text": pl.String})))["preview"]
    assert (preview.records, [column.name for column in preview.schema.columns]) == ([], ["text"])
