"""Texts of models that try to be obeyed by what shows them, and what may be left of them on a screen."""

import unicodedata

from hypothesis import strategies as st

MARKS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
EMBEDDED = (
    *("\x1b[31m", "\x1b]8;;http://x\x1b\\", "\x1b]0;title\x07", "\x9b2J", "\r", "\x08", "\x7f", "\x00", "\u2028", "\u2029"),
    *("\u202e", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c", "\u200b", "\ufeff", "\U000e0041", "\ud800", "\udc00"),
    *(
        "[bold]",
        "[/bold]",
        "[/]",
        "[link=http://x]",
        "[red",
        ":bug:",
        "\\",
        "\\[",
        "<b>",
        "|",
        "`",
        "\n",
        "\t",
        "ä",
        "語",
        "🐛",
    ),
)
TEXTS = st.lists(st.one_of(st.sampled_from(EMBEDDED), st.text(st.characters(), max_size=5)), max_size=8).map("".join)
"""Any text: also halves of surrogate pairs, which JSON can hold."""


def obeyed(text: str) -> set[str]:
    """The characters of a text that a terminal or a page obeys or cannot show."""
    return {
        c
        for c in text
        if (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t")
        or unicodedata.bidirectional(c) in MARKS
        or c in "\u200e\u200f\u061c"
    }
