"""Reads the tokenizer of a stranger's model: no code, and no file or template that is too large to be one."""

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warrior_dagster.config.hub import cache_if_unreachable
from warrior_dagster.config.serving import is_local

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Neither weights nor code.
_TOKENIZER_FILES = ["*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken"]
MIB = 1 << 20
LARGEST = {
    **dict.fromkeys(("chat_template.jinja", "additional_chat_templates/*.jinja"), MIB),
    **dict.fromkeys(("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"), 16 * MIB),
    **dict.fromkeys(("config.json", "generation_config.json"), 16 * MIB),
    **dict.fromkeys(("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.tiktoken"), 128 * MIB),
}
"""The most bytes of the files that are read, several times as many as published models have."""
LONGEST_TEMPLATE = MIB
"""Characters of a chat template, wherever it stands."""
MOST_TOKENS = 1 << 16
"""The most special tokens. Every text is searched for them."""


@lru_cache(maxsize=64)
def load_tokenizer(model: str, revision: str | None) -> "PreTrainedTokenizerBase":
    """The tokenizer of a folder or of a Hub model.

    Raises ValueError for files as no model has them, or no chat template, and FileNotFoundError for a model that is not in the
    hub's cache if the hub cannot be reached.
    """
    from transformers import AutoTokenizer

    folder = model if is_local(model) else fetched(model, revision)
    check_files(Path(folder))
    # mistral_format: otherwise mistral-common, which vLLM installs, replaces the template with code without raw prompts.
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, mistral_format=False)
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        raise ValueError(f"{model}: the tokenizer has no (default) chat template, so it cannot be prompted") from error
    if len(template) > LONGEST_TEMPLATE:
        raise ValueError(f"{model}: expected a chat template of at most {LONGEST_TEMPLATE} characters; found {len(template)}")
    if (count := len(tokenizer.added_tokens_decoder)) > MOST_TOKENS:
        raise ValueError(f"{model}: expected a tokenizer with at most {MOST_TOKENS} added tokens; found {count}")
    return tokenizer


def fetched(model: str, revision: str | None) -> str:
    """The folder with a Hub model's tokenizer. Raises FileNotFoundError, and what the hub's library raises."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with cache_if_unreachable() as reason:
        try:
            return snapshot_download(model, revision=revision, allow_patterns=_TOKENIZER_FILES)
        except LocalEntryNotFoundError as error:
            raise FileNotFoundError(f"{model} is not in the hub's cache, and {reason or error}") from error


def check_files(folder: Path) -> None:
    """Raises ValueError for a file that is too large, or for settings that name no chat template as transformers reads them."""
    for pattern, largest in LARGEST.items():
        for path in folder.glob(pattern):
            if path.is_file() and (size := path.stat().st_size) > largest:
                raise ValueError(f"{path}: expected at most {largest} bytes; found {size}")
    path = folder / "tokenizer_config.json"
    templates = settings_of(path).get("chat_template")
    if isinstance(templates, list):
        texts = [one.get(key) if isinstance(one, dict) else None for one in templates for key in ("name", "template")]
    else:
        texts = list(templates.values()) if isinstance(templates, dict) else [templates or ""]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{path}: chat_template: expected a text, or a list of texts that each have a name and a template")


def generation_eos(folder: str) -> list[int]:
    """The ids of the tokens that end a generation, by a folder's generation_config.json. Raises ValueError for other values."""
    if not folder:
        return []
    path = Path(folder) / "generation_config.json"
    eos = settings_of(path).get("eos_token_id")
    ids: list[int] = eos if isinstance(eos, list) else [] if eos is None else [eos]
    if any(type(one) is not int for one in ids):
        raise ValueError(f"{path}: eos_token_id: expected a token's id or a list of ids; found {eos!r}")
    return ids


def settings_of(path: Path) -> dict[str, Any]:
    """The values of a JSON file; none without the file. Raises ValueError."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON; {type(error).__name__}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping; found {type(values).__name__}")
    return values
