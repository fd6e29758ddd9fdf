"""Calls between a check and the code under test, which run in two processes, as lines of JSON over two pipes.

Either end may call the other: the code calls functions that the check gives to it. While an end waits for a reply, it serves
the other's calls. A message is [body, changes, dropped]. A body is [operation, operands, keywords], ["value", value] or
["raised", its classes of Python as module and name, name, text, arguments].

Mutable containers that crossed are one object with two copies: they keep their identity by a number, and each message brings
their new contents, the changes, so that what one end appends or returns twice is seen at the other as in one process. The check
drops the numbers of those that it no longer holds. Values of a class that the code derived from a builtin type cross with what
that type holds, and a reference for their other attributes.
"""

import json
import os
import sys
from _thread import RLock  # without what `threading` imports: every fork would hold it
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest.kernel import write_all
from warrior_dagster.sandbox.guest.values import (
    MAX_CHARS,
    Encoded,
    NotPlain,
    content,
    decode,
    encode,
    mutable_type,
    named_container,
    replace_content,
)

MAX_REASON = 300
MALFORMED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, ImportError)


class Conversation:
    """One end. Subclasses know what the other end may refer to, and what it may do."""

    operations: dict[str, Callable[..., Any]]
    """What the other end may call, by name."""
    first_number: int
    """Of the containers that this end sends first: even at one end, odd at the other."""
    only_here: int
    """At most how many references a container has that this end need not keep equal any more; 0 keeps all."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing, self.buffer, self.turn = reading, writing, bytearray(), RLock()
        self.exported = list[Any]()  # objects that are not plain
        self.places = dict[int, int]()  # of these, by id
        self.shared = dict[int, Any]()  # containers by number
        self.numbers = dict[int, int]()  # of containers, by id
        self.known = dict[int, list[Any]]()  # the content of each as the other end knows it
        self.next_number = self.first_number
        self.fresh = list[int]()  # numbers that were given since this was last cleared
        self.raised: BaseException | None = None  # the other end's last exception

    def refer(self, value: Any) -> Encoded:
        """The reference of an object that is not plain. Raises NotPlain if the other end may not have one."""
        raise NotImplementedError

    def resolve(self, reference: list[Any]) -> Any:
        """The object of a reference. Raises NotPlain if there is none."""
        raise NotImplementedError

    def derived(self, value: Any, plain: Encoded) -> Encoded:
        """What crosses of a value whose class is derived from a builtin type, given what that type holds."""
        return plain

    def new_container(self, base: type, derived: Encoded) -> Any:
        """An empty container of a builtin type, or one that stands for a container of a derived class of the other end."""
        return base()

    def lost(self, reason: str) -> NoReturn:
        """The other end is gone, or says what it never says: this process ends."""
        raise NotImplementedError

    def request(self, operation: str, *operands: Any, **keywords: Any) -> Any:
        """Let the other end perform an operation. Returns its value, or raises the same builtin exception. Raises NotPlain."""
        with self.turn:  # threads wait for each other
            self.ask(operation, *operands, **keywords)
            return self.result()

    def ask(self, operation: str, *operands: Any, **keywords: Any) -> None:
        """Begin a request, whose result is read later. Raises NotPlain."""
        encoded = [self.encode(o) for o in operands], {name: self.encode(o) for name, o in keywords.items()}
        self.send(self.message([operation, *encoded]))

    def result(self) -> Any:
        """The result of the request that was asked last. Meanwhile this end serves the other."""
        while True:
            match self.receive():
                case ["value", value]:
                    return self.decode(value)
                case ["raised", list(classes), str(name), str(text), list(arguments)]:
                    self.raised = exception(classes, name, text, [self.decode(one) for one in arguments])
                    raise self.raised
                case [str(operation), list(items), dict(named)] if operation in self.operations:
                    self.reply(operation, items, named)
                case _:
                    self.lost("a message that is no reply")

    def reply(self, operation: str, operands: list[Encoded], keywords: dict[str, Encoded]) -> None:
        """Perform an operation for the other end."""
        positional = [self.decode(one) for one in operands]
        named = {name: self.decode(one) for name, one in keywords.items()}
        before = set(self.shared)
        try:
            result = self.operations[operation](*positional, **named)
            try:
                message = self.message(["value", self.encode(result)])
            except NotPlain:  # too large, or too deep: the other end gets an object that it cannot read
                self.drop(self.shared.keys() - before)
                message = self.message(["value", self.refer(result)])
        except BaseException as error:
            self.drop(self.shared.keys() - before)
            message = self.message(["raised", *self.described(error)])
        self.send(message)

    def described(self, error: BaseException) -> list[Any]:
        """What the other end needs in order to raise the same exception."""
        classes = [
            [kind.__module__, kind.__name__]
            for kind in type(error).__mro__
            if kind.__module__ in sys.stdlib_module_names or kind.__module__ == "builtins"
        ]
        try:
            text = str(error)[:MAX_REASON]
        except BaseException:  # the code may define __str__
            text = ""
        arguments = [argument for argument in error.args if isinstance(argument, str | int | float | None)]
        plain = len(arguments) == len(error.args) and len(repr(arguments)) <= MAX_REASON
        return [classes, type(error).__name__, text, [self.encode(argument) for argument in arguments] if plain else []]

    def encode(self, value: Any) -> Encoded:
        """A value as JSON. Raises NotPlain."""
        try:
            return encode(value, self)
        except RecursionError as error:
            raise NotPlain("a value that is nested too deeply") from error

    def reference(self, value: Any) -> Encoded:
        """The reference of a mutable container, which gets a number, or of an object that is not plain."""
        if mutable_type(value) is None:
            return self.refer(value)
        number = self.numbers.setdefault(id(value), self.next_number)  # ids stay: what is shared is kept
        if number == self.next_number:
            self.shared[number] = value
            self.fresh.append(number)
            self.next_number += 2
        return ["shared", number]

    def export(self, value: Any) -> int:
        """The place of an object that the other end may refer to."""
        place = self.places.setdefault(id(value), len(self.exported))  # ids stay: what is exported is kept
        if place == len(self.exported):
            self.exported.append(value)
        return place

    def decode(self, encoded: Encoded) -> Any:
        """The value that the other end encoded."""
        try:
            return decode(encoded, self.dereference)
        except MALFORMED as error:
            self.lost(f"a value that is not plain: {error}")

    def dereference(self, reference: list[Any]) -> Any:
        """The inverse of `reference`."""
        match reference:
            case ["shared", int(number)]:
                return self.shared[number]
        return self.resolve(reference)

    def message(self, body: list[Any]) -> str:
        """The line of a message, with the changes of all containers. Raises NotPlain if it is too large."""
        unused = [number for number in self.shared if sys.getrefcount(self.shared[number]) <= self.only_here]
        contents, numbers = dict[int, list[Any]](), list(self.shared)
        self.fresh.clear()
        for number in numbers:
            contents[number] = content(self.shared[number], self)
            numbers += self.fresh  # a content may hold containers that had no number yet
            self.fresh.clear()
        changes = [
            [number, *now, self.derived(self.shared[number], None)]
            for number, now in contents.items()
            if now != self.known.get(number)
        ]
        text = json.dumps([body, changes, unused])
        if len(text) > MAX_CHARS:
            raise NotPlain("a value that is too large")
        self.known |= contents
        self.drop(unused)
        return text

    def apply(self, changes: list[Any], dropped: list[Any]) -> None:
        """Take over what the other end says of containers. Raises one of MALFORMED."""
        for number, name, _, derived in changes:
            if number not in self.shared:
                if number % 2 == self.first_number % 2:
                    raise NotPlain("a number that is this end's to give")
                self.shared[number] = self.new_container(named_container(name), derived)
                self.numbers[id(self.shared[number])] = number
        for number, name, encoded, _ in changes:
            replace_content(self.shared[number], name, encoded, self.dereference)
        for number, *_ in changes:
            self.known[number] = content(self.shared[number], self)
        self.drop(dropped)

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget containers: they are no longer kept equal to those of the other end."""
        for number in list(numbers):
            self.numbers.pop(id(self.shared.pop(number, None)), None)
            self.known.pop(number, None)

    def send(self, text: str) -> None:
        try:
            write_all(self.writing, text.encode() + b"\n")
        except OSError:
            self.lost("gone")

    def receive(self) -> list[Any]:
        """The body of the next message, after its changes were taken over."""
        searched = 0
        while (end := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            if searched > MAX_CHARS:
                self.lost("a message that is too long")
            try:
                data = os.read(self.reading, 1 << 16)
            except OSError:
                data = b""
            if not data:
                self.lost("gone")
            self.buffer += data
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        try:
            match json.loads(line):
                case [list(body), list(changes), list(dropped)]:
                    self.apply(changes, dropped)
                    return body
        except MALFORMED:
            self.lost("a message that is malformed")
        self.lost("a message that is no message")


def exception(classes: list[Any], name: str, text: str, arguments: list[Any]) -> BaseException:
    """An exception like one of the other end: of the first of its classes that is known here, or of one derived from that."""
    base = next(filter(None, (known_exception(*one) for one in classes)), Exception)
    try:
        kind = base if base.__name__ == name else type(name, (base,), {})
        error: BaseException = kind(*arguments) if arguments else kind(text) if text else kind()
        return error
    except (TypeError, ValueError):  # some classes insist on other arguments, and some names are none
        return Exception(f"{name}: {text}")


def known_exception(module: Any, name: Any, *_: Any) -> type[BaseException] | None:
    """An exception class of a module that is loaded here."""
    kind = vars(sys.modules[module]).get(name) if isinstance(module, str) and module in sys.modules else None
    skips = isinstance(module, str) and module.partition(".")[0] == "unittest"  # such a class would skip a test
    return kind if isinstance(kind, type) and issubclass(kind, BaseException) and not skips else None


def describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:MAX_REASON]
    except BaseException:  # a class of the code may define __str__
        return type(error).__name__[:MAX_REASON]
