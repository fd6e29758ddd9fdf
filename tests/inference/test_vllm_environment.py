"""The environment of a server that loads strangers' files has what it needs, and no secret of ours."""

import pytest

from warrior_dagster.inference.servers.vllm_environment import passed_on

NEEDED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "XDG_CACHE_HOME", "CC"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_HOME", "NVIDIA_VISIBLE_DEVICES", "NCCL_P2P_DISABLE", "ROCR_VISIBLE_DEVICES"),
    *("HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM"),
    *("VLLM_CACHE_ROOT", "VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"),
    *("OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "RAY_ADDRESS", "NUMBA_CACHE_DIR", "RANK", "MASTER_ADDR", "ZE_AFFINITY_MASK"),
    *("TPU_VISIBLE_CHIPS", "AITER_JIT_DIR", "MIOPEN_USER_DB_PATH", "NVSHMEM_IB_GID_INDEX", "FI_PROVIDER", "TIKTOKEN_CACHE_DIR"),
    *("VLLM_SHARED_EXPERTS_STREAM_TOKEN_THRESHOLD", "VLLM_MULTI_STREAM_GEMM_TOKEN_THRESHOLD"),
)
SECRETS = (
    *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "MY_SERVICE", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "GITHUB_TOKEN"),
    *("PGPASSWORD", "DATABASE_URL", "DAGSTER_PG_PASSWORD", "SSH_AUTH_SOCK", "S3_SECRET_ACCESS_KEY", "KUBERNETES_SERVICE_HOST"),
    # Keys of endpoints that are named like settings of vLLM and its libraries.
    *("VLLM_API_KEY", "VLLM_STAGING_API_KEY", "HF_INFERENCE_TOKEN", "CUDA_CLOUD_PASSWORD", "TORCH_SECRET", "RAY_AUTH_TOKEN"),
)
DOORS = ("VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_INSECURE_SERIALIZATION", "VLLM_MODEL_REDIRECT_PATH", "VLLM_TEST_FORCE_LOAD_FORMAT")
FETCHING = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HTTPS_PROXY", "no_proxy")
ALL = dict.fromkeys((*NEEDED, *SECRETS, *DOORS, *FETCHING), "value")


@pytest.mark.parametrize("model", ["/models/own", "./own", "~/own"])
def test_a_server_of_a_local_folder_gets_what_it_needs_and_no_secret(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert set(passed_on(ALL, model)) == set(NEEDED)


def test_a_server_gets_the_hub_s_token_and_the_proxy_only_to_fetch_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert set(passed_on(ALL, "org/m")) == {*NEEDED, *FETCHING}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert set(passed_on(ALL, "org/m")) == set(NEEDED)


def test_values_are_passed_on_as_they_are() -> None:
    assert passed_on({"PATH": "/bin", "NOTE": "x", "HF_HOME": ""}, "/m") == {"PATH": "/bin", "HF_HOME": ""}
