"""How a stage puts a question to a competitor and reads a judge's verdict. Text from a model is data here: it is fenced,
it cannot end its turn, and a verdict counts only where the judge itself put it.
"""

import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from string import Template
from typing import TYPE_CHECKING, Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Sampling
from warrior_dagster.inference import chat_template
from warrior_dagster.inference.request import Completion, Request, ServedModel, params, served_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VERDICT_LINE = (
    r"[\s*_#>`]*(?:(?:my |the )?(?:final )?(?:verdict|grade|score|rating)(?: is)?\s*:?)?[\s*_`]*"
    r"\[\[\s*(?P<verdict>PATTERN)\s*\]\][\s*_`.]*"
)
TRACE: dict[str, Any] = {"completion_key": pl.String, "attempts": pl.Int64, "error": pl.String}
"""What every row that came from a model says of its request; `error` is null unless it failed, to be asked again next time."""
LETTER_LOGPROBS = 20
"""The most likely first tokens whose probabilities come back; vLLM's default limit."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A competitor ready to be asked: its weights, its template, and the system prompt it speaks under."""

    name: str
    model: ServedModel
    tokenizer: "PreTrainedTokenizerBase"
    system: str | None
    stop_token_ids: tuple[int, ...]
    stop: tuple[str, ...]

    def request(
        self,
        prompt: str,
        sampling: Sampling,
        tag: Any,
        *,
        samples: tuple[int, ...] = (0,),
        choice: tuple[str, ...] = (),
    ) -> Request:
        """A request for completions of a rendered prompt. With `choice`, one of these words and its probabilities."""
        values = params(
            Sampling(temperature=0.0, top_p=1.0, max_tokens=1) if choice else sampling,
            stop_token_ids=() if choice else self.stop_token_ids,
            stop=() if choice else self.stop,
            choice=choice,
            logprobs=LETTER_LOGPROBS if choice else None,
        )
        return Request(self.model, prompt, values, samples, tag)


def seat(arena: Arena, name: str) -> Seat:
    """Seat a competitor. Raises ValueError if its model has no chat template."""
    competitor = arena.competitor(name)
    tokenizer = chat_template.load_tokenizer(competitor.model, competitor.revision)
    ids, strings = chat_template.turn_end(tokenizer)
    return Seat(name, served_model(arena, competitor), tokenizer, competitor.system_prompt, tuple(ids), tuple(strings))


def question(seat: Seat, text: str) -> str:
    """The rendered prompt of one user turn that is a model's own text."""
    return chat_template.render(seat.tokenizer, chat_template.neutralise(seat.tokenizer, text), seat.system)


def trace(completion: Completion) -> dict[str, Any]:
    """The columns of TRACE."""
    return {"completion_key": completion.key, "attempts": completion.attempts, "error": completion.error}


def judge_prompt(seat: Seat, template: str, **texts: str) -> str:
    """The rendered prompt of a judge: `template` with each text fenced in its place.

    A fence carries a code derived from the text between it, so no text can hold its own end. Codes depend on nothing else:
    prompts about one instruction share their beginning, which prefix caching turns into speed.
    """
    blocks = {}
    for name, text in texts.items():
        code = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        blocks[name] = f"<<<{code}\n{chat_template.neutralise(seat.tokenizer, text)}\n{code}>>>"
    return chat_template.render(seat.tokenizer, Template(template).substitute(blocks), seat.system)


def last_line_verdict(completion: Completion, pattern: str) -> tuple[str | None, str]:
    """The verdict `[[...]]` that is the judge's own last line: (verdict, "") or (None, why there is none).

    A line that holds more may quote an answer; only a label and emphasis are allowed beside the verdict.
    """
    if completion.error is not None:
        return None, completion.error
    if completion.finish_reason == "length":
        return None, "cut off at the token limit"
    lines = completion.text.strip().splitlines()
    found = re.fullmatch(VERDICT_LINE.replace("PATTERN", pattern), lines[-1], re.IGNORECASE) if lines else None
    return (found["verdict"], "") if found else (None, "the last line is no verdict")


def choice_probabilities(completion: Completion, choices: tuple[str, ...]) -> tuple[dict[str, float] | None, str]:
    """The probability of each allowed word, summing to one: (probabilities, "") or (None, why there are none).

    vLLM reports them under the constraint. A text that is none of the choices, or a choice that is missing among the likeliest
    tokens, means that the server did not apply it; what is left then says nothing about the choices.
    """
    if completion.error is not None:
        return None, completion.error
    if completion.text.strip() not in choices:
        return None, f"the constraint did not bind: {completion.text.strip()[:40]!r}"
    logprobs = completion.logprobs or {}
    if missing := [choice for choice in choices if choice not in logprobs]:
        return None, f"no probability of {', '.join(missing)} among the {LETTER_LOGPROBS} likeliest tokens"
    likeliest = max(logprobs[choice] for choice in choices)
    mass = {choice: math.exp(logprobs[choice] - likeliest) for choice in choices}
    total = math.fsum(mass.values())
    return {choice: p / total for choice, p in mass.items()}, ""
