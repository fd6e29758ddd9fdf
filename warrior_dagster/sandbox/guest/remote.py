"""What a check sees of the objects of the code under test that are not plain values.

Calls, attributes, items, iteration and text go to the code and come back as values. What would decide an assert does not: an
object's own idea of equality, order, truth, membership or arithmetic is never heard. The check abstains instead.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Protocol

ABSTAINS = (
    *("bool", "hash", "lt", "le", "gt", "ge", "contains", "reversed", "instancecheck", "subclasscheck", "mro_entries"),
    *("neg", "pos", "abs", "invert", "round", "trunc", "floor", "ceil", "int", "float", "complex", "index", "bytes", "fspath"),
    *(side + name for side in ("", "r", "i") for name in
      ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "xor", "or")),
    *("divmod", "rdivmod", "enter", "exit", "await", "aiter", "anext", "aenter", "aexit", "reduce_ex", "copy", "deepcopy"),
)  # fmt: skip
"""Special methods whose result would decide an assert, or cannot cross."""


PLAIN_TYPES = (int, float, complex, bool, str, bytes, bytearray, list, tuple, set, frozenset, dict, range, type(None))
"""The classes that no remote object is an instance of."""
SILENT = {
    "__new__",
    "__init__",
    "__doc__",
    "__dict__",
    "__module__",
    "__class__",
    "__weakref__",
    "__getattribute__",
    "__getattr__",
}
"""Attributes of a class that no check asks for."""


class Channel(Protocol):
    """What remote objects need of the conversation that they came from."""

    rests_on_object: bool
    """Whether anything so far was decided by an object not being plain."""

    def request(self, operation: str, *operands: Any, **keywords: Any) -> Any:
        """Let the code perform an operation."""

    def abstain(self, reason: str) -> Any:
        """End the check without a verdict."""


def abstaining(name: str) -> Callable[..., Any]:
    """A special method that ends the check without a verdict."""

    def method(self: Any, *_: Any) -> Any:
        return self._remote_channel.abstain(f"needs __{name}__ of an object that is not a plain value")

    return method


class Remote:  # noqa: PLW1641 -- its hash abstains, below
    """An object of the code under test."""

    __slots__ = ("_remote_channel", "_remote_number")
    __class__ = property(abstaining("class"))

    def __init__(self, channel: Channel, number: int) -> None:
        object.__setattr__(self, "_remote_channel", channel)
        object.__setattr__(self, "_remote_number", number)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__array"):  # NumPy asks whether it is an array
            raise AttributeError(name)
        if name.startswith("__"):
            self._remote_channel.abstain(f"needs {name} of an object that is not a plain value")
        return self._remote_channel.request("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._remote_channel.request("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._remote_channel.request("delattr", self, name)

    def __getitem__(self, key: Any) -> Any:
        return self._remote_channel.request("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._remote_channel.request("setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._remote_channel.request("delitem", self, key)

    def __iter__(self) -> Iterator[Any]:
        return items(self._remote_channel, self._remote_channel.request("iter", self))

    def __next__(self) -> Any:
        return self._remote_channel.request("next", self)

    def __len__(self) -> Any:
        return self._remote_channel.request("len", self)  # Python refuses what is no length

    def __str__(self) -> Any:
        return self._remote_channel.request("str", self)  # and what is no text

    def __repr__(self) -> Any:
        return self._remote_channel.request("repr", self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        """An object equals itself, and never a plain value. Whether it equals another object is not known."""
        if other is self:
            return True
        if is_remote(other) or not isinstance(other, PLAIN_TYPES):
            self._remote_channel.abstain("compares objects that are not plain values")
        self._remote_channel.rests_on_object = True
        return False


class RemoteFunction(Remote):
    """An object of the code under test that can be called."""

    __slots__ = ()

    def __call__(self, *operands: Any, **keywords: Any) -> Any:
        return self._remote_channel.request("call", self, *operands, **keywords)


def items(channel: Channel, iterator: Any) -> Iterator[Any]:
    """The items of an iterator of the code."""
    while True:
        try:
            item = channel.request("next", iterator)
        except StopIteration:
            return
        yield item


def is_remote(value: object) -> bool:
    """Whether it is an object of the code under test. Not `isinstance`, which would ask the object."""
    return issubclass(type(value), Remote)


for special in ABSTAINS:
    setattr(Remote, f"__{special}__", abstaining(special))


class Derived:
    """A plain value of a class that the code derived from a builtin type: what that type holds, and the object's attributes.

    The methods of the builtin type are its own, whatever the code's class makes of them.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_remote" not in vars(self):
            raise AttributeError(name)
        return getattr(vars(self)["_remote"], name)


def missing(mapping: Any, key: Any) -> Any:
    """A mapping's class may make up what it does not hold: it is not asked."""
    return vars(mapping)["_remote"]._remote_channel.abstain(
        f"needs the key {key!r:.50}, which a mapping of the code does not hold"
    )


@cache
def derived_class(base: Any, replaced: frozenset[str]) -> type:
    """The class that stands for those that are derived from a builtin type and replace some of its methods, which abstain."""
    members = {name: asks(name) for name in replaced if name not in SILENT and hasattr(base, name)}
    return type(base.__name__, (Derived, base), members | ({"__missing__": missing} if base is dict else {}))


def asks(name: str) -> Callable[..., Any]:
    """A method that ends the check without a verdict."""
    return lambda self, *_, **__: vars(self)["_remote"]._remote_channel.abstain(f"needs {name} of a class of the code's own")


def stand_in(content: Any, remote: Any, replaced: list[Any]) -> Any:
    """A value with some content that stands for an object of the code."""
    value = derived_class(type(content), frozenset(name for name in replaced if isinstance(name, str)))(content)  # type: ignore[arg-type]
    vars(value)["_remote"] = remote
    return value
