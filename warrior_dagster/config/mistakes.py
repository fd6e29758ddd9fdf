"""A mistake that pydantic found, in the words of someone who writes the YAML: what was expected, and what stands there."""

import re
from functools import reduce
from typing import Any

import yaml

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import Misplaced
from warrior_dagster.config.suggestions import did_you_mean, literals, near_key, sections
from warrior_dagster.config.yaml_syntax import line_of
from warrior_dagster.config.yaml_values import Mistake, joined, kind_of, steps_of

EXPECTED = {
    **dict.fromkeys(("model_type", "dict_type"), "a mapping of keys"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **{"string_type": "text", "finite_number": "a finite number", "missing": "a value; found none"},
    **{"greater_than_equal": "at least {ge:g}", "less_than_equal": "at most {le:g}"},
    **{"greater_than": "more than {gt:g}", "less_than": "less than {lt:g}"},
    **{"too_short": "at least {min_length} items, not {actual_length}", "literal_error": "{expected}"},
}
"""What is expected, by pydantic's kind of error; its own messages name Python's types."""
NEVER_SHOWN = ("api_key_env",)
"""Keys under which people paste a key. What is found there is in no message."""


def first_causes(errors: list[Any]) -> list[Any]:
    """The errors, without "too short" for a list whose items have errors themselves."""
    paths = [error["loc"] for error in errors]
    return [
        error
        for error in errors
        if error["type"] != "too_short" or not any(p[: len(error["loc"])] == error["loc"] and p != error["loc"] for p in paths)
    ]


def explain(error: Any, document: yaml.Node) -> Mistake:
    """A pydantic error as what was expected, and what was found as it is written."""
    loc, kind, context = error["loc"], error["type"], error.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Misplaced):
        loc = (*loc, cause.index)
    if kind == "value_error" and not loc and (named := re.match(r"([a-z_.0-9\[\]]+): (?=expected)", str(cause))):
        loc, cause = steps_of(named[1]), str(cause)[named.end() :]  # a rule about the whole arena names a key
    if kind.startswith("union_tag_"):
        loc = (*loc, "kind")
    steps, line, node = locate(loc, document)
    if kind == "value_error":
        expected = str(cause)
    elif kind == "extra_forbidden":
        expected = f"expected a key of the schema{near_key(Arena, loc)}"
    else:
        expected = f"expected {in_words(error)}{found(error, node, steps)}"
    return Mistake(line, reduce(joined, steps, ""), expected)


def in_words(error: Any) -> str:
    """What is expected instead of a value of the wrong kind."""
    kind, context = error["type"], error.get("ctx", {})
    if kind.startswith("union_tag_"):
        return alternatives([f"`kind: {one}`" for one in kinds(error["loc"])])
    if kind == "model_attributes_type":  # of a union, which only `serve` is
        return "a mapping such as {kind: vllm} or {kind: endpoint, urls: [http://HOST:8000]}"
    if kind == "string_pattern_mismatch" and (described := described_characters(error["loc"])):
        return described
    if kind in EXPECTED:
        return EXPECTED[kind].format(**context)
    return re.sub(r"^\w+ should ", "to ", error["msg"])


def found(error: Any, node: yaml.Node | None, steps: list[int | str]) -> str:
    """What stands in the place of a value, and which word it may have been."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("missing", "too_short") or (steps and steps[-1] in NEVER_SHOWN):
        return ""
    if node is None:
        return "; found none"
    text = f"; found {kind_of(node) or 'nothing'}"
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        return text
    words = kinds(error["loc"]) if kind.startswith("union_tag_") else quoted(context.get("expected", ""))
    needs_quotes = ", which needs quotes to be text" if kind == "string_type" else ""
    return text + needs_quotes + did_you_mean(node.value, words)


def quoted(text: str) -> list[str]:
    """The words in single quotes of one of pydantic's messages."""
    return re.findall("'([^']*)'", str(text))


def kinds(loc: tuple[int | str, ...]) -> list[str]:
    """The words that `kind` may be in a section that is one of several."""
    return [one for section in sections(Arena, loc) for one in literals(section.model_fields["kind"].annotation)]


def alternatives(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def described_characters(loc: tuple[int | str, ...]) -> str:
    """The characters of a name, by the beginning of its field's description; empty if the field itself has no pattern."""
    *above, last = loc
    fields = [one.model_fields[str(last)] for one in sections(Arena, above) if last in one.model_fields]
    description = fields[0].description if fields else None
    return re.split("[;:]", description)[0].lower() if description else ""


def locate(loc: tuple[int | str, ...], document: yaml.Node) -> tuple[list[int | str], int, yaml.Node | None]:
    """The keys, the line and the node of pydantic's path in the YAML. The node is None where the YAML has no such key.

    Steps that are no keys (a union's tag) are left out.
    """
    node: yaml.Node | None = document
    line, steps, tagged = 1, list[int | str](), False
    for step in loc:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = line_of(node.start_mark)
        elif isinstance(node, yaml.MappingNode):
            pairs = {name.value: (name, value) for name, value in node.value}
            tagged = not tagged and "kind" in pairs and pairs["kind"][1].value == step
            if tagged:
                continue
            name, node = pairs.get(str(step), (None, None))
            line = line_of(name.start_mark) if name else line
        else:
            node = None
        steps.append(step)
    return steps, line, node
