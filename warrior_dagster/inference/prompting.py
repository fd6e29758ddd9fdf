"""Builds the prompts of competitors and judges, and reads verdicts. Text from a model is treated as data."""

import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from string import Template
from typing import TYPE_CHECKING, Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import ChatService, Sampling
from warrior_dagster.inference import chat_service, chat_template
from warrior_dagster.inference.request import Completion, Request, ServedModel, params, served_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VERDICT_LINE = (
    r"[\s*_#>`]*(?:(?:my |the )?(?:final )?(?:verdict|grade|score|rating)(?: is)?\s*:?)?[\s*_`]*"
    r"\[\[\s*(?P<verdict>PATTERN)\s*\]\][\s*_`.]*"
)
REQUEST_COLUMNS: dict[str, Any] = {"completion_key": pl.String, "attempts": pl.Int64, "error": pl.String}
"""The columns that every row from a model has about its request. `error` is null unless the request failed."""
LETTER_LOGPROBS = 20  # the number of most likely first tokens whose probabilities are returned: vLLM's default limit


@dataclass(frozen=True, slots=True)
class LoadedCompetitor:
    """A competitor with its model, tokenizer, system prompt and the stops of its turn."""

    name: str
    model: ServedModel
    tokenizer: "PreTrainedTokenizerBase | None"
    """None for a service that only chats."""
    system: str | None
    stop_token_ids: tuple[int, ...]
    stop: tuple[str, ...]

    def request(
        self, prompt: str, sampling: Sampling, tag: Any, *, samples: tuple[int, ...] = (0,), choice: tuple[str, ...] = ()
    ) -> Request:
        """A request for completions of a rendered prompt; with `choice`, for one of these words and their probabilities."""
        sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=1) if choice else sampling
        if self.tokenizer is None:
            return Request(self.model, prompt, chat_service.params(sampling, probabilities=bool(choice)), samples, tag)
        values = params(
            sampling,
            stop_token_ids=() if choice else self.stop_token_ids,
            stop=() if choice else self.stop,
            choice=choice,
            logprobs=LETTER_LOGPROBS if choice else None,
        )
        return Request(self.model, prompt, values, samples, tag)


def load_competitor(arena: Arena, name: str) -> LoadedCompetitor:
    """Load a competitor's tokenizer. Raises ValueError if it has no chat template, OSError if the model does not exist."""
    competitor = arena.competitor(name)
    if isinstance(arena.server(competitor), ChatService):
        return LoadedCompetitor(name, served_model(arena, competitor), None, competitor.system_prompt, (), ())
    tokenizer = chat_template.load_tokenizer(competitor.model, competitor.revision)
    ids, strings = chat_template.turn_end(tokenizer)
    model = served_model(arena, competitor)
    return LoadedCompetitor(name, model, tokenizer, competitor.system_prompt, tuple(ids), tuple(strings))


def user_prompt(competitor: LoadedCompetitor, text: str) -> str:
    """The rendered prompt of one user turn whose text came from a model."""
    return rendered(competitor, neutralised(competitor, text))


def rendered(competitor: LoadedCompetitor, user: str) -> str:
    """The prompt of one user turn: text by the chat template, or the messages to a service that only chats."""
    if competitor.tokenizer is None:
        return chat_service.messages(user, competitor.system)
    return chat_template.render(competitor.tokenizer, user, competitor.system)


def neutralised(competitor: LoadedCompetitor, text: str) -> str:
    """A text from a model in which nothing acts as part of the competitor's chat template."""
    if competitor.tokenizer is None:
        return chat_service.neutralise(text)
    return chat_template.neutralise(competitor.tokenizer, text)


def request_columns(completion: Completion) -> dict[str, Any]:
    return {"completion_key": completion.key, "attempts": completion.attempts, "error": completion.error}


def judge_prompt(judge: LoadedCompetitor, template: str, **texts: str) -> str:
    """The rendered prompt of a judge: `template` with each text inserted between fences.

    A fence has a hash of the text that it encloses, and of nothing else: no text can contain its own end, and prompts about
    one instruction have a common prefix, which the server caches.
    """
    blocks = {}
    for name, text in texts.items():
        code = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        blocks[name] = f"<<<{code}\n{neutralised(judge, text)}\n{code}>>>"
    return rendered(judge, Template(template).substitute(blocks))


def last_line_verdict(completion: Completion, pattern: str) -> tuple[str | None, str]:
    """The verdict `[[...]]` on the last line of a judge's text: (verdict, "") or (None, the reason why it has none).

    Besides it, the line may only have a label and emphasis: a line with more text may quote an answer.
    """
    if completion.error is not None:
        return None, completion.error
    if completion.finish_reason == "length":
        return None, "cut off at the token limit"
    lines = completion.text.strip().splitlines()
    found = re.fullmatch(VERDICT_LINE.replace("PATTERN", pattern), lines[-1], re.IGNORECASE) if lines else None
    return (found["verdict"], "") if found else (None, "the last line is no verdict")


def choice_probabilities(completion: Completion, choices: tuple[str, ...]) -> tuple[dict[str, float] | None, str]:
    """The probability of each choice, normalised to a sum of 1: (probabilities, "") or (None, the reason why it has none).

    vLLM reports probabilities under the constraint. Another text, or a choice that is not among the likeliest tokens, shows
    that the server did not apply it.
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
