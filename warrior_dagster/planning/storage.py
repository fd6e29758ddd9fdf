"""How many bytes the ledger and the tables take."""

from pathlib import Path
from typing import NamedTuple

from warrior_dagster.inference.ledger.reader import LedgerReader

OF_A_COMPLETION = 1_000
"""Bytes of keys, parameters, probabilities, scores and indices, in the ledger and the tables together."""
OF_A_PROMPT_TOKEN, OF_A_COMPLETION_TOKEN = 4, 8
"""A token has about four bytes. Prompts are in the ledger; completions are in a table too."""
LEAST = 1_000
"""The fewest completions whose files show more than what empty tables take."""


class Storage(NamedTuple):
    """How a warehouse's size compares with the rule of thumb."""

    factor: float = 1.0

    def bytes(self, completions: int, prompt_tokens: int, completion_tokens: int) -> int:
        """What some completions take on disk."""
        return round(self.factor * by_rule(completions, prompt_tokens, completion_tokens))


def by_rule(completions: int, prompt_tokens: int, completion_tokens: int) -> int:
    """What some completions take by the rule of thumb."""
    texts = OF_A_PROMPT_TOKEN * prompt_tokens + OF_A_COMPLETION_TOKEN * completion_tokens
    return OF_A_COMPLETION * completions + texts


def storage_of(warehouse: str, ledger: LedgerReader) -> Storage:
    """Measured on what a warehouse holds, if that is enough and on this machine's disk. Raises LedgerError."""
    if "://" in warehouse or sum(ledger.models().values()) < LEAST:
        return Storage()
    rows = ledger.newest(2**62, ["prompt_tokens", "completion_tokens"])
    tables = Path(warehouse).glob("*.lance")
    size = sum(size_of(file) for table in tables for file in table.rglob("*"))
    return Storage(size / by_rule(len(rows), *(int(rows[name].sum()) for name in rows.columns)))


def size_of(path: Path) -> int:
    """The bytes of a file; 0 of a folder, and of a file that another process has just removed."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0
