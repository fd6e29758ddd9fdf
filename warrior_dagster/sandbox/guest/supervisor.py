"""The sandbox's process 1: enters the namespaces, loads Python once, and forks two processes for each check, or
one that loads code to observe.

Of the two, one process is for the code under test and one for the check itself. This process reads neither, so no code finds a
check or other code in the memory that it inherits. It measures the time, and ends every process that a check leaves behind.

For each check, descriptor 0 brings the word "check" and its seconds, which are for this process, and then a text, which is for
the check's process. Messages leave on descriptor 1 as a line of JSON each: ["ready"], then ["end", outcome, reason, seconds]
for each check, or ["broken", reason]. For observing it brings the word "observe": see observing.py.
"""

import gc
import json
import math
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

from warrior_dagster.sandbox.guest import kernel
from warrior_dagster.sandbox.guest.answer_process import run_answer
from warrior_dagster.sandbox.guest.check_process import run_check
from warrior_dagster.sandbox.guest.children import (
    HEADER,
    START_SECONDS,
    OverLimit,
    Reports,
    confine,
    described_status,
    forked,
    prepare,
    read_bytes,
    send,
    workplace,
)
from warrior_dagster.sandbox.guest.folders import Broken
from warrior_dagster.sandbox.guest.installed_modules import allow_modules
from warrior_dagster.sandbox.guest.namespaces import build_root
from warrior_dagster.sandbox.guest.observing import observe


def serve(config: dict[str, Any]) -> None:
    """Do one thing after another that the host asks for, until it goes."""
    kernel.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Python's handler would let code interrupt process 1
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")  # the first to be killed when memory runs out
    if config["builds_root"]:
        build_root(config)
    if (uid := config["uid"]) is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    kernel.die_with_parent()  # a change of user resets it
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    os.environ.clear()
    for name in [name for name in sys.modules if name.startswith("warrior_dagster")]:
        del sys.modules[name]  # the code imports none of these
    if config["modules"]:
        allow_modules(config["modules"], contained=config["contained"])
    if config["contained"]:
        confine(config)
    gc.freeze()  # a collection in a fork then writes to, and so copies, no memory of this process
    send("ready")
    while True:
        observes, seconds = read_bytes(HEADER).strip() == b"observe", float(read_bytes(HEADER))
        try:
            send("end", *(observe if observes else judge)(config, seconds))
        except Broken as error:
            send("broken", str(error))
            return


def judge(config: dict[str, Any], seconds: float) -> tuple[str, str, float]:
    """Run one check: its outcome, reason and seconds."""
    to_check, from_answer = os.pipe()
    to_answer, from_check = os.pipe()
    reports, verdicts = os.pipe()
    try:
        with workplace(config) as (folder, children):
            lines = Reports(reports, folder if config["counts_files"] else "")
            children.append(forked(lambda: check_process(config, seconds, to_check, from_check, verdicts)))
            children.append(forked(lambda: answer_process(config, seconds, to_answer, from_answer)))
            for descriptor in (to_check, from_answer, to_answer, from_check, verdicts):
                os.close(descriptor)
            return verdict(lines, children[0], children[1], seconds)
    finally:
        os.close(reports)


def verdict(lines: Reports, check: int, answer: int, seconds: float) -> tuple[str, str, float]:
    """The outcome of a running check, why it did not pass, and its seconds. Raises Broken if nothing has read the check."""
    first = b""
    with suppress(OverLimit):
        first = lines.read(time.monotonic() + START_SECONDS)
    if first != b"read":
        raise Broken("the check's process did not start")
    started = time.monotonic()
    line, loading = b"", False
    try:
        while (line := lines.read(started + seconds)) in (b"compiled", b"loaded"):
            loading = line == b"compiled"
        outcome, reason = interpreted(line, answer, check)
    except OverLimit as error:
        outcome, reason = error.args
    if loading and line and outcome != "not loaded":
        outcome, reason = "not loaded", f"{reason or outcome} while loading"
    return outcome, reason, time.monotonic() - started


def interpreted(line: bytes, answer: int, check: int) -> tuple[str, str]:
    """The outcome and the reason of a check, from the verdict of its process or the way in which a process ended."""
    try:
        message = json.loads(line) if line else None
    except (ValueError, RecursionError):
        message = None
    match message:
        case ["lost", "gone"]:
            how = describe_exit(answer)
        case ["lost", str(reason)]:
            how = f"sent {reason}"
        case [str(outcome), str(reason)]:
            return outcome, reason
        case _:
            how = f"the check's process {describe_exit(check)}"
    return ("timeout", "timeout") if how.endswith(signal.SIGXCPU.name) else ("error", how)


def describe_exit(child: int) -> str:
    for _ in range(50):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return described_status(status)
        time.sleep(0.001)
    return "closed the sandbox' descriptor"


def answer_process(config: dict[str, Any], seconds: float, *pipes: int) -> NoReturn:
    """Run the code under test, which the check's process sends."""
    prepare(config, *pipes)
    kernel.limit_cpu(math.ceil(seconds))
    run_answer(3, 4)


def check_process(config: dict[str, Any], seconds: float, *pipes: int) -> NoReturn:
    """Read some code and a check, and run it."""
    code, check = json.loads(read_bytes(int(read_bytes(HEADER))))
    prepare(config, *pipes)
    kernel.limit_cpu(math.ceil(seconds))
    kernel.write_all(5, b"read\n")
    run_check(check, code, sorted(config["modules"]), 3, 4, 5)
