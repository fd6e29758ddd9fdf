"""The pictures: each is drawn for any table, including an empty one, and shows its numbers as text."""

from typing import Any

import polars as pl
import pytest

from warrior_dagster.analysis.pictures import PICTURES, as_markdown, as_png, as_svg

pytestmark = pytest.mark.pictures
SHARE = {"first": 0.9, "consistent": 0.25, "agrees": None, "longer": 0.5}
JUDGE: dict[str, Any] = {"judge": "ann"}
for _name, _share in SHARE.items():
    JUDGE |= {_name: _share, f"{_name}_low": _share and _share - 0.1, f"{_name}_high": _share and _share + 0.1}
ROWS: dict[str, list[dict[str, Any]]] = {
    "funnel": [
        {"step": 0, "stage": "mined", "competitor": "", "rows": 20, "dropped": 0, "why": ""},
        {"step": 1, "stage": "usable", "competitor": "", "rows": 17, "dropped": 3, "why": "3 empty"},
        {"step": 1, "stage": "usable", "competitor": "ann", "rows": 17, "dropped": 3, "why": "3 empty"},
    ],
    "instruction_novelty": [{"reference_set": "humaneval", "rouge_l": score} for score in (0.1, 0.2, 0.35, 0.7)],
    "task_categories": [{"competitor": "ann", "category": category} for category in ("debugging", "debugging", None)],
    "difficulty_bands": [{"competitor": "ann", "band": "good", "instructions": 3, "share": 0.75},
                         {"competitor": "ann", "band": "poor", "instructions": 1, "share": 0.25}],
    "head_to_head": [
        {"competitor": "ann", "opponent": "bob", "battles": 12, "win_rate": 0.75, "low": 0.47, "high": 0.91},
        {"competitor": "bob", "opponent": "ann", "battles": 12, "win_rate": 0.25, "low": 0.09, "high": 0.53},
    ],
    "rating_history": [{"battles": n, "competitor": name, "rating": r, "low": r - 9, "high": r + 9}
                       for n, name, r in ((5, "ann", 1010.0), (5, "bob", 990.0), (10, "ann", 1033.0), (10, "bob", 967.0))],
    "judge_audit": [JUDGE],
}  # fmt: skip
SHOWN = {
    "funnel": ["17 (3 dropped, 3 empty)"],
    "instruction_novelty": ["2 of 4 above 0.3", "1 of 4 above 0.6"],
    "task_categories": ["67%", "33%", "debugging", "abstained"],
    "difficulty_bands": ["75%", "25%", "good", "poor"],
    "head_to_head": ["75%\n47% to 91%\nof 12", "25%\n9% to 53%\nof 12"],
    "rating_history": ["ann 1033", "bob 967"],
    "judge_audit": ["90%", "25%", "50%", "same verdict in both orders"],
}


def table(name: str) -> pl.DataFrame:
    return pl.DataFrame(ROWS[name]).with_columns(pl.col(pl.Null).cast(pl.Float64))


def texts(figure: Any) -> list[str]:
    from matplotlib.text import Text

    return [found.get_text().strip() for found in figure.findobj(Text)]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_its_numbers_as_text(name: str) -> None:
    shown = texts(PICTURES[name](table(name)))
    assert [wanted for wanted in SHOWN[name] if wanted not in shown] == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_in_dagster_and_a_labelled_svg_in_the_report(name: str) -> None:
    rows = table(name)
    assert as_png(PICTURES[name](rows)).startswith(b"\x89PNG")
    assert as_markdown(PICTURES[name](rows), "a picture").startswith("![a picture](data:image/png;base64,")
    svg = as_svg(PICTURES[name](rows), 'who "beats" <whom>')
    assert svg.startswith('<svg role="img" aria-label="who &#34;beats&#34; &lt;whom&gt;"')
    assert svg == as_svg(PICTURES[name](rows), 'who "beats" <whom>')


@pytest.mark.parametrize("name", PICTURES)
def test_an_empty_table_has_a_picture(name: str) -> None:
    assert as_png(PICTURES[name](table(name).clear())).startswith(b"\x89PNG")
