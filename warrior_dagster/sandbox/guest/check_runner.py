"""The process in which the tested code runs: it loads the code, runs one check and sends the results.

Nothing in it can be trusted once the tested code has run. It decides no verdict: the host has the expected values.
"""

import builtins
import json
import os
import sys
from types import CodeType, ModuleType
from typing import Any

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.value_codec import ASSERT_HOOK, OPERATORS, NotPlain, dumps, loads

MODULE_NAME = "answer"  # not "__main__", so code for use as a script does not run


class Channel:
    """The lines to the supervisor. Each starts with the token, so finding the descriptor is not enough to write to it."""

    def __init__(self, descriptor: int, token: str) -> None:
        self.descriptor, self.token = descriptor, token

    def move_to(self, descriptor: int) -> None:
        os.dup2(self.descriptor, descriptor)
        self.descriptor = descriptor

    def send(self, text: str) -> None:
        kernel.write_all(self.descriptor, f"{self.token}{text}\n".encode())

    def request(self, *message: Any) -> Any:
        """Send a message and wait for the reply. Ends the process if the supervisor is gone."""
        self.send(json.dumps(message))
        data = b""
        while not data.endswith(b"\n"):
            more = os.read(self.descriptor, 1 << 16)
            if not more:
                os._exit(1)
            data += more
        return json.loads(data)


def run_check(code: CodeType, check: dict[str, Any], channel: Channel) -> None:
    """Load the code, run the check, send how it ended, then wait to be killed."""
    for name in [name for name in sys.modules if name.startswith("warrior_dagster")]:
        del sys.modules[name]
    pristine = dict(vars(builtins))
    module = ModuleType(MODULE_NAME)
    sys.modules[MODULE_NAME] = module
    try:
        exec(code, vars(module))
    except BaseException as error:  # code that raises SystemExit has not loaded either
        channel.request("load failed", describe(error))
    channel.send("loaded")
    try:
        compiled = compile(check["source"], "check", "exec", dont_inherit=True)
        names = check_namespace(vars(module), set(check["names"]), pristine)
        names |= {"__builtins__": pristine, ASSERT_HOOK: assert_hook(channel, set(check["truth_sites"]))}
        exec(compiled, names)
    except BaseException as error:
        channel.request("raised", isinstance(error, AssertionError), describe(error))
    channel.request("ended")


def allow_modules(modules: dict[str, str], *, contained: bool) -> None:
    """Make installed modules importable. One thread each: a thread for every core would take all memory that a check has."""
    for library in ("OPENBLAS", "OMP", "MKL", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    if contained:
        sys.path.append(kernel.MODULES)
        return
    # Without namespaces the folders also hold other modules, which must be missing as they are in other sandboxes.
    sys.path += sorted({os.path.dirname(path) for path in modules.values()})
    sys.meta_path.insert(0, OnlyModules({name.partition(".")[0] for name in modules}))


class OnlyModules:
    """Finds no module, and refuses all that are neither in the standard library nor among some names."""

    def __init__(self, names: set[str]) -> None:
        self.names = names | sys.stdlib_module_names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if path is None and name not in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:  # the tested code may define __str__
        return type(error).__name__[:300]


def check_namespace(module: dict[str, Any], used: set[str], pristine: dict[str, Any]) -> dict[str, Any]:
    """The module's names, without its replacements of builtins if the check uses them along with other names of the module.

    Otherwise `def abs(x): return 0` would pass `assert abs(f(2) - 1.4) < 0.1`. A check that uses only `abs` means the module's.
    """
    known = used & set(module) - {"__builtins__"}
    replaced = known & set(pristine)
    if not replaced or replaced == known:
        return module
    return {name: value for name, value in module.items() if name not in replaced}


def assert_hook(channel: Channel, truth_sites: set[int]) -> Any:
    """The function that rewritten asserts call, with the index of their site and the values of their non-literal operands."""

    def encoded(value: Any) -> str:
        try:
            return dumps(value)
        except NotPlain:
            return ""

    def check_assert(site: int, values: tuple[Any, ...]) -> None:
        sent = [encoded(not not value) if site in truth_sites else encoded(value) for value in values]  # noqa: SIM208
        reply = channel.request("assert", site, sent)
        if isinstance(reply, dict):
            rest = iter(values)
            operands = [next(rest) if text is None else loads(text) for text in reply["operands"]]
            reply = channel.request("compared", site, compare_chain(reply["operators"], operands))
        if reply is not True:
            raise AssertionError

    return check_assert


def compare_chain(operators: list[str], operands: list[Any]) -> bool:
    """A chain of comparisons with objects that exist only in this process. Only numbers may equal those of another class."""
    for name, left, right in zip(operators, operands, operands[1:], strict=False):
        numbers = isinstance(left, int | float | complex) and isinstance(right, int | float | complex)
        may_hold = name != "Eq" or type(left) is type(right) or numbers
        if not may_hold or not OPERATORS[name](left, right):
            return False
    return True
