"""How many tokens a stage's missing completions of a model take: at least, as expected, and at most.

The lower bound has the completions that are known to be missing alone. The upper bound has as many others as there can be, and
each completion as long as its limit. Prompts count once for all samples of a request, as servers count them.
"""

from collections.abc import Iterable
from math import ceil
from typing import NamedTuple

from warrior_dagster.config.arena import Arena
from warrior_dagster.planning.forecast import Forecast
from warrior_dagster.planning.plan import Further, StagePlan


class Asked(NamedTuple):
    """Some completions, the tokens of their prompts, and their own."""

    completions: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Lengths(NamedTuple):
    """Mean tokens of a stage's prompts and completions, and what corrects those of prompts whose text is known."""

    prompt: float
    completion: float
    correction: float
    basis: str


def asked(arena: Arena, stage: StagePlan, model: str) -> tuple[tuple[Asked, Asked, Asked], str]:
    """What a model will be asked in a stage: at least, as expected and at most, and where the lengths come from."""
    known, further = stage.forecasts.get(model, Forecast()).missing, stage.further.get(model, Further())
    most_prompt, most_completion = limits(arena, stage, model)
    mean = lengths(stage, model, most_prompt, most_completion)
    completions = sum(one.samples for one in known)
    prompts = mean.correction * sum(one.prompt_tokens for one in known)
    longest = sum(one.samples * one.max_tokens for one in known)
    known_tokens = sum(one.samples * min(mean.completion, one.max_tokens) for one in known)
    least = Asked(completions, ceil(prompts), ceil(known_tokens))
    expected = Asked(
        completions + further.completions,
        ceil(prompts + further.prompts * mean.prompt),
        ceil(known_tokens + further.completions * min(mean.completion, most_completion)),
    )
    most = Asked(
        completions + further.most_completions,
        ceil(prompts + further.most_prompts * max(mean.prompt, most_prompt)),
        longest + further.most_completions * most_completion,
    )
    return (least, expected, most), mean.basis


def limits(arena: Arena, stage: StagePlan, model: str) -> tuple[int, int]:
    """The most tokens of a prompt and of a completion in a stage, over the competitors of a model."""
    assert stage.table.requests
    most = [stage.table.requests.max_tokens(arena, one) for one in arena.competitors if one.model == model]
    return max(prompt for prompt, _ in most), max(completion for _, completion in most)


def lengths(stage: StagePlan, model: str, most_prompt: int, most_completion: int) -> Lengths:
    """By what the model was asked in this stage so far, else by what others were, else half of the limits.

    In a run of Qwen2.5-Coder-0.5B, completions had 22, 45, 50 and 63 % of their limits, by purpose.
    """
    own = [stage.forecasts[model]] if model in stage.forecasts else []
    for forecasts, source in ((own, "this model's so far"), (stage.forecasts.values(), "the other models' so far")):
        if (so_far := total(forecasts)).in_ledger:
            prompt = so_far.prompt_tokens / so_far.prompts if so_far.prompts else most_prompt / 2
            correction = so_far.prompt_tokens / so_far.estimated_prompt_tokens if so_far.estimated_prompt_tokens else 1.0
            return Lengths(prompt, so_far.completion_tokens / so_far.in_ledger, correction, f"tokens: as {source}")
    return Lengths(
        ceil(most_prompt / 2), ceil(most_completion / 2), 1.0, "tokens: half of the limits, until there are completions"
    )


def total(forecasts: Iterable[Forecast]) -> Forecast:
    """What was asked in some forecasts together."""
    all_of_them = Forecast()
    for one in forecasts:
        all_of_them.add(one)
    return all_of_them
