"""Which environment variables vLLM gets: it loads files that strangers made, and needs none of our other secrets."""

from collections.abc import Mapping

from huggingface_hub import constants

from warrior_dagster.config.serving import is_local

NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TMP", "TEMP", "VIRTUAL_ENV", "CONDA_PREFIX"),
        # Kernels are compiled at the start.
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "LIBRARY_PATH", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "CC", "CXX"),
        *("CUDACXX", "MAX_JOBS"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "DO_NOT_TRACK", "NO_COLOR"),
        # Processes that torchrun starts (--distributed-executor-backend external_launcher).
        *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
        # Accelerators that are not Nvidia's.
        *("ZE_AFFINITY_MASK", "ZE_FLAT_DEVICE_HIERARCHY", "ONEAPI_ROOT", "PJRT_DEVICE", "JAX_PLATFORMS"),
        # A limit in tokens is no secret.
        *("VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD", "VLLM_MULTI_STREAM_GEMM_TOKEN_THRESHOLD"),
    )
)
PREFIXES = (
    *("LC_", "XDG_", "PYTHON", "VLLM_", "TORCH", "PYTORCH_", "TRITON_", "FLASHINFER_", "DG_", "RAY_", "INDUCTOR_", "NUMBA_"),
    *("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TOKENIZERS_", "SAFETENSORS_", "TIKTOKEN_", "XGRAMMAR_", "OUTLINES_"),
    *("CUDA_", "CUDNN_", "CUBLAS", "NVIDIA_", "NVCC_", "NCCL_", "NVSHMEM_", "GLOO_", "UCX_", "FI_", "RDMAV_"),
    *("HSA_", "HIP_", "HIPBLASLT_", "ROCM_", "ROCR_", "ROCBLAS_", "MIOPEN_", "AITER_", "FLASH_ATTENTION_"),
    *("SYCL_", "CCL_", "TPU_", "LIBTPU_", "XLA_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "DNNL_", "ONEDNN_", "MALLOC_"),
)
SECRETS = {"KEY", "KEYS", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "CREDENTIALS", "AUTH"}  # words of a name
# They open further endpoints, read pickles from them, write texts to the log, or serve other weights under the model's name.
REFUSED = frozenset(
    (
        *("VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_ALLOW_INSECURE_SERIALIZATION"),
        *("VLLM_DEBUG_LOG_API_SERVER_RESPONSE", "VLLM_MODEL_REDIRECT_PATH", "VLLM_TEST_FORCE_LOAD_FORMAT"),
    )
)
# A proxy's address may have a password.
FETCHING = frozenset(
    (
        *("HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_DISABLE_IMPLICIT_TOKEN"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)


def passed_on(environment: Mapping[str, str], model: str) -> dict[str, str]:
    """The variables that a server of the model gets; those for fetching it only if it may come from the hub."""
    fetched = not is_local(model) and not constants.HF_HUB_OFFLINE
    return {name: value for name, value in environment.items() if is_needed(name) or (fetched and name in FETCHING)}


def is_needed(name: str) -> bool:
    """Whether a server needs the variable, wherever its model comes from."""
    if name in NAMES:
        return True
    return name.startswith(PREFIXES) and name not in REFUSED and SECRETS.isdisjoint(name.split("_"))
