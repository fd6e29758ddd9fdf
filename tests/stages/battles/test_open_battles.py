"""Which battles judges are asked about: never one that an earlier kind of evidence decides, always every other one."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import Battles, votes_table
from warrior_dagster.stages.battles.evidence import KINDS
from warrior_dagster.stages.battles.open_battles import closing_tables, open_battles, read_open
from warrior_dagster.stages.battles.outcomes import weighted_outcomes
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, check_votes, decision
from warrior_dagster.warehouse.tables import Warehouse

SETTINGS = {"evidence": ["execution", "opinion"], "combine": "first", "verdict": "direct", "votes": "soft"}
OPEN, ALL = (Battles.model_validate(SETTINGS | {"opinions": which}) for which in ("open", "all"))
IDS = ["00", "01", "02", "03"]
LETTERS = st.sampled_from("ab")


def battles(*texts: tuple[str | None, str | None]) -> pl.DataFrame:
    """The frame of a matchup, with the texts of both answers to each instruction."""
    keyed = [
        {
            **{"instruction_id": one, "attacker": "l", "instruction": "i", "answer_left": left, "answer_right": right},
            **{"key_left": left and f"l{one}", "key_right": right and f"r{one}"},
        }
        for one, (left, right) in zip(IDS, texts, strict=False)
    ]
    columns = ("instruction_id", "attacker", "instruction", "answer_left", "key_left", "answer_right", "key_right")
    return pl.DataFrame(keyed, schema=dict.fromkeys(columns, pl.String))


def votes(kind: str, *shares: tuple[str, str, float | None]) -> pl.DataFrame:
    """Votes of a kind: instruction, judge, and the share of the left side or None for an abstention."""
    rows: list[dict[str, Any]] = [
        {
            **{"row_id": f"{one}:{judge}:{kind}", "instruction_id": one, "left": "l", "right": "r", "judge": judge},
            **{"evidence": kind, "key_left": f"l{one}", "key_right": f"r{one}"},
            **decision(share, None if share is None else 1 - share, "no tests"),
        }
        for one, judge, share in shares
    ]
    return pl.DataFrame(rows, schema=VOTE_SCHEMA)


def test_battles_that_tests_decide_and_those_of_equal_answers_are_closed() -> None:
    pairs = battles(("a", "b"), ("a", "b"), ("a", "b"), ("same", "same"))
    tests = votes("execution", ("00", "x", 1.0), ("00", "y", None), ("01", "x", 1.0), ("01", "y", 0.0), ("02", "x", None))
    assert open_battles(pairs, [tests], OPEN)["instruction_id"].to_list() == ["01", "02"]
    assert open_battles(pairs, [], ALL).equals(pairs)
    assert open_battles(battles(("a", None), ("a", "b")), [tests.clear()], OPEN)["instruction_id"].to_list() == ["01"]


@given(
    st.lists(st.tuples(LETTERS, LETTERS), min_size=4, max_size=4),
    st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from([0.0, 0.5, 1.0]) | st.none()), max_size=8),
)
def test_opinions_on_closed_battles_would_change_no_outcome(
    texts: list[tuple[str, str]], found: list[tuple[str, float | None]]
) -> None:
    pairs = battles(*texts)
    tests = votes("execution", *((one, f"judge {n}", share) for n, (one, share) in enumerate(found)))
    opinions = votes("opinion", *((one, "judge", 0.875) for one in IDS))
    asked = open_battles(pairs, [tests], OPEN)["instruction_id"].to_list()
    of_open = opinions.filter(pl.col("instruction_id").is_in(asked))
    columns = ["instruction_id", "local_left", "outcome", "decided_by"]
    every, fewer = (
        weighted_outcomes(pairs, [tests, own], "l", "r", settings) for own, settings in ((opinions, ALL), (of_open, OPEN))
    )
    assert fewer.select(columns).equals(every.select(columns))
    by_opinion = fewer.filter(decided_by="opinion")["instruction_id"].to_list()
    assert sorted(by_opinion) == sorted(asked)


def test_a_closed_battle_has_no_opinion_and_an_open_one_all() -> None:
    pairs = battles(("a", "b"), ("a", "b"))
    asked, given_to = pairs.head(1), votes("opinion", ("00", "x", 1.0), ("00", "y", 1.0))
    check_votes(pairs, given_to, 2, "judge_votes", asked)
    for wrong in (votes("opinion", ("00", "x", 1.0)), pl.concat([given_to, votes("opinion", ("01", "x", 1.0))])):
        with pytest.raises(LookupError, match="judge_votes: 1 battles lack votes on their present answers, or need none"):
            check_votes(pairs, wrong, 2, "judge_votes", asked)


def test_opinions_are_not_paid_for_while_a_battle_lacks_the_vote_of_a_judge(make_arena: Callable[..., Arena]) -> None:
    arena = make_arena(("l", "r", "x", "y"), battles=SETTINGS | {"opinions": "open"})
    warehouse, pairs = Warehouse(arena.warehouse), battles(("a", "b"), ("a", "b"))
    every = votes("execution", *((one, judge, 1.0) for one in IDS[:2] for judge in "xy"))
    for kept, missing in ((every.head(3), 1), (every.filter(judge="x"), 2)):
        warehouse.write("execution_votes", "l__r", kept)
        with pytest.raises(LookupError, match=f"execution_votes: {missing} battles lack votes"):
            read_open(arena, warehouse, {"l__r": pairs})
    warehouse.write("execution_votes", "l__r", every)
    assert read_open(arena, warehouse, {"l__r": pairs})["l__r"].is_empty()


def test_the_tables_that_close_battles_are_those_of_the_kinds_before_opinions() -> None:
    assert closing_tables(ALL) == []
    assert closing_tables(OPEN) == ["execution_votes"]
    assert {one.kind: votes_table(one.kind) for one in KINDS} == {one.kind: one.votes.name for one in KINDS}
