"""The card of an exported data set, for the Hub and for everyone who trains on it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from warrior_dagster.stages.export.publishing import public

DECIDED_BY = (
    "`decided_by` names the kind of evidence that put the best answer first. Where none did, it is `rating`, its competitor's, "
    "or `length`: it is the shortest of those that nothing else told apart."
)
OF_INSTRUCTION = (
    "`attacker` is the model that revealed the instruction, `language` the programming language that it was mined for (the "
    "text may name another), `difficulty` the panel's score from 1 to 10."
)
FORMATS = {
    "sft": "`messages`: the instruction and its best answer. For supervised fine-tuning, such as TRL's `SFTTrainer`. "
    + DECIDED_BY,
    "dpo": "`prompt`, `chosen`, `rejected`: the best and the worst answer. For preference training, such as TRL's "
    f"`DPOTrainer`. {DECIDED_BY}",
    "kto": "`prompt`, `completion`, `label`: single answers, desirable or not. For unpaired preference training, such "
    "as TRL's `KTOTrainer`. Keep the order of the rows: neighbours answer different instructions.",
}
SIZES = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M")]
ORIGIN = (
    "From battles between code models, by the method of WarriorCoder (arXiv 2412.17395): models pose instructions to "
    "each other, and all of them answer. Each pair of answers is compared by {evidence}."
)
COMPARED_BY = {
    "opinion": "the preferences of the models that do not compete in the battle",
    "execution": "the results of tests that these models wrote",
    "behaviour": "how far the answers agree with the others on what they return",
}
BLIND = (
    "The judges wrote the tests without seeing an answer, and no person checked them. They may be wrong, too few, or missing: "
    "an answer in this data set does not mean that it was run or passed"
)
EVIDENCE = {
    "opinion": "the preferences of other models",
    "execution": "the results of tests that were run on it",
    "behaviour": "its agreement with other answers on what they return",
}
"""Why an answer is in a data set (after "because of"), for each kind of evidence."""
LIMITATIONS = """\
The models above generated the instructions and the answers; no person wrote them. An answer is in this data set because
of {evidence}. Such code may be wrong, insecure or out of date. Scores and ratings compare these competitors with one
another by that evidence, with the biases of the models that gave it. They do not measure correctness. Texts may repeat
the models' training data. Rows that overlap the benchmarks counted above word for word were removed, and no others. If
you train a model on this data and evaluate it on another benchmark, check for contamination first.

The licenses and the terms of use of the source models apply to their outputs, including restrictions on the training
of other models."""


def dataset_card(
    *,
    title: str,
    kind: str,
    rows: int,
    models: Sequence[Mapping[str, str | None]],
    counts: Mapping[str, int],
    settings: Mapping[str, Any],
    names: Mapping[str, str],
    evidence: Sequence[str],
) -> str:
    """The README.md of a data set: front matter for the Hub, then models, counts, settings and limitations.

    `kind` is `sft`, `dpo` or `kto`. Each model has `name`, `model`, `revision` and `license`; a missing or empty one is
    "unknown". `counts` are the rows after each stage, in order; `settings` are plain values, written as YAML; `evidence` is
    battles.evidence. A card is public, so the addresses of servers and local folders are removed from models and settings;
    `names` are what stands there for local folders and files (`publishing.public_names`).
    """
    front = {
        "pretty_name": title,
        "license": "other",
        "task_categories": ["text-generation"],
        "tags": ["code", "synthetic", "warriorcoder", kind],
        "size_categories": [next((size for limit, size in SIZES if rows < limit), "n>10M")],
        # Explicit, because the folder also has the same rows as JSON Lines.
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train.parquet"}]}],
    }
    columns = ("name", "model", "revision", "license")
    listed = [[public(model.get(column) or "unknown", names) for column in columns] for model in models]
    parts = [
        f"---\n{_yaml(front)}---",
        f"# {_line(title)}",
        f"{rows:,} rows. {ORIGIN.format(evidence=', and '.join(COMPARED_BY[kind] for kind in evidence))}",
        f"Columns: {FORMATS[kind]} {OF_INSTRUCTION}",
        f"## Models\n\n{_table(['competitor', 'model', 'revision', 'license'], listed)}",
        f"## Counts\n\n{_table(['stage', 'rows'], [[stage, f'{count:,}'] for stage, count in counts.items()])}",
        f"## Settings\n\n{_fenced(_yaml(public(dict(settings), names)))}",
        f"## Limitations\n\n{LIMITATIONS.format(evidence=because_of(evidence))}",
    ]
    return "\n\n".join(parts) + "\n"


def because_of(evidence: Sequence[str]) -> str:
    """Why an answer is in a data set, and how little that proves."""
    reasons = " or ".join(EVIDENCE[kind] for kind in evidence)
    return f"{reasons}. {BLIND}" if set(evidence) - {"opinion"} else f"{reasons}: nothing was verified by execution"


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)


def _line(text: str) -> str:
    return " ".join(text.split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *cells])


def _fenced(text: str) -> str:
    """A code block with a fence longer than any run of backticks inside, so that no prompt can end the block."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}yaml\n{text}{fence}"
