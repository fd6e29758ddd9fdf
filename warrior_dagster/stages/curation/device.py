"""The device for curation: a GPU if the machine has one, while no inference engine occupies its memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from warrior_dagster.inference.engines import Engines


@contextmanager
def exclusive_device(engines: Engines) -> Iterator[str]:
    """Torch's name of the device. A GPU is held exclusively, and its memory is released on exit."""
    import torch

    if not torch.cuda.is_available():
        yield "cpu"
        return
    with engines.gpu_alone():
        try:
            yield "cuda"
        finally:
            torch.cuda.empty_cache()
