"""How many parameters a model has: by the weights of a local folder, else by its name. For estimates of speed only."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from warrior_dagster.config.serving import is_local
from warrior_dagster.inference.model_folder import weight_bytes

NAMED = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)
"""A size in a name, such as 0.5B, 135M or 8x7B."""
UNITS = {"b": 1e9, "m": 1e6}
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@cache
def parameters(model: str) -> float | None:
    """About how many parameters a model has; None if neither its folder nor its name says."""
    return (of_folder(Path(model)) if is_local(model) else None) or of_name(Path(model).name)


def of_folder(folder: Path) -> float | None:
    """By the size of the weights; None without readable ones, and of quantized ones, which have no fixed size of a weight."""
    try:
        config: Any = json.loads((folder / "config.json").read_text("utf-8"))
        size = weight_bytes(folder)
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict) or "quantization_config" in config:
        return None
    return size / BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), 2) or None


def of_name(name: str) -> float | None:
    """By the first size in a model's name; of experts by the sum of all."""
    if not (found := NAMED.search(name)):
        return None
    experts, size, unit = found.groups()
    return int(experts or 1) * float(size) * UNITS[unit.lower()] or None


def in_words(count: float) -> str:
    """A number of parameters, such as `1.5 B`."""
    return f"{count / 1e9:.3g} B" if count >= 1e9 else f"{count / 1e6:.3g} M"
