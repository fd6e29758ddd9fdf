"""What Dagster's UI gets of a model's text: values, and never Markdown."""

import dagster as dg
import polars as pl
from hypothesis import given

from tests.hostile_text import TEXTS, obeyed
from warrior_dagster.materialization.recording import PREVIEW_CHARS, PREVIEW_ROWS, cells, partition_metadata
from warrior_dagster.warehouse.tables import Written


@given(TEXTS)
def test_a_preview_is_no_markdown_and_has_nothing_that_a_browser_obeys(text: str) -> None:
    frame = pl.DataFrame({"row_id": ["1"], "text": [text.encode("utf-8", "replace").decode()], "list": [["a"]]})
    metadata = partition_metadata(Written(1, "h", 1, frame))
    assert not [value for value in metadata.values() if isinstance(value, dg.MarkdownMetadataValue)]
    preview = metadata["preview"]
    assert isinstance(preview, dg.JsonMetadataValue)
    assert isinstance(preview.value, list)
    assert not obeyed("".join(value for row in preview.value for value in row.values()))


def test_a_preview_has_the_first_rows_with_short_values_and_without_ids_and_vectors() -> None:
    vectors = pl.Series([[0.5, 0.5]] * 9, dtype=pl.Array(pl.Float32, 2))
    frame = pl.DataFrame({"row_id": "r", "text": ["word\n\n" * 100] * 9, "score": 1 / 3, "vector": vectors})
    rows = cells(frame.head(PREVIEW_ROWS))
    assert len(rows) == PREVIEW_ROWS
    assert rows[0] == {"text": ("word " * 100)[: PREVIEW_CHARS - 1] + "…", "score": "0.3333"}
