"""The process that loads some code, and runs each call in a fork of itself, so that no call sees what another one did.

Nothing in it can be trusted once the code has run: it may return to the host what it likes. Of a call it writes a line of JSON,
[outcome, value], with both as `pool.Observation` has them. It tells process 1 how each call ended and whether a further call
may run: nothing is left of this one, and calls share no thread, open file or mapped memory.
"""

import _thread
import fcntl
import gc
import json
import math
import os
import resource
import sys
from json.encoder import encode_basestring
from os import _exit, fork, getpid, read, waitpid  # by name, because some code replaces them to be safe from others
from types import CodeType, ModuleType
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest.answer_process import MODULE_NAME, load
from warrior_dagster.sandbox.guest.canonical import TooLarge, canonical
from warrior_dagster.sandbox.guest.conversation import describe
from warrior_dagster.sandbox.guest.kernel import limit_cpu, write_all
from warrior_dagster.sandbox.guest.values import NotPlain

MAX_NAME = 100  # characters of the name of a class


def run_calls(code: str, calls: list[str], seconds: float, going: int, reports: int, values: int) -> NoReturn:
    """Load the code, then run a call whenever `going` brings a byte. Reports ["loaded"] or ["not loaded", why],
    then ["ended", status, is_alone] for each call.
    """
    itself = getpid()
    module = sys.modules[MODULE_NAME] = ModuleType(MODULE_NAME)
    try:
        load(code, vars(module))
        message = ["loaded"]
    except BaseException as error:
        message = ["not loaded", describe(error)]
    if getpid() != itself:  # the code has forked
        _exit(0)
    write_all(reports, json.dumps(message).encode() + b"\n")
    shares = shares_state(values + 1)
    gc.freeze()  # a collection in a fork then writes to, and so copies, no memory of this process
    for call in calls:
        if not read(going, 1):
            break
        compiled = compiled_call(call)  # not in the fork, which would copy more memory
        child = fork()
        if child == 0:
            run_call(compiled, vars(module), math.ceil(seconds), values)
        status = waitpid(child, 0)[1]
        write_all(reports, json.dumps(["ended", status, not shares and no_child_left()]).encode() + b"\n")
    _exit(0)


def shares_state(first: int) -> bool:
    """Whether calls would share more than copies of memory: threads, open files from a descriptor on, or mapped memory."""
    if _thread._count() or "mmap" in sys.modules:
        return True
    for descriptor in range(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
        try:
            fcntl.fcntl(descriptor, fcntl.F_GETFD)
        except OSError:
            continue
        return True
    return False


def no_child_left() -> bool:
    try:
        while waitpid(-1, os.WNOHANG)[0]:
            pass  # one that has ended
    except ChildProcessError:
        return True
    return False


def compiled_call(call: str) -> CodeType | str:
    """A call's code, or why it is no expression."""
    try:
        return compile(call, "call", "eval", dont_inherit=True)
    except BaseException as error:
        return f"not an expression: {type(error).__name__}"


def run_call(call: CodeType | str, namespace: dict[str, Any], seconds: int, values: int) -> NoReturn:
    """In a fork: evaluate a call, write what became of it, and end."""
    itself = getpid()
    limit_cpu(seconds)
    outcome, value = ("error", call) if isinstance(call, str) else observed(call, namespace)
    if getpid() == itself:  # and not a fork that the call made
        write_all(values, line(outcome, value))
    _exit(0)


def line(outcome: str, value: str) -> bytes:
    """A line of JSON, for which `json.dumps` would make an encoder, and so copy more memory."""
    return f'["{outcome}", {encode_basestring(value)}]\n'.encode(errors="replace")


def observed(call: CodeType, namespace: dict[str, Any]) -> tuple[str, str]:
    """The outcome and the value of a call."""
    try:
        value = eval(call, namespace)
    except MemoryError:
        return "error", "MemoryError"
    except BaseException as error:
        return "raised", type(error).__name__[:MAX_NAME]
    try:
        return "returned", canonical(value)
    except NotPlain as error:
        return "not plain", str(error)[:MAX_NAME]
    except TooLarge as error:
        return "error", str(error)
    except (MemoryError, RecursionError) as error:
        return "error", type(error).__name__
