"""The process in which the code under test runs: it loads the code and does what the check's process asks of it.

Nothing in it can be trusted once the code has run, and nothing needs to be: no check and no expected value is ever in its
memory, and what it sends are values for the check to compare.
"""

import builtins
import importlib
import operator
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest.conversation import Conversation
from warrior_dagster.sandbox.guest.values import MUTABLE, Encoded, NotPlain

MODULE_NAME = "answer"  # not "__main__", so code for use as a script does not run


def run_answer(reading: int, writing: int) -> NoReturn:
    """Load the code that the check's process sends, and serve that process until it ends."""
    module = ModuleType(MODULE_NAME)
    channel = AnswerEnd(reading, writing, vars(module))
    sys.modules[MODULE_NAME] = module
    while True:
        channel.reply(*channel.receive())


def load(code: str, namespace: dict[str, Any]) -> None:
    exec(compile(code, "answer.py", "exec", dont_inherit=True), namespace)


class Callback:
    """A function or an iterator of the check."""

    def __init__(self, channel: "AnswerEnd", number: int, name: Any, text: Any) -> None:
        self.channel, self.number, self.__doc__ = channel, number, text
        if isinstance(name, str):
            self.__name__ = self.__qualname__ = name

    def __call__(self, *operands: Any, **keywords: Any) -> Any:
        return self.channel.request("call", self, *operands, **keywords)

    def __iter__(self) -> "Callback":
        return self

    def __next__(self) -> Any:
        return self.channel.request("next", self)


def replaced_names(kind: type) -> list[str]:
    """What the classes of the code define in a class that is derived from a builtin type."""
    return [
        name
        for one in kind.__mro__
        if str(one.__module__) not in sys.stdlib_module_names
        for name in vars(one)
        if one.__module__ != "builtins"
    ]


class AnswerEnd(Conversation):
    """The end of the code under test."""

    first_number = 1
    only_here = 0  # the check decides, which may hold what this end does not

    def __init__(self, reading: int, writing: int, namespace: dict[str, Any]) -> None:
        super().__init__(reading, writing)
        self.callbacks = dict[int, Callback]()
        self.operations: dict[str, Callable[..., Any]] = {
            "load": lambda code: load(code, namespace),
            "known": lambda names: [name for name in names if name in namespace],
            "name": namespace.__getitem__,
            "call": lambda function, *operands, **keywords: function(*operands, **keywords),
            "getattr": getattr,
            "setattr": setattr,
            "delattr": delattr,
            "getitem": operator.getitem,
            "setitem": operator.setitem,
            "delitem": operator.delitem,
            "iter": iter,
            "next": next,
            "len": len,
            "str": str,
            "repr": repr,
        }

    def refer(self, value: Any) -> Encoded:
        if isinstance(value, Callback):
            return ["yours", value.number]
        name = getattr(value, "__name__", None)
        if isinstance(value, type) and isinstance(name, str) and vars(builtins).get(name) is value:
            return ["named", "builtins", name]
        return ["mine", self.export(value), callable(value)]

    def derived(self, value: Any, plain: Encoded) -> Encoded:
        if type(value) in MUTABLE or type(value).__module__ == "numpy":  # whose numbers are Python's
            return plain
        return ["derived", plain, self.refer(value), replaced_names(type(value))]

    def resolve(self, reference: list[Any]) -> Any:
        match reference:
            case ["yours", int(number)]:
                return self.exported[number]
            case ["mine", int(number), name, text]:
                return self.callbacks.setdefault(number, Callback(self, number, name, text))
            case ["named", str(module), str(name)]:
                return operator.attrgetter(name)(importlib.import_module(module))
        raise NotPlain("no reference")

    def lost(self, reason: str) -> NoReturn:
        os._exit(1)
