"""Renders a chat template within limits of time and memory, so that no stranger's template stops this process."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from warrior_dagster.inference import template_worker
from warrior_dagster.inference.template_worker import CPU_SECONDS, LONGEST_ERROR, REFUSED, TEXT

WALL_SECONDS = 60.0
"""For one text, if the worker neither answers nor ends. Generous, because a busy machine is no fault of a template."""
USUAL_SECONDS, LATE_SECONDS = 0.05, 60.0
"""What one text may take on average, and how far the sum may exceed it: slow texts by the thousand would make a run endless."""
MOST_ADDED = 1 << 16
"""The most characters that a template may add to the texts of its messages. Published ones add at most a few thousand."""
MOST_ESCAPED = 6
"""How many characters a template may make of one: `&#34;` or `\\u000a`."""
PASSED_ON = ("LD_LIBRARY_PATH", "PATH", "PYTHONHOME")
"""The environment variables without which some interpreters do not start."""


class TemplateFailed(ValueError):
    """A chat template raised an error or exceeded a limit; the message says which."""


class TemplateRefused(TemplateFailed):
    """A chat template raised one of Jinja's own errors, as those that have no system turns do."""


class Renderer:
    """One template with the values that stay, and the process that renders it, started when it is needed."""

    def __init__(self, source: str, values: Mapping[str, Any]) -> None:
        self._first = pickle.dumps((source, dict(values)))
        self._lock = Lock()
        self._stop: weakref.finalize[Any, Any] | None = None
        self._late = 0.0

    def render(self, messages: Sequence[Mapping[str, str]], generate: bool) -> str:
        """The text of some messages, with the beginning of an answer if `generate`. Raises TemplateFailed."""
        most = MOST_ADDED + MOST_ESCAPED * sum(len(text) for message in messages for text in message.values())
        with self._lock:
            if self._late > LATE_SECONDS:
                raise TemplateFailed(f"its chat template took more than {USUAL_SECONDS} s for each of many prompts")
            begin = time.monotonic()
            try:
                changing = {"messages": messages, "add_generation_prompt": generate}
                first = b"" if self._stop else self._start()
                status, text = self._exchange(first + pickle.dumps((changing, most)), most)
            except BaseException:  # also an interrupt: the answer to this request must not be taken for that to the next
                self.stop()
                raise
            self._late = max(0.0, self._late + time.monotonic() - begin - USUAL_SECONDS)
        if status != TEXT:
            raise TemplateRefused(text) if status == REFUSED else TemplateFailed(text)
        return text

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._stop is not None:
            self._stop()
            self._stop = None

    def _start(self) -> bytes:
        """Start the process; what has to be sent to it first."""
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._connection, theirs = socket.socketpair()
        with theirs:
            # Little of the environment, because it may have keys; an own session, because Ctrl-C is for this process alone.
            self._process = subprocess.Popen(
                [sys.executable, "-P", template_worker.__file__],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        self._connection.settimeout(WALL_SECONDS)
        self._answers = self._connection.makefile("rb", buffering=1 << 16)
        self._stop = weakref.finalize(self, end, self._process, self._connection, self._answers)
        return self._first

    def _exchange(self, request: bytes, most: int) -> tuple[int, str]:
        """The status and text of an answer. Raises TemplateFailed if the process ends, or gives none that is possible."""
        header, text, size = b"", b"", 0
        try:
            self._connection.sendall(request)
            header = self._answers.read(9)
            size = int.from_bytes(header[1:], "little")
            text = self._answers.read(size) if size <= 4 * (most + LONGEST_ERROR + 100) else b""
        except TimeoutError as error:
            raise TemplateFailed(f"its chat template takes more than {WALL_SECONDS:.0f} s for a prompt") from error
        except OSError:
            pass  # it ended
        if len(header) == 9 and len(text) == size:
            return header[0], text.decode("utf-8", "surrogatepass")
        status = self._process.wait(timeout=10)
        if status == -signal.SIGPROF:
            raise TemplateFailed(f"its chat template takes more than {CPU_SECONDS:.0f} s of CPU time for a prompt")
        raise TemplateFailed(f"the process that renders its chat template ended with status {status}")


def end(process: "subprocess.Popen[bytes]", *connections: Any) -> None:
    """End a worker and its connections."""
    for one in connections:
        one.close()
    process.kill()
    process.wait()
