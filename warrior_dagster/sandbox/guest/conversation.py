"""Calls between a check and the code under test, which run in two processes, as lines of JSON over a socket.

Either end may call the other: the code calls functions that the check gives to it. While an end waits for a reply, it serves
the other's calls. A request is [operation, operands, keywords]. A reply is ["value", value, changes], where the changes are the
new contents of mutable operands by position or keyword, or ["raised", names of builtin classes, name, text, arguments].
"""

import builtins
import json
import os
from collections.abc import Callable
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest.kernel import write_all
from warrior_dagster.sandbox.guest.values import MAX_CHARS, Encoded, NotPlain, decode, encode

MAX_REASON = 300
MUTABLE = (list, dict, set, bytearray)


class Conversation:
    """One end. Subclasses know what the other end may refer to, and what it may do."""

    operations: dict[str, Callable[..., Any]]
    """What the other end may call, by name."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.buffer, self.exported = descriptor, bytearray(), list[Any]()

    def refer(self, value: Any) -> Encoded:
        """The reference of a value that is not plain. Raises NotPlain if the other end may not have one."""
        raise NotImplementedError

    def resolve(self, reference: list[Any]) -> Any:
        """The object of a reference. Raises NotPlain if there is none."""
        raise NotImplementedError

    def lost(self, reason: str) -> NoReturn:
        """The other end is gone, or says what it never says: this process ends."""
        raise NotImplementedError

    def request(self, operation: str, *operands: Any, **keywords: Any) -> Any:
        """Let the other end perform an operation. Returns its value, or raises the same builtin exception."""
        message = [operation, [self.encode(o) for o in operands], {name: self.encode(o) for name, o in keywords.items()}]
        self.send(self.text(message))
        while True:
            match self.receive():
                case ["value", value, list(changes)]:
                    for place, content in changes:
                        replace_content(operands[place] if isinstance(place, int) else keywords[place], self.decode(content))
                    return self.decode(value)
                case ["raised", list(builtin_names), str(name), str(text), list(arguments)]:
                    raise exception(builtin_names, name, text, [self.decode(one) for one in arguments])
                case [str(operation), list(items), dict(named)] if operation in self.operations:
                    self.reply(operation, items, named)
                case other:
                    self.unexpected(other)

    def unexpected(self, message: Any) -> None:
        self.lost("a message that is no reply")

    def reply(self, operation: str, operands: list[Encoded], keywords: dict[str, Encoded]) -> None:
        """Perform an operation for the other end."""
        try:
            given: list[tuple[int | str, Encoded]] = [*enumerate(operands), *keywords.items()]
            values = {place: self.decode(encoded) for place, encoded in given}
            positional = (values[place] for place in range(len(operands)))
            result = self.operations[operation](*positional, **{name: values[name] for name in keywords})
            mutable = [(place, old) for place, old in given if type(values[place]) in MUTABLE]
            changes = [[place, new] for place, old in mutable if (new := self.encode(values[place])) != old]
            try:
                text = self.text(["value", self.encode(result), changes])
            except NotPlain:
                text = self.text(["value", self.refer(result), changes])
        except BaseException as error:
            text = json.dumps(["raised", *self.described(error)])
        self.send(text)

    def described(self, error: BaseException) -> list[Any]:
        """What the other end needs in order to raise the same exception."""
        names = [kind.__name__ for kind in type(error).__mro__ if vars(builtins).get(kind.__name__) is kind]
        try:
            arguments = [self.encode(one) for one in error.args]
            if len(json.dumps(arguments)) > MAX_REASON:
                arguments = []
        except (NotPlain, RecursionError):
            arguments = []
        try:
            text = str(error)[:MAX_REASON]
        except BaseException:  # the code may define __str__
            text = ""
        return [names, type(error).__name__, text, arguments]

    def encode(self, value: Any) -> Encoded:
        """A value as JSON. Raises NotPlain."""
        try:
            return encode(value, self.refer)
        except RecursionError as error:  # a list that contains itself also ends here
            raise NotPlain("a value that is nested too deeply") from error

    def decode(self, encoded: Encoded) -> Any:
        """The value that the other end encoded."""
        try:
            return decode(encoded, self.resolve)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, ImportError) as error:
            self.lost(f"a value that is not plain: {error}")

    def text(self, message: list[Any]) -> str:
        """The line of a message. Raises NotPlain if it is too long."""
        text = json.dumps(message)
        if len(text) > MAX_CHARS:
            raise NotPlain("a value that is too large")
        return text

    def send(self, text: str) -> None:
        try:
            write_all(self.descriptor, text.encode() + b"\n")
        except OSError:
            self.lost("gone")

    def receive(self) -> Any:
        """The next message."""
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if searched > MAX_CHARS:
                self.lost("a message that is too long")
            try:
                data = os.read(self.descriptor, 1 << 16)
            except OSError:
                data = b""
            if not data:
                self.lost("gone")
            self.buffer += data
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            self.lost("a message that is not JSON")


def replace_content(original: Any, new: Any) -> None:
    """Give a mutable builtin container the content that the other end's copy of it has now."""
    if type(original) is not type(new) or type(original) not in MUTABLE:
        return
    if isinstance(original, list | bytearray):
        original[:] = new
    else:
        original.clear()
        original.update(new)


def exception(builtin_names: list[Any], name: str, text: str, arguments: list[Any]) -> BaseException:
    """An exception like one of the other end: of the same builtin class, or of a class with the same builtin base."""
    classes = (vars(builtins).get(known) for known in builtin_names if isinstance(known, str))
    base = next((kind for kind in classes if isinstance(kind, type) and issubclass(kind, BaseException)), Exception)
    try:
        kind = base if base.__name__ == name else type(name, (base,), {})
        error: BaseException = kind(*arguments) if arguments else kind(text) if text else kind()
        return error
    except (TypeError, ValueError):  # some classes insist on other arguments, and some names are none
        return Exception(f"{name}: {text}")


def describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:MAX_REASON]
    except BaseException:  # a class of the code may define __str__
        return type(error).__name__[:MAX_REASON]
