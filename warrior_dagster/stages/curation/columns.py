"""Columns that the tables of curation share."""

INSTRUCTION = ["row_id", "instruction_id", "competitor", "language", "instruction"]
RATED = [*INSTRUCTION, "score"]
