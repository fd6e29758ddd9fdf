"""How text of a user's file, of a server or of a model is shown: visible, and in errors without what looks like a secret."""

import re
from typing import Any

LONGEST = 1000
"""The most characters of one part of an error."""
MASK = "***"
CREDENTIALS = re.compile(
    r"(?<=//)[^/\s]+(?=@)"  # a user and password in an address
    r"|(?<=bearer\s)\s*[^\s\"',]+"
    r"|\b(?:sk|rk|pk|gsk|xai|hf|tgp|nvapi|pplx|csk|fw)[-_](?=[\w*.\-]*[\d*])[\w*.\-]{6,}"
    r"|\bAIza[\w\-]{10,}"
    r"|(?<=key=)[^\s&\"']+"
    r"|\*{3,}[\w\-]+",  # the last characters of a key that the service has masked itself
    re.IGNORECASE,
)
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What a terminal or browser obeys or hides instead of showing it, and half surrogate pairs; not what joins letters."""


def visible(text: str) -> str:
    """A text with control, bidirectional and invisible characters as JSON's escapes; line feeds and tabs stay.

    What is printed cannot move the cursor, erase or reorder other text. JSON stays JSON with the same values.
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
    """A text with line breaks and other characters that no terminal shows as escapes; a long one is cut.

    What looks like a key or a password is masked: files and services repeat them.
    """
    safe = CREDENTIALS.sub(MASK, text[: 2 * LONGEST])
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in safe[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
