"""The experiment's pictures."""

from typing import TYPE_CHECKING

import polars as pl

from experiments.selection.rules import ALPHAS, KINDS, PAPER_ALPHA, Rule
from experiments.selection.simulated import SHOWN, SWEEPS
from warrior_dagster.analysis.pictures import COLOURS, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vP"
COMPARED = ("random", "shortest", "shortest that loads", "oracle")
BARS = (*COMPARED[:-1], *(Rule(kind, alpha).name for kind in KINDS for alpha in (0.0, PAPER_ALPHA)), COMPARED[-1])


def bars(rows: pl.DataFrame, roster: list[str]) -> "Figure":
    """Pass rates with their intervals: competitors alone, then rules, then the oracle."""
    names = [name for name in (*roster, *BARS) if name in rows["rule"]]
    figure, (axes,) = canvas(7.5, 0.3 * len(names) + 1, 1)
    for place, name in enumerate(reversed(names)):
        row = rows.row(by_predicate=pl.col("rule") == name, named=True)
        colour = COLOURS[7] if name in roster else COLOURS[1] if name in COMPARED else COLOURS[0]
        low, high = row["pass_rate"] - row["pass_rate_low"], row["pass_rate_high"] - row["pass_rate"]
        axes.barh(place, row["pass_rate"], color=colour, xerr=[[low], [high]], error_kw={"linewidth": 0.8})
        axes.text(row["pass_rate_high"] + 0.01, place, f"{row['pass_rate']:.1%}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [f"{name} alone" if name in roster else name for name in reversed(names)])
    axes.set(xlim=(0, 1), xlabel="share of tasks whose picked answer passes the hidden tests")
    return figure


def over_alpha(rows: pl.DataFrame) -> "Figure":
    """Pass rate by the weight of the ratings, with one line per kind of evidence."""
    figure, (axes,) = canvas(7, 3.6, 1)
    for place, kind in enumerate(KINDS):
        named = [Rule(kind, alpha).name for alpha in ALPHAS]
        if named[0] not in rows["rule"]:
            continue
        rates = [rows.row(by_predicate=pl.col("rule") == name, named=True)["pass_rate"] for name in named]
        axes.plot(ALPHAS, rates, color=COLOURS[place], marker=MARKERS[place], markersize=4, label=kind)
    axes.set(xlabel="alpha: weight of the ratings in the final score", ylabel="pass rate of the picks")
    axes.legend(frameon=False, ncols=2)
    return figure


def sweeps(rows: pl.DataFrame) -> "Figure":
    """How far each rule gets as judges and tests become better or more biased: one panel per sweep."""
    figure, panels = canvas(9, 11, 4, 2)
    for axes, (name, (_, _, label)) in zip(panels, SWEEPS.items(), strict=True):
        for place, rule in enumerate(SHOWN):
            own = rows.filter(sweep=name, rule=rule.name).sort("value")
            line = axes.errorbar(
                own["value"], own["random_to_oracle"], own["standard_error"], label=rule.name, capsize=2, linewidth=1
            )
            line[0].set(color=COLOURS[place], marker=MARKERS[place], markersize=3)
            for bar in (*line[1], *line[2]):
                bar.set_color(COLOURS[place])
        axes.axhline(0, color=COLOURS[7], linewidth=0.8, linestyle="--")
        axes.set(title=name, xlabel=label, ylim=(-1.0, 1.05))
    panels[0].set_ylabel("from random (0) to the oracle (1)")
    panels[0].legend(frameon=False, fontsize=7)
    return figure
