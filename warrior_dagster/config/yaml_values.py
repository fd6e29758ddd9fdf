"""The values of a YAML document, read within bounds, with a line for each mistake.

What YAML 1.1 guesses from plain text is text here: octal and binary numbers, times such as 12:30, and dates.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

from warrior_dagster.config.yaml_syntax import line_of, not_yaml

DEEPEST = 40
"""The most levels of nesting."""
MOST_VALUES = 20_000
"""The most values, with those that aliases repeat."""
TAG = "tag:yaml.org,2002:"
MERGE = f"{TAG}merge"


class Mistake(NamedTuple):
    """A mistake in a document."""

    line: int
    key: str
    """The keys that lead to it, such as `mining.settings[0].top_p`."""
    expected: str


class Refused(yaml.MarkedYAMLError):
    """A document that is YAML, but exceeds a bound: the problem says what is expected, the context at which key."""


class Loader(yaml.SafeLoader):
    """Composes nodes; a plain scalar is null, a boolean, a decimal or hexadecimal number, or text."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise Refused(problem=f"at most {DEEPEST} levels of nesting", problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in (MERGE, f"{TAG}null", f"{TAG}bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(f"{TAG}int", re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"), list("-+0123456789"))
Loader.add_implicit_resolver(
    f"{TAG}float",
    re.compile(r"[-+]?((0|[1-9][0-9_]*)\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def boolean(text: str) -> bool:
    return {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}[text.lower()]


SCALARS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "null": lambda text: None,
    "bool": boolean,
    "int": lambda text: int(text.replace("_", ""), 16 if "0x" in text else 10),
    "float": lambda text: float(re.sub(r"\.(?=[in])", "", text.replace("_", "").lower())),
}


def compose(text: str) -> tuple[yaml.Node | None, list[Mistake]]:
    """The tree of a document, with merged keys in their places, and the mistakes in it.

    The tree is None if there is none: the document is empty, or no YAML.
    """
    loader = None
    try:
        loader = Loader(text)
        document = loader.get_single_node()
        return document, [] if document is None else merged(document)
    except Refused as error:
        line = line_of(error.problem_mark) if error.problem_mark else 1
        return None, [Mistake(line, error.context or "", f"expected {error.problem}")]
    except yaml.MarkedYAMLError as error:
        line, expected = not_yaml(error, text)
        return None, [Mistake(line, "", f"expected {expected}")]
    except yaml.reader.ReaderError as error:
        where = text.count("\n", 0, error.position) + 1
        return None, [Mistake(where, "", f"expected text without control characters; found U+{error.character:04X}")]
    except (ValueError, OverflowError):  # an escape in quotes that is no character
        line = line_of(loader.get_mark()) if loader else 1
        return None, [Mistake(line, "", r"expected YAML; an escape such as \U00110000 is no character")]


def joined(key: str, step: str | int) -> str:
    """The keys to a value within the value at `key`."""
    return f"{key}[{step}]" if isinstance(step, int) else f"{key}.{step}".lstrip(".")


def steps_of(key: str) -> tuple[str | int, ...]:
    """The steps of a key that `joined` made."""
    return tuple(int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", key))


def merged(document: yaml.Node) -> list[Mistake]:
    """Replace each `<<` by the keys that it merges; a mapping's own come first. Returns the mistakes in keys and aliases.

    Raises Refused for a document with too many values or levels.
    """
    mistakes, done, count = list[Mistake](), set[int](), 0

    def counted(node: yaml.Node, values: int, above: tuple[int, ...]) -> None:
        nonlocal count
        count += values
        if count > MOST_VALUES:
            raise Refused(problem=f"at most {MOST_VALUES} values, with aliases", problem_mark=node.start_mark)
        if len(above) > DEEPEST:
            raise Refused(problem=f"at most {DEEPEST} levels of nesting", problem_mark=node.start_mark)

    def flatten(node: yaml.MappingNode, key: str, above: tuple[int, ...]) -> None:
        counted(node, len(node.value), above)
        own, sources = dict[str, Any](), list[yaml.Node]()
        for name, value in node.value:
            if name.tag == MERGE:
                sources += value.value if isinstance(value, yaml.SequenceNode) else [value]
            elif not isinstance(name, yaml.ScalarNode):
                mistakes.append(Mistake(line_of(name.start_mark), key, f"expected text as a key; found {kind_of(name)}"))
            elif name.value in own:
                first = line_of(own[name.value][0].start_mark)
                expected = f"expected each key once; it is already in line {first}"
                mistakes.append(Mistake(line_of(name.start_mark), joined(key, name.value), expected))
            else:
                own[name.value] = (name, value)
        done.add(id(node))
        for source in sources:
            if not isinstance(source, yaml.MappingNode) or id(source) in above:
                mistakes.append(Mistake(line_of(node.start_mark), joined(key, "<<"), "expected the alias of another mapping"))
                continue
            if id(source) not in done:
                flatten(source, key, (*above, id(source)))
            counted(node, len(source.value), above)
            for name, value in source.value:
                own.setdefault(name.value, (name, value))
        node.value = list(own.values())

    def visit(node: yaml.Node, key: str, above: tuple[int, ...]) -> None:
        counted(node, 1, above)
        if id(node) in above:
            raise Refused(context=key, problem="a value that does not contain itself", problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode):
            if id(node) not in done:
                flatten(node, key, (*above, id(node)))
            for name, value in node.value:
                visit(value, joined(key, name.value), (*above, id(node)))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                visit(value, joined(key, index), (*above, id(node)))

    visit(document, "", ())
    return mistakes


def value_of(node: yaml.Node, mistakes: list[Mistake], key: str = "") -> Any:
    """The value of a node of a tree that `compose` returned; appends to `mistakes`."""
    tag = node.tag.removeprefix(TAG)
    if isinstance(node, yaml.MappingNode) and tag == "map":
        return {name.value: value_of(value, mistakes, joined(key, name.value)) for name, value in node.value}
    if isinstance(node, yaml.SequenceNode) and tag == "seq":
        return [value_of(value, mistakes, joined(key, index)) for index, value in enumerate(node.value)]
    line = line_of(node.start_mark)
    if not isinstance(node, yaml.ScalarNode) or tag not in SCALARS:
        mistakes.append(Mistake(line, key, f"expected a value without a tag; found {node.tag.replace(TAG, '!!')}"))
        return None
    if wrong := re.search("[\0\ud800-\udfff]", node.value):
        mistakes.append(Mistake(line, key, f"expected text of characters; found U+{ord(wrong[0]):04X}"))
        return None
    try:
        return SCALARS[tag](node.value)
    except (ValueError, KeyError):
        mistakes.append(Mistake(line, key, f"expected a value of type {tag}; found {node.value!r}"))
        return None


def kind_of(node: yaml.Node) -> str:
    """What a node is, in words."""
    if isinstance(node, yaml.ScalarNode):
        return node.value if node.tag != f"{TAG}str" else repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
