"""Where curation computes, told by what it asks of torch and of the engines: a machine of these tests may have no GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
import torch

from warrior_dagster.inference.engines import Engines
from warrior_dagster.stages.curation.device import device_alone


class Watched:
    """Engines that only tell when a GPU was asked for, and when it was let go."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @contextmanager
    def gpu_alone(self) -> Iterator[None]:
        self.told.append("alone")
        try:
            yield
        finally:
            self.told.append("let go")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched()
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: watched.told.append("memory back"))
    return watched


def fail(engines: Any) -> None:
    with device_alone(cast(Engines, engines)):
        raise RuntimeError("out of memory")


def test_a_gpu_is_ours_alone_and_its_memory_is_back_before_it_is_let_go_also_after_a_failure(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with device_alone(cast(Engines, watched)) as device:
        assert device == "cuda"
        assert watched.told == ["alone"]
    with pytest.raises(RuntimeError, match="out of memory"):
        fail(watched)
    assert watched.told == ["alone", "memory back", "let go"] * 2


def test_without_a_gpu_no_engine_has_to_stop(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with device_alone(cast(Engines, watched)) as device:
        assert device == "cpu"
    assert watched.told == []
