"""The prompts, one text file each, and what makes a text of the user's own one that a stage can fill in."""

from importlib.resources import files
from string import Template
from typing import Any

from pydantic import AfterValidator


def packaged_prompt(name: str) -> str:
    """The text of `warrior_dagster/prompts/NAME.txt`."""
    return files(__name__).joinpath(f"{name}.txt").read_text("utf-8").strip()


def with_placeholders(*names: str) -> AfterValidator:
    """A check that a prompt has exactly the placeholders `$name` that its stage fills in."""

    def check(text: str) -> str:
        template = Template(text)
        if not template.is_valid():
            raise ValueError("expected every '$' to start a placeholder ('$$' is a plain dollar sign)")
        found = set(template.get_identifiers())
        for name in names:
            if name not in found:
                raise ValueError(f"expected the placeholder ${name} in the prompt")
        if extra := sorted(found - set(names)):
            raise ValueError(f"expected no placeholder besides {', '.join('$' + n for n in names)}; found ${extra[0]}")
        return text

    return AfterValidator(check)


def prompt_of_verdict(values: Any, stage: str) -> Any:
    """Fill in the packaged prompt that asks for the kind of verdict the stage is set to."""
    if isinstance(values, dict) and "prompt" not in values:
        kind = values.get("verdict", "reasoned")
        if kind in ("reasoned", "direct"):
            return {**values, "prompt": packaged_prompt(f"{stage}_{kind}")}
    return values
