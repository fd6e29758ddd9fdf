"""The kinds of server, one file each. A new kind: its settings in config/serving.py, a file here, and a line in SERVERS."""

from warrior_dagster.inference.servers import chat, endpoint, vllm
from warrior_dagster.inference.servers.base import ServerKind

SERVERS: dict[str, ServerKind] = {"vllm": vllm, "endpoint": endpoint, "chat": chat}  # by the `kind` of their settings
