"""The evidence on the answers to an instruction as tables of the terminal: battles, votes, tests, and what answers return.

All texts of the lineage are visible already: none of them is obeyed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from warrior_dagster.report.lineage import Lineage
from warrior_dagster.stages.battles.unit_tests.execution import PASSED

LONGEST = 80
"""The most characters of a value, so that the columns of several competitors fit."""


def tables(one: Lineage) -> Iterator[Table]:
    """The tables of a lineage that have rows: what was run first, as anybody can check it, and then who voted how."""
    if one["tests"]:
        yield tests(one)
    if one["behaviours"]["inputs"]:
        yield behaviours(one)
    if one["outcomes"]:
        yield battles(one)
    if one["votes"]:
        yield votes(one)


def battles(one: Lineage) -> Table:
    """Who won each battle, and what decided it."""
    table = Table("battle", "won by", "decided by", "opinions for the first", "agreement")
    for b in one["outcomes"]:
        winner = {1.0: b["left"], 0.0: b["right"], 0.5: "tie"}.get(b["outcome"], "no battle")
        shares = ("" if share is None else f"{share:.0%}" for share in (b["opinions_for_left"], b["agreement"]))
        table.add_row(f"{b['left']} and {b['right']}", winner, b["decided_by"] or "", *shares)
    return table


def votes(one: Lineage) -> Table:
    """The votes of all kinds of evidence with their reasons."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("evidence", "judge", "battle", "prefers", "text, or reason"):
        table.add_column(name, overflow="fold")
    for vote in one["votes"]:
        kind = " ".join(filter(None, (vote["evidence"], vote["order"])))
        words = " ".join((vote["reason"] or vote["text"] or "").split())[:200]
        completion = f" (completion {vote['completion_key'][:12]})" if vote["completion_key"] else ""
        table.add_row(kind, vote["judge"], f"{vote['left']} and {vote['right']}", preferred(vote), words + completion)
    return table


def preferred(vote: Mapping[str, Any]) -> str:
    """The answer that a vote prefers, with its share of the vote."""
    shares = {"left": (vote["left"], vote["p_left"]), "right": (vote["right"], vote["p_right"])}
    if vote["verdict"] in shares:
        name, share = shares[vote["verdict"]]
        return f"{name} {share:.2f}"
    return "neither" if vote["verdict"] else "no vote"


def tests(one: Lineage) -> Table:
    """Each test with its outcome on each answer, the best answer first."""
    names = [answer["competitor"] for answer in one["answers"]]
    table = Table("test", "by", *headings(one, names))
    for test in one["tests"]:
        outcomes = [test["outcomes"].get(name, "") for name in names]
        cells = [Text(outcome, style="green" if outcome == PASSED else "") for outcome in outcomes]
        table.add_row(test["test"], test["writer"], *cells)
    return table


def behaviours(one: Lineage) -> Table:
    """What each answer returns on the inputs that tell answers apart; `=` marks a value that is also the best answer's."""
    compared = one["behaviours"]
    names = compared["competitors"]
    table = Table("input", *headings(one, names), caption=Text(compared["more"]), caption_justify="left")
    for row in compared["inputs"]:
        cells = []
        for did in (row["values"].get(name, {"shown": "", "same": None}) for name in names):
            as_best = did["same"] == 0
            cells.append(Text(("= " if as_best else "") + short(did["shown"]), style="green" if as_best else ""))
        table.add_row(Text(short(row["input"])), *cells)
    return table


def headings(one: Lineage, names: list[str]) -> list[str]:
    """The names of competitors, that of the gold answer marked."""
    gold = {answer["competitor"] for answer in one["answers"] if answer["gold"]}
    return [f"gold: {name}" if name in gold else name for name in names]


def short(text: str) -> str:
    """The beginning of a long text, on as many lines as the terminal needs."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
