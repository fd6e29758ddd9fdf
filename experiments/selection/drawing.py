"""The experiment's pictures."""

from typing import TYPE_CHECKING

import polars as pl

from experiments.selection.rules import BEFORE, KINDS, Rule
from experiments.selection.simulated import SHOWN, SWEEPS
from warrior_dagster.analysis.pictures import COLOURS, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vPX*"
BASELINES = ("random", "shortest", "shortest that loads", "oracle")
SAMPLES = ("; one sample", "; several samples")


def bars(rows: pl.DataFrame, roster: list[str]) -> "Figure":
    """Pass rates with their intervals: competitors alone, then rules, then the oracle; one sample beside several."""
    named = [
        *roster,
        *BASELINES[:-1],
        *(Rule(kind, 0.0).name for kind in (BEFORE, *(k for k in KINDS if k != BEFORE))),
        "oracle",
    ]
    names = [name for name in named if f"{name}{SAMPLES[0]}" in rows["rule"]]
    figure, (axes,) = canvas(7.5, 0.42 * len(names) + 1, 1)
    for place, name in enumerate(reversed(names)):
        for offset, suffix, colour in ((0.2, SAMPLES[0], COLOURS[7]), (-0.2, SAMPLES[1], COLOURS[0])):
            row = rows.row(by_predicate=pl.col("rule") == f"{name}{suffix}", named=True)
            low, high = row["pass_rate"] - row["pass_rate_low"], row["pass_rate_high"] - row["pass_rate"]
            label = suffix.strip("; ") if place == 0 else None
            error = {"linewidth": 0.8}
            axes.barh(place + offset, row["pass_rate"], 0.36, color=colour, xerr=[[low], [high]], error_kw=error, label=label)
            axes.text(row["pass_rate_high"] + 0.01, place + offset, f"{row['pass_rate']:.1%}", va="center", fontsize=7)
    axes.set_yticks(range(len(names)), [f"{name} alone" if name in roster else name for name in reversed(names)])
    axes.set(xlim=(0, 1), xlabel="share of tasks whose picked answer passes the hidden tests")
    axes.legend(frameon=False, fontsize=8)
    return figure


def sweeps(rows: pl.DataFrame) -> "Figure":
    """How far each rule gets as judges, tests and answers become better or more biased: one panel per sweep."""
    figure, panels = canvas(9, 16, (len(SWEEPS) + 1) // 2, 2)
    for axes, (name, (_, _, label, _)) in zip(panels, SWEEPS.items(), strict=False):
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
    for axes in panels[len(SWEEPS) :]:
        axes.set_axis_off()
    return figure
