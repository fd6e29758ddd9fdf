"""Variants of literal arguments. Each has the type of the original and about its size, so that the call stays meaningful.

Literals are changed as syntax, not as values: a set keeps the order of its source, which Python's hash seed does not change.
"""

import ast
import math
from collections.abc import Sequence
from random import Random
from typing import Any

ROOM = 2
"""A text or a collection may become twice as long, and longer by this much."""


def mutated(node: ast.expr, random: Random) -> ast.expr:
    """A literal with one change. None, bytes, complex numbers and empty collections stay as they are."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return collection(node, random)
    if isinstance(node, ast.Dict):
        return dictionary(node, random)
    value = ast.literal_eval(node)
    other = changed(value, random)
    return node if other is value else ast.Constant(other)


def collection(node: ast.List | ast.Tuple | ast.Set, random: Random) -> ast.expr:
    """A list, a tuple or a set with one element changed, added or dropped, or in another order, or empty."""
    elements = list[ast.expr](node.elts)
    if not elements:
        return node
    place = random.randrange(len(elements))
    other = mutated(elements[place], random)
    choices: list[Sequence[ast.expr]] = [
        *([[*elements[:place], other, *elements[place + 1 :]]] * 3),
        [*elements, other],
        [*elements[: place + 1], *elements[place:]],
        elements[:place] + elements[place + 1 :],
        elements[::-1],
        [],
    ]
    chosen = random.choice(choices)
    if isinstance(node, ast.Set):
        return ast.Set([*chosen] or elements)  # an empty set has no literal
    return ast.List([*chosen]) if isinstance(node, ast.List) else ast.Tuple([*chosen])


def dictionary(node: ast.Dict, random: Random) -> ast.expr:
    """A dictionary with a key or a value changed, an item dropped or added, or empty."""
    items = list(zip(node.keys, node.values, strict=True))
    if not items:
        return node
    place = random.randrange(len(items))
    key, value = items[place]
    assert key is not None  # `**more` is no literal
    rest = items[:place], items[place + 1 :]
    choices = [
        *([[*rest[0], (key, mutated(value, random)), *rest[1]]] * 3),
        [*rest[0], (mutated(key, random), value), *rest[1]],
        [*items, (mutated(key, random), mutated(value, random))],
        [*rest[0], *rest[1]],
        [],
    ]
    chosen = random.choice(choices)
    return ast.Dict([key for key, _ in chosen], [value for _, value in chosen])


def changed(value: Any, random: Random) -> Any:
    """Another number, text or truth value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return random.choice([value + 1, value - 1, value + random.randint(2, 9), 2 * value + 1, 0, -value])
    if isinstance(value, float) and math.isfinite(value):
        return random.choice([value + 1, value - 1, value + 0.5, value * 2, value / 2, 0.0, -value])
    return text(value, random) if isinstance(value, str) else value


def text(value: str, random: Random) -> str:
    """A text with one character dropped, doubled, swapped with the next or of other case; a piece longer; or empty."""
    if not value:
        return random.choice(["a", " ", "0"])
    at = random.randrange(len(value))
    before, one, after = value[:at], value[at], value[at + 1 :]
    longest = 2 * len(value) + ROOM
    choices = [before + after, before + one + one + after, before + after[:1] + one + after[1:]]
    choices += [before + one.swapcase() + after, value + value[at:], value + " " + before, ""]
    return random.choice(choices)[:longest]
