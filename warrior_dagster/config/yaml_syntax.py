"""Why a text is no YAML, in the words of someone who writes it: PyYAML names its parser's tokens and states."""

import re

import yaml

KEY_WITHOUT_SPACE = re.compile(r"\s*(- +)?[A-Za-z_]\w*:[^\s:/]")
KEY = re.compile(r"( *)(- +)?[A-Za-z_][\w-]*:( |$)")
ITEM = re.compile(r"( *)- ")


def line_of(mark: yaml.Mark) -> int:
    """The line as editors count them: PyYAML would also count U+2028 and others, which a prompt may contain."""
    assert mark.buffer is not None
    return mark.buffer.count("\n", 0, mark.pointer) + 1


def not_yaml(error: yaml.MarkedYAMLError, text: str) -> tuple[int, str]:
    """The line of a syntax error, and what is expected there."""
    mark = error.problem_mark or error.context_mark
    assert mark
    line, start = line_of(mark), error.context_mark or mark
    problem, context, began = error.problem or "", error.context or "", line_of(start)
    lines, found = text.split("\n"), text[mark.index : mark.index + 1]
    here, above = lines[line - 1], [one for one in lines[: line - 1] if one.split("#")[0].strip()]
    before = above[-1] if above else ""
    indented, advice = len(here) - len(here.lstrip(" ")), indentation(here, above)
    no_colon, deeper = "simple key" in context, "mapping values are not allowed" in problem
    open_quote, in_block = "quoted scalar" in context, bool(context) and "block" in context
    reasons = [
        (found == "\t" or re.match(r" *\t", here), "YAML; found a tab where only spaces may stand"),
        ("cannot start any token" in problem, f"YAML; a value that starts with {found!r} needs quotes around it"),
        (open_quote, "YAML; the quote that opens in this line is not closed"),
        (no_colon, "YAML; a key ends with a colon and a space, as in `name: mine`"),
        (
            "flow" in context,
            f"YAML; the bracket of line {began} is still open here, or a text with ': ' needs quotes around it",
        ),
        (deeper and ": " in here[: mark.column], "YAML; a text that contains ': ' needs quotes around it"),
        (deeper and KEY_WITHOUT_SPACE.match(before), "YAML; the line before needs a space after its colon"),
        (deeper, f"YAML; this key is indented deeper than the one before it, which already has a value{advice}"),
        ("another document" in problem, "one YAML document; a second one begins here"),
        (
            in_block and indented != start.column,
            f"YAML; this line is indented by {indented}, as nothing above it is{advice}",
        ),
        (
            in_block and "collection" in context,
            f"YAML; this line is no item of the list from line {began}: its items begin with '- '{advice}",
        ),
        (True, f"YAML: {' '.join(filter(None, (context, problem)))}"),
    ]
    return began if open_quote or no_colon else line, next(reason for applies, reason in reasons if applies)


def indentation(here: str, above: list[str]) -> str:
    """By how much to indent a line: as the nearest item above if it begins an item, else as the key in the line above; empty if
    there is none. Comments and empty lines are not in `above`.
    """
    if ITEM.match(here):
        items = [found for one in above if (found := ITEM.match(one))]
        return f"; indent it by {len(items[-1][1])}, like the item above it" if items else ""
    key = KEY.match(above[-1]) if above else None
    return f"; indent it by {len(key[1]) + len(key[2] or '')}, like the key above it" if key else ""
