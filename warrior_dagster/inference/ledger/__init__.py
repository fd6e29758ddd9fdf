"""The ledger: every completion that was paid for, in one append-only Lance table."""
