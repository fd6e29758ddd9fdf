"""Builds the prompts of competitors and judges, and reads verdicts. Text from a model is treated as data."""

import json
import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from string import Template
from typing import Any

import polars as pl

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import Battles
from warrior_dagster.config.messages import on_one_line
from warrior_dagster.config.serving import ChatService, Purpose, Sampling
from warrior_dagster.config.stages import Difficulty
from warrior_dagster.inference import chat_service, chat_template
from warrior_dagster.inference.chat_template import ChatTemplate
from warrior_dagster.inference.neutralising import neutralise, turns_changed
from warrior_dagster.inference.reasoning import ENDED_IN_REASONING, KNOWN_PAIRS, ReplyFormat, reply_format
from warrior_dagster.inference.request import Completion, Request, ServedModel, params, served_model
from warrior_dagster.inference.validation import is_logprob
from warrior_dagster.sandbox.code_blocks import LINE_END, ends_in_fence

# Possessive repeats, because runs of equal signs would otherwise be divided between them in every way: quadratic time.
VERDICT_LINE = (
    r"[\s*_#`]*+(?:(?:my |the )?(?:final )?(?:verdict|grade|score|rating)(?: is)?\s*+:?)?+[\s*_`]*+"
    r"\[\[\s*+(?P<verdict>PATTERN)\s*+\]\][\s*_`.]*+"
)
REQUEST_COLUMNS: dict[str, Any] = {"completion_key": pl.String, "attempts": pl.Int64, "error": pl.String}
"""The columns that every row from a model has about its request. `error` is null unless the request failed."""
UNFINISHED = {"length": "cut off at the token limit", ENDED_IN_REASONING: "ended inside its reasoning"}
"""Why a completion with this finish reason is incomplete."""
LETTER_LOGPROBS = 20  # the number of most likely first tokens whose probabilities are returned: vLLM's default limit


class CompetitorFailed(ValueError):
    """A competitor cannot be prompted; the message has its model and what its files raised, on one line."""

    def __init__(self, model: str, error: Exception) -> None:
        plain = type(error) is ValueError and str(error)  # the name would say no more than that it failed
        reason = on_one_line(" ".join((str(error) if plain else f"{type(error).__name__}: {error}").split()))
        super().__init__(reason if model in reason else f"{model}: {reason}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered prompt. `refused` says why it must not be sent; "" if it may."""

    text: str
    refused: str = ""


@dataclass(frozen=True, slots=True)
class LoadedCompetitor:
    """A competitor with its model, chat template and system prompt, and how its replies are divided."""

    name: str
    model: ServedModel
    template: ChatTemplate | None
    """None for a service that only chats."""
    system: str | None
    format: ReplyFormat

    def user_turn(self, prefix: str, sampling: Sampling, tag: Any, samples: tuple[int, ...]) -> Request:
        """A request for the rest of a user's turn, which any token of the frame ends."""
        assert self.template, "a service that only chats cannot be mined"
        ids, strings = chat_template.turn_end(self.template)
        values = params(sampling, stop_token_ids=ids, stop=strings)
        return Request(self.model, prefix, values, samples, tag, chat_template.frame_stops(self.template))

    def reply(self, prompt: Prompt, sampling: Sampling, tag: Any, samples: tuple[int, ...] = (0,)) -> Request:
        """A request for replies to a rendered prompt, one a sample: reasoning, if the model writes any, and an answer."""
        if self.template is None:
            values = chat_service.params(sampling, probabilities=False)
            return Request(self.model, prompt.text, values, samples, tag, format=self.format)
        ids, strings = chat_template.turn_end(self.template)
        ends = [i for i in ids if i not in self.format.inside]
        values = params(sampling, stop_token_ids=ends, stop=strings, special_tokens=bool(self.format.special))
        return Request(self.model, prompt.text, values, samples, tag, format=self.format, refused=prompt.refused)

    def choice(self, prompt: Prompt, words: tuple[str, ...], tag: Any) -> Request:
        """A request for one of some words and their probabilities, as the first token of the answer."""
        greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=1)
        if self.template is None:
            return Request(self.model, prompt.text, chat_service.params(greedy, probabilities=True), tag=tag)
        values = params(greedy, choice=words, logprobs=LETTER_LOGPROBS)
        return Request(self.model, prompt.text + self.format.to_answer, values, tag=tag, refused=prompt.refused)

    def verdict(self, prompt: Prompt, settings: Battles | Difficulty, words: tuple[str, ...], tag: Any) -> Request:
        """A request for a verdict: for one of the words if it is direct, else for a reply that ends in the verdict."""
        return self.choice(prompt, words, tag) if settings.verdict == "direct" else self.reply(prompt, settings.sampling, tag)


