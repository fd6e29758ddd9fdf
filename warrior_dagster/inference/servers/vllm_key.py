"""Asks for the key on every path of a vLLM server: its own check leaves some open, such as /invocations, which completes text.

The server imports this module (`--middleware`), so it runs in vLLM's process.
"""

import os
from hmac import compare_digest

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

KEY_VARIABLE = "VLLM_API_KEY"  # vLLM reads it too
HEALTH = "/health"


class KeyOnEveryPath:
    """ASGI middleware: without the key there is only the health check."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._expected = app, f"Bearer {os.environ[KEY_VARIABLE]}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope["path"] != HEALTH:
            given = Headers(scope=scope).get("authorization", "")
            if not compare_digest(given.encode(), self._expected):
                await PlainTextResponse("expected the key of this server", 401)(scope, receive, send)
                return
        await self._app(scope, receive, send)
