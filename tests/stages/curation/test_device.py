"""The device of curation, tested with fake engines and a patched torch, so that no GPU is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch

from warrior_dagster.inference.engines import Engines
from warrior_dagster.stages.curation.device import exclusive_device


class FakeEngines:
    """Engines that only record when the GPU is acquired and released."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @contextmanager
    def gpu_alone(self) -> Iterator[None]:
        self.events.append("acquired")
        try:
            yield
        finally:
            self.events.append("released")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> FakeEngines:
    engines = FakeEngines()
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: engines.events.append("cache emptied"))
    return engines


def fail(engines: Any) -> None:
    with exclusive_device(cast(Engines, engines)):
        raise RuntimeError("out of memory")


def test_a_gpu_is_used_alone_and_its_memory_is_released_first_even_after_a_failure(
    engines: FakeEngines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with exclusive_device(cast(Engines, engines)) as device:
        assert device == "cuda"
        assert engines.events == ["acquired"]
    with pytest.raises(RuntimeError, match="out of memory"):
        fail(engines)
    assert engines.events == ["acquired", "cache emptied", "released"] * 2


def test_without_a_gpu_no_engine_has_to_stop(engines: FakeEngines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with exclusive_device(cast(Engines, engines)) as device:
        assert device == "cpu"
    assert engines.events == []
