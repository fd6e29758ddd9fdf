"""The identity of a model, under which its completions are stored. Where and how fast it is served is not part of it."""

import json
from collections.abc import Iterable
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from hashlib import sha256
from pathlib import Path, PurePosixPath

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import ChatService, Competitor, is_local
from warrior_dagster.warehouse.state import local_folder

SAMPLED_BYTES = 1 << 16
SAMPLED_BLOCKS = 64
RECORDED = "earlier_identities.json"  # in the warehouse's folder
# Neither vLLM nor transformers reads these, so they cannot change what a model says. A file that is in no list counts.
DOCUMENTS = (
    *("*.md", "*.rst", "*.pdf", "*.html", "*.ipynb", "*.csv", "*.tsv", "*.log", "*.out", "*.err", "*.sh", "*.lock"),
    *("*.png", "*.jpg", "*.jpeg", "*.gif", "*.svg", "*.webp", "*.mp4", "license*", "licence*", "notice*", "*.txt"),
)
VOCABULARIES = ("*vocab*.txt", "*merges*.txt", "*token*.txt", "dict.txt")  # texts that tokenizers read
TRAINING_STATE = (
    *("optimizer*.pt", "optimizer*.bin", "scheduler*.pt", "scaler.pt", "rng_state*.pth", "training_args.*", "latest"),
    *("trainer_state.json", "trainer_log.jsonl", "events.out.tfevents.*", "zero_to_fp32.py"),
    *("all_results.json", "train_results.json", "eval_results.json", "test_results.json"),
)
# `original` has the publisher's own format of the same weights; `checkpoint-*` and `global_step*` are earlier steps.
OTHER_FOLDERS = ("original", "onnx", "openvino", "runs", "wandb", "logs", "__pycache__", "checkpoint-*", "global_step*")


def own_identity(arena: Arena, competitor: Competitor) -> str:
    """Weights and all that changes their text: `model@revision`, or a hash of a folder, then `+fp8`, `+dtype=float16`,
    `+served_model=NAME`. Raises FileNotFoundError for a folder without a config.json.
    """
    serve = arena.server(competitor)
    if isinstance(serve, ChatService):  # neither weights nor a revision are known: its name is its identity
        return f"{serve.served_model or competitor.model}@chat"
    base = folder_identity(competitor.model) if is_local(competitor.model) else hub_identity(competitor)
    name = getattr(serve, "served_model", None) or competitor.model
    return base + serve.identity_suffix + (f"+served_model={name}" if name != competitor.model else "")


def hub_identity(competitor: Competitor) -> str:
    return f"{competitor.model}@{competitor.revision or 'main'}"


def stored_identity(arena: Arena, competitor: Competitor) -> str:
    """The identity under which a competitor's completions are stored: its own, or the earlier one that the arena adopts.

    Raises ValueError if another model of the arena is stored under that earlier identity, FileNotFoundError as above.
    """
    own = own_identity(arena, competitor)
    adopted = recorded(arena.warehouse) | arena.adopted
    stored = adopted.get(own, own)
    for other in arena.competitors if stored != own else ():
        with suppress(FileNotFoundError):  # another competitor's failure
            others = own_identity(arena, other)
            if others != own and adopted.get(others, others) == stored:
                raise ValueError(f"adopted: expected one model for each earlier identity; {stored} is {other.name}'s too")
    return stored


def recorded(warehouse: str) -> dict[str, str]:
    """The earlier identities of folders that a run recorded in this warehouse, by identity. Raises ValueError."""
    path = local_folder(warehouse) / RECORDED
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return {}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a JSON object; delete the file, a run makes it again: {error}") from error


@cache
def folder_identity(folder: str) -> str:
    """A hash of the files that a model is loaded from, not of their folder. Raises FileNotFoundError without a config.json."""
    return hash_of(Path(folder), filter(is_loaded, files_of(Path(folder))))


@cache
def earlier_folder_identity(folder: str) -> str:
    """The identity that versions before November 2026 gave a folder: nearly all files counted. Raises FileNotFoundError."""
    return hash_of(Path(folder), (path for path in files_of(Path(folder)) if path.name != "README.md"))


def files_of(root: Path) -> Iterable[PurePosixPath]:
    """The files of a model's folder that are not hidden, relative to it and sorted. Raises FileNotFoundError."""
    if not (root / "config.json").is_file():
        raise FileNotFoundError(f"{root}: expected a model folder with config.json")
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            yield PurePosixPath(relative)


def is_loaded(file: PurePosixPath) -> bool:
    """Whether a file of a model's folder may change what the model says."""

    def matches(name: str, patterns: Iterable[str]) -> bool:
        return any(fnmatch(name.lower(), pattern) for pattern in patterns)

    if any(matches(part, OTHER_FOLDERS) for part in file.parts[:-1]) or matches(file.name, TRAINING_STATE):
        return False
    return matches(file.name, VOCABULARIES) or not matches(file.name, DOCUMENTS)


def hash_of(root: Path, files: Iterable[PurePosixPath]) -> str:
    """A hash of names, sizes and contents.

    Of files above 4 MiB, the size and 64 evenly spaced blocks of 64 KiB are hashed: reading 140 GB would take minutes at every
    start, and training changes nearly every weight.
    """
    digest = sha256()
    for relative in files:
        path = root / relative
        size = path.stat().st_size
        digest.update(f"{relative}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= SAMPLED_BYTES * SAMPLED_BLOCKS:
                digest.update(file.read())
            else:
                for block in range(SAMPLED_BLOCKS):
                    file.seek(block * (size - SAMPLED_BYTES) // (SAMPLED_BLOCKS - 1))
                    digest.update(file.read(SAMPLED_BYTES))
    return f"local@{digest.hexdigest()[:32]}"
