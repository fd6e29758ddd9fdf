"""Text of models on its way to a reader."""

import unicodedata


def printable(text: str) -> str:
    """A model's text without the control characters that a terminal would obey."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) != "Cc")
