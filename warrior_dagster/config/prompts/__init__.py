"""The packaged prompts, one text file each, and the check of a user's own prompt."""

from importlib.resources import files
from string import Template
from typing import Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo


def packaged_prompt(name: str) -> str:
    """The text of NAME.txt."""
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


def by_verdict(stage: str) -> BeforeValidator:
    """Replace an absent prompt by the packaged one for the stage's kind of verdict, which is a field before the prompt's."""

    def filled_in(text: Any, info: ValidationInfo) -> Any:
        return packaged_prompt(f"{stage}_{info.data.get('verdict', 'reasoned')}") if text == "" else text

    return BeforeValidator(filled_in)
