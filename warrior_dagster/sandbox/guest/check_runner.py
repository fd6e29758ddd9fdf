"""The process in which the tested code runs: load it, run one check, tell what came out.

Nothing here is to be trusted once the tested code has run, and nothing is: it decides no verdict. What the asserts compare with
is not in this process, and what it tells is judged outside.
"""

import builtins
import json
import os
import sys
from types import CodeType, ModuleType
from typing import Any

from warrior_dagster.sandbox.value_codec import HOOK, OPERATORS, Opaque, dumps, loads

ANSWER = "answer"
"""The module that the tested code makes: not "__main__", so that what it would do as a script is left out."""


class Channel:
    """Lines to the supervisor and back."""

    def __init__(self, descriptor: int, token: str) -> None:
        """The token goes before each line: who only finds the descriptor cannot write to it."""
        self.descriptor, self.token = descriptor, token

    def move(self, descriptor: int) -> None:
        """To another descriptor."""
        os.dup2(self.descriptor, descriptor)
        self.descriptor = descriptor

    def tell(self, text: str) -> None:
        """One line."""
        data = f"{self.token}{text}\n".encode()
        while data:
            data = data[os.write(self.descriptor, data) :]

    def ask(self, *message: Any) -> Any:
        """Tell, and wait for the answer."""
        self.tell(json.dumps(message))
        data = b""
        while not data.endswith(b"\n"):
            more = os.read(self.descriptor, 1 << 16)
            if not more:
                os._exit(1)
            data += more
        return json.loads(data)


def run(code: CodeType, check: dict[str, Any], channel: Channel) -> None:
    """Load, run, tell; then wait to be killed."""
    for name in [name for name in sys.modules if name.startswith("warrior_dagster")]:
        del sys.modules[name]
    pristine = dict(vars(builtins))
    module = ModuleType(ANSWER)
    sys.modules[ANSWER] = module
    try:
        exec(code, vars(module))
    except BaseException as error:  # SystemExit too is no loading
        channel.ask("unloadable", described(error))
    channel.tell("loaded")
    try:
        compiled = compile(check["source"], "check", "exec", dont_inherit=True)
        names = namespace(vars(module), set(check["names"]), pristine)
        names |= {"__builtins__": pristine, HOOK: hook(channel, set(check["truths"]))}
        exec(compiled, names)
    except BaseException as error:
        channel.ask("raised", isinstance(error, AssertionError), described(error))
    channel.ask("ended")


def described(error: BaseException) -> str:
    """Type and message, short."""
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:  # its __str__ is the tested code's
        return type(error).__name__[:300]


def namespace(module: dict[str, Any], used: set[str], pristine: dict[str, Any]) -> dict[str, Any]:
    """Where a check runs: the module's names, without builtin ones that it took over and that the check uses beside others.

    Else `def abs(x): return 0` would pass `assert abs(f(2) - 1.4) < 0.1`. A check of nothing but an `abs` means the module's.
    """
    known = used & set(module) - {"__builtins__"}
    taken = known & set(pristine)
    if not taken or taken == known:
        return module
    return {name: value for name, value in module.items() if name not in taken}


def hook(channel: Channel, truths: set[int]) -> Any:
    """What an assert calls, with the number of its site and the values of its operands that are not literals."""

    def plain(value: Any) -> str:
        try:
            return dumps(value)
        except Opaque:
            return ""

    def judge(site: int, values: tuple[Any, ...]) -> None:
        told = [plain(not not value) if site in truths else plain(value) for value in values]  # noqa: SIM208
        answer = channel.ask("assert", site, told)
        if isinstance(answer, dict):
            rest = iter(values)
            operands = [next(rest) if text is None else loads(text) for text in answer["operands"]]
            answer = channel.ask("truth", site, compared(answer["operators"], operands))
        if answer is not True:
            raise AssertionError

    return judge


def compared(operators: list[str], operands: list[Any]) -> bool:
    """A chain of comparisons of which at least one is of objects that only this process has: equal only within one class."""
    for name, left, right in zip(operators, operands, operands[1:], strict=False):
        alike = name != "Eq" or type(left) is type(right) or (plain_number(left) and plain_number(right))
        if not alike or not OPERATORS[name](left, right):
            return False
    return True


def plain_number(value: Any) -> bool:
    """Whether values of other types may equal it."""
    return isinstance(value, int | float | complex)
