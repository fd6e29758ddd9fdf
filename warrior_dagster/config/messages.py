"""How text of a user's file, or of a server, is shown in an error: short, printable, and without what looks like a secret."""

import re

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


def on_one_line(text: str) -> str:
    """A text with line breaks and other characters that no terminal shows as escapes; a long one is cut.

    What looks like a key or a password is masked: files and services repeat them.
    """
    safe = CREDENTIALS.sub(MASK, text[: 2 * LONGEST])
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in safe[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
