"""Figures of the analysis tables, for Dagster's UI and for the report.

The colours can be distinguished by colour-blind readers (Okabe and Ito, 2008), and all information is also shown as text.
"""

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from warrior_dagster.analysis import agreement_with_tests
from warrior_dagster.analysis.audit import SHARES
from warrior_dagster.analysis.instruction_flow import BAND_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
MARKS = (0.3, 0.6)
"""ROUGE-L values marked in the paper: most of its instructions are below the first, none is above the second."""
SHARE_TITLES = {
    "first": "votes for the first answer",
    "consistent": "same verdict in both orders",
    "agrees": "agrees with other judges",
    "longer": "votes for the longer answer",
    agreement_with_tests.SHARE: "agrees with the tests",
    "exam": "right answers in its exam",
}
STYLE: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": "warrior", "font.size": 9}


def novelty(rows: pl.DataFrame) -> "Figure":
    """Histogram of the highest ROUGE-L F1 of each instruction, with a panel for each reference set."""
    sets = rows["reference_set"].unique(maintain_order=True).to_list()
    figure, panels = canvas(7, 2.2 * max(len(sets), 1) + 0.4, max(len(sets), 1))
    for axes, name in zip(panels, sets, strict=False):
        scores = rows.filter(reference_set=name)["rouge_l"]
        axes.hist(scores, bins=np.linspace(0, 1, 41).tolist(), color=COLOURS[0])
        for mark in MARKS:
            label = f"{(scores > mark).sum()} of {len(scores)} above {mark}"
            axes.axvline(mark, color=COLOURS[5], linestyle="--", linewidth=1)
            axes.text(mark + 0.01, 0.9, label, transform=axes.get_xaxis_transform(), va="top")
        axes.set(title=f"Nearest text in {name}", xlabel="highest ROUGE-L F1", ylabel="instructions", xlim=(0, 1))
    return figure


def win_rates(rows: pl.DataFrame) -> "Figure":
    """Heat map of win rates, with the interval and the number of battles in each cell."""
    names = rows["competitor"].unique().sort().to_list()
    rates = np.full((len(names), len(names)), np.nan)
    size = max(4.0, 1.25 * len(names) + 1.5)
    figure, (axes,) = canvas(size, size * 0.8, 1)
    for row in rows.iter_rows(named=True):
        place = names.index(row["competitor"]), names.index(row["opponent"])
        rates[place] = row["win_rate"]
        label = f"{row['win_rate']:.0%}\n{row['low']:.0%} to {row['high']:.0%}\nof {row['battles']}"
        colour = "white" if abs(row["win_rate"] - 0.5) > 0.3 else "black"
        axes.text(place[1], place[0], label, ha="center", va="center", fontsize=8, color=colour)
    axes.imshow(rates, vmin=0, vmax=1, cmap="RdBu")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(title="How often the row's competitor beats the column's", xlabel="opponent", ylabel="competitor")
    return figure


def ratings(rows: pl.DataFrame) -> "Figure":
    """Ratings with their intervals over the number of battles."""
    figure, (axes,) = canvas(7, 4, 1)
    final = rows.filter(pl.col("battles") == pl.col("battles").max()).sort("rating", descending=True)["competitor"]
    for place, name in enumerate(final):
        own, colour = rows.filter(competitor=name).sort("battles"), COLOURS[place % len(COLOURS)]
        marker = "osD^vP*X"[place % 8]
        label = f"{name} {own['rating'][-1]:.0f}"
        axes.plot(own["battles"], own["rating"], color=colour, marker=marker, markersize=4, label=label)
        if not own["low"].has_nulls():
            axes.fill_between(own["battles"], own["low"], own["high"], color=colour, alpha=0.15, linewidth=0)
    axes.set(title="Ratings and their 95 % intervals as battles are added", xlabel="battles", ylabel="rating")
    legend(axes, len(final) > 0)
    return figure


def bands(rows: pl.DataFrame) -> "Figure":
    """Shares of the difficulty bands of each competitor's instructions, stacked."""
    return stacked(rows, "band", BAND_NAMES, "Difficulty of the instructions mined from each competitor")


def categories(rows: pl.DataFrame) -> "Figure":
    """Shares of the categories of each competitor's selected instructions, stacked."""
    named = rows.with_columns(pl.col("category").fill_null("abstained"))
    shares = named.group_by("competitor", "category").len("instructions")
    shares = shares.with_columns(share=pl.col("instructions") / pl.col("instructions").sum().over("competitor"))
    order = named.group_by("category").len().sort("len", "category", descending=[True, False])["category"]
    return stacked(shares, "category", tuple(order), "Categories of the instructions of each competitor")


