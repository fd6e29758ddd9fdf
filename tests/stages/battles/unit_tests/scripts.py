"""A scripted engine whose answers contain code and whose judges write tests of it."""

import hashlib
from collections.abc import Callable

import pytest

from tests import conftest
from warrior_dagster.inference.request import Completion, Request

ANSWERS = (
    "Here it is:\n```python\n# MARK\ndef work(x):\n    return x + 1\n```",
    "```python\n# MARK\ndef work(x):\n    return 2 * x\n```\nIt doubles.",
    "# MARK\ndef work(x):\n    return x",
    "I would rather talk about it.",
)
TESTS = (
    "```python\nassert work(1) == 2\nassert work(2) == 3\nassert work(0) == 1\n```",
    "```\nassert work(3) == 6\nassert work(1) == 2\nassert time.time() > 0\n```",
    "assert do_work(5) == 5\nassert do_work(0) == 0",
    "NONE",
)
ASKS_FOR_TESTS = "assert double(4) == 8"


def code_writers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Request, int, str], Completion]:
    """Make the scripted engine answer with code and write tests. Returns the function that does so."""
    other = conftest.scripted

    def scripted(request: Request, sample: int, key: str) -> Completion:
        number = int(hashlib.sha256(key.encode()).hexdigest(), 16)
        if ASKS_FOR_TESTS in request.prompt:
            return Completion(key, sample, TESTS[number % 4], "stop", 30, 20)
        if '"choice"' not in request.params and isinstance(request.tag, tuple) and len(request.tag) == 2:
            return Completion(key, sample, ANSWERS[number % 4].replace("MARK", key), "stop", 30, 20)
        return other(request, sample, key)

    monkeypatch.setattr(conftest, "scripted", scripted)
    return scripted
