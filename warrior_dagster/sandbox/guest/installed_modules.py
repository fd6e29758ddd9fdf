"""Makes installed modules that the caller names importable in the sandbox, and no others."""

import os
import sys
from typing import Any

from warrior_dagster.sandbox.guest import kernel


def allow_modules(modules: dict[str, str], *, contained: bool) -> None:
    """Make installed modules importable. One thread each: a thread for every core would take all memory that a check has."""
    for library in ("OPENBLAS", "OMP", "MKL", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    if contained:
        sys.path.append(kernel.MODULES)
        return
    # Without namespaces the folders also hold other modules, which must be missing as they are in other sandboxes.
    sys.path += sorted({os.path.dirname(path) for path in modules.values()})
    sys.meta_path.insert(0, OnlyModules({name.partition(".")[0] for name in modules}))


class OnlyModules:
    """Finds no module, and refuses all that are neither in the standard library nor among some names."""

    def __init__(self, names: set[str]) -> None:
        self.names = names | sys.stdlib_module_names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if path is None and name not in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