def stacked(rows: pl.DataFrame, column: str, order: tuple[str, ...], title: str) -> "Figure":
    """Horizontal bars of the shares of a column's values, one bar per competitor, with each share as text."""
    names = rows["competitor"].unique().sort().to_list()
    figure, (axes,) = canvas(7.5, 0.5 * len(names) + 1.8, 1)
    left = np.zeros(len(names))
    for place, value in enumerate(order):
        of = dict(rows.filter(pl.col(column) == value).select("competitor", "share").iter_rows())
        shares = np.array([of.get(name, 0.0) for name in names])
        if shares.any():
            colour = COLOURS[place % len(COLOURS)]
            bars = axes.barh(range(len(names)), shares, left=left, color=colour, label=value, edgecolor="white")
            axes.bar_label(bars, [f"{s:.0%}" if s >= 0.05 else "" for s in shares], label_type="center", fontsize=8)
            left += shares
    axes.set(title=title, xlim=(0, 1), xticks=[])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    legend(axes, bool(names), below=True)
    return figure


def funnel(rows: pl.DataFrame) -> "Figure":
    """How many instructions each stage kept and dropped."""
    every = rows.filter(competitor="").sort("step")
    figure, (axes,) = canvas(9, 0.45 * len(every) + 1, 1)
    axes.barh(range(len(every)), every["rows"], color=COLOURS[0])
    axes.set_yticks(range(len(every)), every["stage"].to_list())
    for place, row in enumerate(every.iter_rows(named=True)):
        why = f", {row['why']}" if row["why"] else ""
        label = f"{row['rows']}" + (f" ({row['dropped']} dropped{why})" if row["dropped"] else "")
        axes.text(row["rows"], place, " " + shorten(label, 80, placeholder=" ..."), va="center")
    axes.set(title="From mined to exported", xlabel="instructions", xlim=(0, 2 * max([1, *every["rows"]])))
    axes.invert_yaxis()
    return figure


def judges(rows: pl.DataFrame) -> "Figure":
    """Each judge's shares with their intervals, and a line at 50 %."""
    shares = [share for share in (*SHARES, agreement_with_tests.SHARE, "exam") if share in rows.columns]
    figure, panels = canvas(2.25 * len(shares), 0.4 * len(rows) + 1.6, 1, len(shares))
    for axes, name in zip(panels, shares, strict=True):
        own = rows.with_row_index("place").drop_nulls(name)
        ends = [(own[name] - own[f"{name}_low"]).clip(0).to_list(), (own[f"{name}_high"] - own[name]).clip(0).to_list()]
        axes.errorbar(own[name], own["place"], xerr=ends, fmt="o", color=COLOURS[0], capsize=3)
        for place, share in own.select("place", name).iter_rows():
            axes.text(share, place + 0.12, f"{share:.0%}", ha="center", va="bottom", fontsize=8)
        axes.axvline(0.5, color=COLOURS[7], linestyle=":", linewidth=1)
        axes.set(title=SHARE_TITLES[name], xlim=(-0.05, 1.05), ylim=(-0.6, max(len(rows), 1) - 0.2))
        axes.set_yticks(range(len(rows)), rows["judge"].to_list())
        axes.title.set_fontsize(9)
        axes.label_outer()
    return figure


PICTURES: "dict[str, Callable[[pl.DataFrame], Figure]]" = {
    "funnel": funnel,
    "instruction_novelty": novelty,
    "task_categories": categories,
    "difficulty_bands": bands,
    "head_to_head": win_rates,
    "rating_history": ratings,
    "judge_audit": judges,
}
"""The function that draws each table."""


def canvas(width: float, height: float, rows: int, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    """An empty figure, `width` by `height` inches, and its panels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=columns > 1)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(panels.flat)


def legend(axes: "Axes", wanted: bool, below: bool = False) -> None:
    """Add a legend, if wanted."""
    if wanted and below:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=4, frameon=False)
    elif wanted:
        axes.legend(frameon=False)


@contextmanager
def resolution(figure: "Figure", dpi: float) -> Iterator[None]:
    """Draw a figure at so many dots an inch, as `savefig` does, which draws one with a constrained layout twice."""
    before = figure.dpi
    figure.dpi = dpi
    try:
        yield
    finally:
        figure.dpi = before


def as_png(figure: "Figure") -> bytes:
    """The figure as PNG, small enough for Dagster's event log."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = io.BytesIO()
    with resolution(figure, 90):
        FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
    return file.getvalue()


def as_markdown(figure: "Figure", alt: str) -> str:
    """The figure as Markdown with an embedded PNG, for Dagster's UI."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(as_png(figure)).decode()})"


def as_svg(figure: "Figure", title: str) -> str:
    """The figure as an SVG element for an HTML page. Figures of the same rows give the same bytes."""
    import matplotlib as mpl
    from markupsafe import escape
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    with mpl.rc_context(STYLE), resolution(figure, 72):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})  # type: ignore[no-untyped-call]
    svg = file.getvalue()
    start = svg.index("<svg")
    return svg[start:].replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
