"""How text of a user's file, of a server or of a model is shown to a person."""

import re
from typing import Any

LONGEST = 1000
"""The most characters of one part of an error."""
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What a terminal or browser obeys or hides instead of showing it, and half surrogate pairs. Joiners of letters are none."""


def visible(text: str) -> str:
    """A text with control, bidirectional and invisible characters as JSON's escapes; line feeds and tabs stay.

    What is printed cannot move the cursor, erase or reorder other text. JSON in stays JSON with the same values.
    """
    return OBEYED.sub(escape, text)


def escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def all_visible(value: Any) -> Any:
    """The same value with each text in it made `visible`, within mappings and lists too."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {all_visible(name): all_visible(item) for name, item in value.items()}
    return [all_visible(item) for item in value] if isinstance(value, list | tuple) else value


def on_one_line(text: str) -> str:
    """A text with line breaks and other characters that no terminal shows as escapes; a long one is cut."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
