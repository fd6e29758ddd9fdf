"""Whether a folder has a model, and all of it. What is in the files is not read."""

from itertools import chain
from pathlib import Path

from warrior_dagster.config.suggestions import near_path
from warrior_dagster.inference.tokenizer_files import settings_of

WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf", "*.tensors")
COUNTED = ("model.safetensors", "model-*.safetensors", "pytorch_model*.bin", "*.safetensors")
"""Where weights are counted: some folders hold them in several formats, whole and in parts, or beside an optimizer's."""
LARGEST_POINTER = 1024
"""The most bytes of the note that Git LFS has in place of a large file."""


def no_model(folder: Path) -> str:
    """Why a folder is no model's; empty if it is one."""
    if (folder / "config.json").is_file():
        return ""
    expected = "expected a model folder with config.json, or a hub id"
    if not folder.exists():
        return f"{expected}; there is no {folder}{near_path(folder)}"
    if not folder.is_dir():
        return f"{expected}; {folder} is a file"
    inside = next(chain(folder.glob("*/config.json"), folder.glob("snapshots/*/config.json")), None)
    return f"{expected}; {folder} has none" + (f"; did you mean {inside.parent}?" if inside else "")


def unfinished(folder: Path) -> str:
    """Which weights a model folder lacks; empty if none, or if it is no model's folder."""
    if no_model(folder):
        return ""
    weights = weights_of(folder)
    if pointer := next(filter(is_pointer, weights), None):
        return f"{pointer} is only Git's note of the file, which `git lfs pull` in its folder fetches"
    if not weights:
        return f"{folder} has no weights ({', '.join(WEIGHTS[:2])})"
    try:
        lost = missing_shards(folder)
    except ValueError as error:
        return str(error)
    return f"{folder} lacks {', '.join(lost)}" if lost else ""


def weights_of(folder: Path) -> list[Path]:
    """The files with weights in a model folder."""
    return [file for pattern in WEIGHTS for file in sorted(folder.glob(pattern)) if file.is_file()]


def weight_bytes(folder: Path) -> int:
    """The bytes of a model's weights, by the first of COUNTED that a folder has files of; 0 without any, as of GGUF files."""
    sizes = (sum(file.stat().st_size for file in folder.glob(pattern)) for pattern in COUNTED)
    return next(filter(None, sizes), 0)


def is_pointer(file: Path) -> bool:
    """Whether Git LFS has not fetched a file yet."""
    return file.stat().st_size < LARGEST_POINTER and file.read_bytes().startswith(b"version https://git-lfs")


def missing_shards(folder: Path) -> list[str]:
    """The files that an index of weights names and the folder lacks. Raises ValueError for an index that is no JSON.

    There may be an index for each format. One whose files are all there suffices.
    """
    indexes = [settings_of(file).get("weight_map") for file in folder.glob("*.index.json")]
    named = [{name for name in index.values() if isinstance(name, str)} for index in indexes if isinstance(index, dict)]
    return min((sorted(name for name in names if not (folder / name).is_file()) for names in named), key=len, default=[])