def load_competitor(arena: Arena, name: str, purpose: Purpose) -> LoadedCompetitor:
    """Load a competitor's template, and try it. Raises CompetitorFailed, whatever its files raise."""
    competitor = arena.competitor(name)
    arguments = json.dumps(competitor.template_arguments.of(purpose), sort_keys=True)
    try:
        model = served_model(arena, competitor)
        if isinstance(model.serve, ChatService):
            named = [(tags[0], tags[1])] if (tags := competitor.reasoning_tags) else []
            return LoadedCompetitor(name, model, None, competitor.system_prompt, ReplyFormat((*named, *KNOWN_PAIRS)))
        template = chat_template.load_template(competitor.model, competitor.revision, arguments)
        format = reply_format(template, competitor.reasoning_tags)
        chat_template.turn_end(template)
        loaded = LoadedCompetitor(name, model, template, competitor.system_prompt, format)
        if refused := user_prompt(loaded, "Hello.").refused:
            raise ValueError(refused)
    except Exception as error:  # tokenizers and templates may raise anything
        raise CompetitorFailed(competitor.model, error) from error
    return loaded


def user_prompt(competitor: LoadedCompetitor, text: str) -> Prompt:
    """The rendered prompt of one user turn whose text came from a model."""
    return rendered(competitor, neutralised(competitor, text))


def rendered(competitor: LoadedCompetitor, user: str) -> Prompt:
    """The prompt of one user turn: text by the chat template, or the messages to a service that only chats."""
    if competitor.template is None:
        return Prompt(chat_service.messages(user, competitor.system))
    prompt = chat_template.render(competitor.template, user, competitor.system)
    return Prompt(prompt, turns_changed(competitor.template, user, competitor.system, prompt))


def neutralised(competitor: LoadedCompetitor, text: str) -> str:
    """A text from a model in which nothing acts as part of the competitor's chat template."""
    if competitor.template is None:
        return chat_service.neutralise(text)
    return neutralise(competitor.template, text)


def request_columns(completion: Completion) -> dict[str, Any]:
    return {"completion_key": completion.key, "attempts": completion.attempts, "error": completion.error}


def judge_prompt(judge: LoadedCompetitor, template: str, **texts: str) -> Prompt:
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

    Besides it, the line may only have a label and emphasis: a line with more text may quote an answer, and so do a line that
    begins with `>` and one inside a fenced block.
    """
    if completion.error is not None:
        return None, completion.error
    if completion.finish_reason in UNFINISHED:
        return None, UNFINISHED[completion.finish_reason]
    last_line = LINE_END.split(completion.text.strip())[-1]
    # Without ASCII, IGNORECASE also takes a dotless i for an i, and a verdict would not be one of the pattern's words.
    expected = VERDICT_LINE.replace("PATTERN", f"(?a:{pattern})")
    found = re.fullmatch(expected, last_line, re.IGNORECASE)
    if not found:
        return None, "the last line is no verdict"
    return (None, "the last line is inside a code block") if ends_in_fence(completion.text) else (found["verdict"], "")


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
    if wrong := [choice for choice in choices if not is_logprob(logprobs[choice])]:
        return None, f"no finite log-probability of {', '.join(wrong)}"
    likeliest = max(logprobs[choice] for choice in choices)
    mass = {choice: math.exp(logprobs[choice] - likeliest) for choice in choices}
    total = math.fsum(mass.values())
    return {choice: p / total for choice, p in mass.items()}, ""
