"""Behaviour as votes: of two answers, the one that agrees more with the other answers on what they return."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import polars as pl

from warrior_dagster.config.battles import BEHAVIOUR
from warrior_dagster.stages.battles.behaviours.agreement import with_others
from warrior_dagster.stages.battles.outcomes import TIE_WITHIN
from warrior_dagster.stages.battles.sandbox_runs import NEEDS_MODULE
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, decision

NOT_RUNNABLE = "not runnable"
NO_INPUTS = "no inputs: no test calls a function with literal arguments"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one answer stands among the others to its instruction."""

    agreement: float | None
    """The weighted mean agreement with its peers; None without any."""
    peers: int
    """The others that returned a plain value on some input."""
    inputs: frozenset[str]
    answer_key: str
    cannot_run: str = ""
    """Why the answer cannot be run here, if so."""


def peer_weights(models: Mapping[str, str], same_model: float) -> dict[tuple[str, str], float]:
    """The weight of each peer of each competitor: 1, or `same_model` where both are the same model, given by competitor."""
    return {(one, other): same_model if models[one] == models[other] else 1.0 for one, other in permutations(models, 2)}


def behaviours(observed: pl.DataFrame, weights: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], Behaviour]:
    """The behaviour of each instruction's and competitor's answer, from all rows of observing.SCHEMA.

    An answer that needs a missing module is nobody's peer and has none: nothing is known about it.
    """
    needs = pl.col("outcome") == NEEDS_MODULE
    answers = observed.group_by("instruction_id", "competitor").agg(
        "input", pl.col("answer_key").first(), cannot_run=pl.col("reason").filter(needs).first().fill_null("")
    )
    standing = with_others(observed.filter(~needs.any().over("instruction_id", "competitor")), weights)
    found = answers.join(standing, on=["instruction_id", "competitor"], how="left").with_columns(pl.col("peers").fill_null(0))
    columns = ("instruction_id", "competitor", "agreement", "peers", "input", "answer_key", "cannot_run")
    return {
        (identity, name): Behaviour(agreement, peers, frozenset(inputs), key, cannot_run)
        for identity, name, agreement, peers, inputs, key, cannot_run in found.select(columns).rows()
    }


def vote(
    pairs: pl.DataFrame,
    found: Mapping[tuple[str, str], Behaviour],
    inputs: Mapping[str, frozenset[str]],
    without: Mapping[str, str],
    left: str,
    right: str,
) -> pl.DataFrame:
    """The vote on each battle of a matchup, from the frame of `pairing.pairs`; rows of VOTE_SCHEMA, one per battle.

    `inputs` has the present inputs of each instruction that has any, `without` the reason of each other one. A vote is for one
    side or a tie. Raises LookupError if a present answer was not run on exactly these inputs.
    """
    rows = []
    for battle in pairs.drop_nulls().select("instruction_id", "key_left", "key_right").iter_rows(named=True):
        identity = battle["instruction_id"]
        p_left, text = None, without.get(identity, NO_INPUTS)
        if identity in inputs:
            keys = {left: battle["key_left"], right: battle["key_right"]}
            sides = {name: present(found, identity, name, key, inputs[identity]) for name, key in keys.items()}
            p_left, text = preference(sides)
        row = battle | decision(p_left, None if p_left is None else 1 - p_left, text)
        row |= {"left": left, "right": right, "judge": "", "order": "", "evidence": BEHAVIOUR}
        rows.append(row | {"text": "" if p_left is None else text, "row_id": f"{identity}:{BEHAVIOUR}"})
    return pl.DataFrame(rows, schema=VOTE_SCHEMA)


def present(
    found: Mapping[tuple[str, str], Behaviour], identity: str, name: str, answer_key: str, inputs: frozenset[str]
) -> Behaviour:
    """The behaviour of a present answer on the present inputs. Raises LookupError if it was not run on exactly these."""
    behaviour = found.get((identity, name))
    if behaviour is None or (behaviour.answer_key, behaviour.inputs) != (answer_key, inputs):
        raise LookupError(
            f"answer_behaviours: answers of {name} were not run as they are now on the present inputs;"
            " materialize answer_behaviours first"
        )
    return behaviour


def preference(sides: Mapping[str, Behaviour]) -> tuple[float | None, str]:
    """1, 0.5 or 0 for the first of two sides and the reason, or None and the reason why behaviour does not decide."""
    left, right = sides.values()
    if impossible := [f"{name} {one.cannot_run}" for name, one in sides.items() if one.cannot_run]:
        return None, f"{NOT_RUNNABLE}: {'; '.join(impossible)}"
    if left.agreement is None or right.agreement is None:
        return None, f"no peers: no other answer returned a value on any of {counted(len(left.inputs), 'input')}"
    shares = (f"{name} agrees with {counted(one.peers, 'other')} on {one.agreement:.0%}" for name, one in sides.items())
    text = f"of {counted(len(left.inputs), 'input')}: {', '.join(shares)}"
    if abs(left.agreement - right.agreement) <= TIE_WITHIN:
        return 0.5, text
    return float(left.agreement > right.agreement), text


def counted(number: int, what: str) -> str:
    """Such as `1 input` or `2 inputs`."""
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def inputs_of_each(inputs: pl.DataFrame) -> dict[str, frozenset[str]]:
    """The inputs of each instruction that has any, from rows of inputs.SCHEMA."""
    return {identity: frozenset(calls) for identity, calls in inputs.group_by("instruction_id").agg("input").rows()}


def reasons_without_inputs(tests: pl.DataFrame) -> dict[str, str]:
    """Why an instruction has no inputs, from all rows of generation.SCHEMA: the first of its writers if they all say that it
    cannot be run, else NO_INPUTS.
    """
    reasons = tests.sort("row_id").group_by("instruction_id", maintain_order=True).agg("reason")
    return {
        identity: found[0] if all(reason.startswith(NOT_RUNNABLE) for reason in found) else NO_INPUTS
        for identity, found in reasons.rows()
    }
