"""Arrow's memory allocator. It is global to the process, so only this project's own entry points set it."""

import pyarrow as pa


def use_system_allocator() -> None:
    """Let Arrow allocate with malloc. Its default allocator keeps the memory of the ledger's many small tables."""
    pa.set_memory_pool(pa.system_memory_pool())
