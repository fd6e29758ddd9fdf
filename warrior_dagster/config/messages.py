"""How text of a user's file, or of a server, is shown in an error."""

LONGEST = 1000
"""The most characters of one part of an error."""


def on_one_line(text: str) -> str:
    """A text with line breaks and other characters that no terminal shows as escapes; a long one is cut."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
