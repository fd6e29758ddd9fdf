"""Where curation computes: on a GPU if there is one, while no inference engine holds nearly all of its memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from warrior_dagster.inference.engines import Engines


@contextmanager
def device_alone(engines: Engines) -> Iterator[str]:
    """Torch's name of the device. A GPU is ours until the end, and then gets its memory back."""
    import torch

    if not torch.cuda.is_available():
        yield "cpu"
        return
    with engines.gpu_alone():
        try:
            yield "cuda"
        finally:
            torch.cuda.empty_cache()
