"""The blocks of code in a Markdown document. All is done in time linear in its length."""

import re
from functools import cache
from textwrap import dedent
from typing import NamedTuple

from markdown_it import MarkdownIt

PYTHON = re.compile(r"[{.\s]*(?:lang(?:uage)?-)?(?:i?python|pycon|py)(?![a-z])|\S+\.py(?![\w.])", re.IGNORECASE | re.ASCII)
"""The start of an info string of Python: `python3.11`, `py title="x"`, `{.python}`, `pycon`, or a file's name."""
INDENTED_FENCE = re.compile(r"^[ \t]++(?=```|~~~)", re.MULTILINE)
LINE_END = re.compile(r"\r\n?|\n")
"""The end of a line in a document. `str.splitlines` also takes characters that end none."""
PROMPT = re.compile(r"[ \t]*(?:>>>|\.\.\.)(?: |$)")
MAGIC = re.compile(r"^[ \t]*[!%].*$", re.MULTILINE)
STARTS_DEFINITION = re.compile(r"(?:@|def |async def |class |import |from \S+ import )")


class Block(NamedTuple):
    """A fenced block of a document."""

    label: str
    """Its info string, such as `python`; "" if it has none."""
    text: str

    @property
    def is_python(self) -> bool:
        """Whether it is labelled as Python, or not at all."""
        return not self.label or PYTHON.match(self.label) is not None


@cache
def markdown() -> MarkdownIt:
    """A CommonMark parser of what decides where a fence begins and ends; other blocks and what is in a line do not."""
    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    parser.block.ruler.enableOnly(["fence", "code", "blockquote", "list", "hr", "paragraph"])
    return parser


def fenced_blocks(text: str) -> list[Block]:
    """The fenced blocks of a document, as CommonMark has them: also in lists and quotes, and the last may not be closed."""
    if "```" not in text and "~~~" not in text:
        return []
    return [Block(t.info.strip(), dedent(t.content)) for t in markdown().parse(text) if t.type == "fence"]


def ends_in_fence(text: str) -> bool:
    """Whether a document ends before its last fence does: its last line is the code of a block, or closes one."""
    if "```" not in text and "~~~" not in text:
        return False
    document = outdented_fences(text.rstrip())
    last = len(LINE_END.split(document))
    return any(token.type == "fence" and token.map and token.map[1] == last for token in markdown().parse(document))


def outdented_fences(text: str) -> str:
    """A document with every fence at the start of its line. Many models indent fences by four spaces or more, or by too few for
    the list that they are in: to CommonMark these are none.
    """
    return INDENTED_FENCE.sub("", text)


def transcript(text: str) -> str:
    """What was typed at the prompts `>>>` and `...` of an interactive session, without what it printed; "" if it is none."""
    typed = [(line, prompt) for line in text.splitlines() if (prompt := PROMPT.match(line))]
    return "".join(f"{line[prompt.end() :]}\n" for line, prompt in typed)


def without_magics(text: str) -> str:
    """A notebook's cell without the lines for the shell (`!`) and for the notebook (`%`)."""
    return MAGIC.sub("", text)


def unfenced_definitions(text: str) -> list[str]:
    """The parts of a text without fences that begin, at the start of a line, as imports and definitions do."""
    parts, inside = list[list[str]](), False
    for line in text.splitlines(keepends=True):
        if STARTS_DEFINITION.match(line):
            if not (inside and parts[-1][-1].startswith("@")):  # a decorator belongs to what follows
                parts.append([])
            parts[-1].append(line)
            inside = True
        elif inside and (line.isspace() or line[0] in " \t)]}"):
            parts[-1].append(line)
        else:
            inside = False
    return ["".join(part) for part in parts]
