"""What models cost a stage."""

from dataclasses import dataclass


@dataclass(slots=True)
class Usage:
    """What one model cost a stage. A sample is one completion; a request may ask for many."""

    from_ledger: int = 0  # samples that were paid for before, or by an equal request of the same stage
    requests: int = 0  # HTTP requests that were answered or failed finally
    sent: int = 0  # samples that were requested, failed ones included
    failed: int = 0  # samples without a completion; every equal request of the same stage counts
    prompt_tokens: int = 0
    completion_tokens: int = 0
    engine_starts: int = 0
    start_seconds: float = 0.0  # of these starts, part of `seconds`
    seconds: float = 0.0

    def add(self, other: "Usage") -> None:
        """Add another usage to this one."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
