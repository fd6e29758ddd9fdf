"""The host's side of observing what some code returns, in a sandbox of host.py. pool.py has the threat model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from warrior_dagster.sandbox.guest.canonical import MAX_TEXT
from warrior_dagster.sandbox.guest.children import HEADER
from warrior_dagster.sandbox.host import GRACE_SECONDS, MAX_CHARS, Sandbox, SandboxSilent, SandboxStuck

MAX_TIMEOUTS = 3  # of the calls of a program
SKIPPED = "skipped"
OUTCOMES = ("returned", "raised", "not plain", "error")  # of what a call's own process says


@dataclass(slots=True)
class Observed:
    """What the first calls of a program returned, and the seconds that they and loading the code took."""

    outcomes: list[str]
    values: list[str]
    seconds: float = 0.0
    loaded: bool = False  # at least once
    error: str = ""  # why it was not

    def add(self, outcome: str, value: str) -> None:
        self.outcomes.append(outcome)
        self.values.append(value)


def observe(sandbox: Sandbox, code: str, calls: Sequence[str]) -> Observed:
    """Run every call, or none if the code cannot be loaded.

    After MAX_TIMEOUTS calls that timed out, the remaining ones are `skipped`: nothing is known about them. If a call breaks the
    sandbox, the others run in a new one. Raises IsolationError if no sandbox can be started.
    """
    observed = Observed([], [])
    while (done := len(observed.outcomes)) < len(calls) and not observed.error:
        if observed.outcomes.count("timeout") >= MAX_TIMEOUTS:
            observed.add(SKIPPED, "")
            continue
        try:
            observe_some(sandbox, code, calls[done:], observed)
        except SandboxStuck as stuck:
            sandbox.close()
            if observed.loaded:
                observed.add("timeout" if isinstance(stuck, SandboxSilent) else "error", str(stuck))
            else:
                observed.error = f"{stuck} while loading"
    return observed


def observe_some(sandbox: Sandbox, code: str, calls: Sequence[str], observed: Observed) -> None:
    """Add what the first of the calls return, one or more of them, or why the code cannot be loaded. Raises SandboxStuck."""
    batch = fitting(code, calls)
    if not batch:
        observed.add("error", f"code and a call of more than {MAX_CHARS} characters")
        return
    text = json.dumps([code, batch])
    sandbox.request("observe", f"{len(batch):<{HEADER}}{len(text):<{HEADER}}{text}", processes=2)
    most = sandbox.limits.seconds + GRACE_SECONDS
    while True:
        match sandbox.receive(most):
            case ["loaded", float(seconds)]:
                observed.loaded = True
                observed.seconds += seconds
            case ["observed", str(how), float(seconds), int(length)]:
                observed.seconds += seconds
                observed.add(*decoded(how, sandbox.receive_bytes(length, GRACE_SECONDS)))
            case ["end", ""]:
                return
            case ["end", str(reason)] if observed.loaded:  # an earlier time
                observed.add("timeout" if reason.startswith("timeout") else "error", f"not loaded again: {reason}")
                return
            case ["end", str(reason)]:
                observed.error = reason
                return
            case other:
                raise SandboxStuck(f"the sandbox sent {str(other)[:100]}")


def fitting(code: str, calls: Sequence[str]) -> list[str]:
    """As many of the first calls as fit into one message together with the code."""
    room, batch = MAX_CHARS - len(json.dumps(code)), list[str]()
    for call in calls:
        room -= len(json.dumps(call)) + 2
        if room < 0:
            break
        batch.append(call)
    return batch


def decoded(how: str, data: bytes) -> tuple[str, str]:
    """The outcome and the value of a call, given how its process ended and what it sent, which may be anything."""
    if how == "timeout":
        return "timeout", ""
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        message = None
    match message:
        case [str(outcome), str(value)] if outcome in OUTCOMES and len(value) <= MAX_TEXT and value.isprintable():
            return outcome, value
    return "error", how or ("sent what is malformed" if data else "exited with 0")
