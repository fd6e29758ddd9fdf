"""Benchmarks of this project: each module runs alone and prints one JSON line per result."""

import os

for variable in ("TQDM_DISABLE", "HF_DATASETS_DISABLE_PROGRESS_BARS", "HF_HUB_OFFLINE"):
    os.environ.setdefault(variable, "1")
