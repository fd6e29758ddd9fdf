"""Behaviour as votes: of two answers, the one that agrees more with the third answers on what they return."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from warrior_dagster.config.battles import BEHAVIOUR
from warrior_dagster.stages.battles.behaviours.agreement import with_peers, with_third
from warrior_dagster.stages.battles.outcomes import TIE_WITHIN
from warrior_dagster.stages.battles.sandbox_runs import NEEDS_MODULE
from warrior_dagster.stages.battles.votes import VOTE_SCHEMA, decision

NOT_RUNNABLE = "not runnable"
NO_INPUTS = "no inputs: no test calls a function with literal arguments"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one answer was run."""

    inputs: frozenset[str]
    answer_key: str
    cannot_run: str = ""
    """Why the answer cannot be run here, if so."""


@dataclass(frozen=True, slots=True)
class Behaviours:
    """What is known of all answers: by instruction and competitor, and how far they agree (rows of `agreement.with_peers`)."""

    answers: Mapping[tuple[str, str], Behaviour]
    pairs: pl.DataFrame


def peer_weights(models: Mapping[str, str], left: str, right: str, same_model: float) -> dict[str, float]:
    """The weight of each third competitor in the battles of two, the same for both sides: 1, or `same_model` where it has the
    model of either. `models` has the model of each competitor.
    """
    own = {models[left], models[right]}
    return {name: same_model if model in own else 1.0 for name, model in models.items()}


def behaviours(observed: pl.DataFrame) -> Behaviours:
    """The behaviour of each instruction's and competitor's answer, from all rows of observing.SCHEMA.

    An answer that needs a missing module is nobody's peer and has none: nothing is known about it.
    """
    needs = pl.col("outcome") == NEEDS_MODULE
    answers = observed.group_by("instruction_id", "competitor").agg(
        "input", pl.col("answer_key").first(), cannot_run=pl.col("reason").filter(needs).first().fill_null("")
    )
    found = {
        (identity, name): Behaviour(frozenset(inputs), key, cannot_run)
        for identity, name, inputs, key, cannot_run in answers.rows()
    }
    return Behaviours(found, with_peers(observed.filter(~needs.any().over("instruction_id", "competitor"))))


def vote(
    pairs: pl.DataFrame,
    found: Behaviours,
    inputs: Mapping[str, frozenset[str]],
    without: Mapping[str, str],
    left: str,
    right: str,
    weights: Mapping[str, float],
) -> pl.DataFrame:
    """The vote on each battle of a matchup, from the frame of `pairing.pairs`; rows of VOTE_SCHEMA, one per battle.

    `inputs` has the present inputs of each instruction that has any, `without` the reason of each other one, `weights` those of
    `peer_weights`. A vote is for one side or a tie. Raises LookupError if a present answer was not run on exactly these inputs.
    """
    rows, third = [], {row[0]: row[1:] for row in with_third(found.pairs, left, right, weights).rows()}
    for battle in pairs.drop_nulls().select("instruction_id", "key_left", "key_right").iter_rows(named=True):
        identity = battle["instruction_id"]
        p_left, text = None, without.get(identity, NO_INPUTS)
        if identity in inputs:
            keys = {left: battle["key_left"], right: battle["key_right"]}
            sides = {name: present(found.answers, identity, name, key, inputs[identity]) for name, key in keys.items()}
            p_left, text = preference(sides, *third.get(identity, (0.0, 0.0, 0)))
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


def preference(sides: Mapping[str, Behaviour], left: float, right: float, peers: int) -> tuple[float | None, str]:
    """1, 0.5 or 0 for the first of two sides and the reason, or None and the reason why behaviour does not decide.

    `left` and `right` are the mean agreements of the sides with so many third answers, their `peers`.
    """
    if impossible := [f"{name} {one.cannot_run}" for name, one in sides.items() if one.cannot_run]:
        return None, f"{NOT_RUNNABLE}: {'; '.join(impossible)}"
    inputs = counted(len(next(iter(sides.values())).inputs), "input")
    if not peers:
        return None, f"no peers: no third answer returned a value on any of {inputs}"
    shares = (
        f"{name} agrees with {counted(peers, 'other')} on {share:.0%}" for name, share in zip(sides, (left, right), strict=True)
    )
    text = f"of {inputs}: {', '.join(shares)}"
    return (0.5 if abs(left - right) <= TIE_WITHIN else float(left > right)), text


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
