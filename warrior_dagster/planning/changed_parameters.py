"""Requests that are sent again because a version sends the same prompt and sampling with other parameters, such as stops."""

import json
from collections import defaultdict
from collections.abc import Iterable

from warrior_dagster.inference.ledger.reader import LedgerReader
from warrior_dagster.planning.plan import StagePlan

CHOSEN = {"temperature", "top_p", "max_tokens"}
"""Parameters that the arena sets: who changed them knows why requests are sent."""


def changed_parameters(stages: Iterable[StagePlan], ledger: LedgerReader) -> dict[tuple[str, str], str]:
    """Why requests of a stage and model would be sent again, by stage and model. One request of each sampling is looked up."""
    examples = {
        (stage.table.name, model): list(forecast.examples.values())
        for stage in stages
        for model, forecast in stage.forecasts.items()
    }
    stored = defaultdict[tuple[str, str], set[str]](set)
    for identity, prompt, params in ledger.parameters(sorted({one.prompt for found in examples.values() for one in found})):
        stored[identity, prompt].add(params)
    reasons = {
        place: sorted({difference(one.params, stored[one.model.identity, one.prompt]) for one in found} - {""})
        for place, found in examples.items()
    }
    return {place: f"sent before with other parameters: {'; '.join(found)}" for place, found in reasons.items() if found}


def difference(params: str, stored: set[str]) -> str:
    """What differs from parameters with the same sampling that were sent before; empty if none were, or the same ones were."""
    now = json.loads(params)
    for one in sorted(stored) if params not in stored else ():
        then = json.loads(one)
        changed = [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
        if not CHOSEN & set(changed):
            return ", ".join(f"{name} was {text(then, name)}, now {text(now, name)}" for name in changed)
    return ""


def text(values: dict[str, object], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False) if name in values else "absent"
