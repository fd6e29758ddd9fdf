"""Whether a completion can be what a model answered to its request. What cannot be is a failed request and is never stored.

A stored completion is final: the ledger gives the same one again, also after the server was mended.
"""

import json
from functools import cache
from typing import Any

from warrior_dagster.inference.request import Completion

FINISHED = ("stop", "length")  # an aborted text is incomplete
MOST_TOKENS = 2**31 - 1  # the ledger stores numbers of tokens in 32 bits
LEAST = -1e300
ROUNDING = 1e-6  # a probability of 1 that a server has rounded has a logarithm slightly above 0


def impossible(completion: Completion) -> str:
    """Why no working server can have said this, or "". Answers of any type are accepted, because servers send anything."""
    if not isinstance(completion.text, str):
        return f"expected a text; found {shown(completion.text)}"
    if completion.text.encode("utf-8", "ignore").decode() != completion.text:
        return "expected a text in Unicode; found half of a surrogate pair"
    if completion.finish_reason not in FINISHED:
        return f"expected finish_reason {' or '.join(FINISHED)}; found {shown(completion.finish_reason)}"
    for name in ("prompt_tokens", "completion_tokens"):
        tokens = getattr(completion, name)
        if type(tokens) is not int or not 0 <= tokens <= MOST_TOKENS:
            return f"expected a number of {name}; found {shown(tokens)}"
    return impossible_logprobs(completion.logprobs)


def impossible_logprobs(logprobs: object) -> str:
    """As `impossible`, for the log-probabilities of a completion, which may be None."""
    if logprobs is None:
        return ""
    if not isinstance(logprobs, dict):
        return f"expected the log-probabilities of tokens; found {shown(logprobs)}"
    wrong = {token: value for token, value in logprobs.items() if not is_logprob(value)}
    return f"expected log-probabilities, finite and at most 0; found {shown(wrong)}" if wrong else ""


def accepted(completion: Completion) -> Completion:
    """The completion, or in its place an error if no model can have said it."""
    if completion.error is None and (reason := impossible(completion)):
        return Completion(completion.key, completion.sample, error=reason, attempts=completion.attempts)
    return completion


def unanswered(params: str, completion: Completion) -> str:
    """What the request asked for and the server left out, or "": log-probabilities, or one of the choices."""
    choices, with_logprobs = asked_for(params)
    if choices and completion.text.strip() not in choices:
        return f"the server did not apply the constraint: expected {', '.join(choices)}; found {shown(completion.text)}"
    if with_logprobs and completion.logprobs is None:
        return "the server sent none of the log-probabilities that were asked for"
    if missing := [choice for choice in choices if choice not in (completion.logprobs or {})]:
        return f"the server sent no log-probability of {', '.join(missing)} under the constraint"
    return ""


@cache
def asked_for(params: str) -> tuple[tuple[str, ...], bool]:
    """The choices of a constrained request, and whether log-probabilities were asked for."""
    values: dict[str, Any] = json.loads(params)
    return tuple(values.get("structured_outputs", {}).get("choice", ())), "logprobs" in values


def is_logprob(value: object) -> bool:
    """Whether a value is a finite logarithm of a probability. (An integer of 400 digits is no float.)"""
    return type(value) in (int, float) and LEAST <= value <= ROUNDING  # type: ignore[operator]


def shown(value: object) -> str:
    """The beginning of a value, for a message."""
    return repr(value)[:60]
