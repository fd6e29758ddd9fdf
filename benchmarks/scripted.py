"""A scripted OpenAI-compatible completions endpoint for the benchmarks, in plain asyncio for speed.

It answers after a set latency. For set shares of the prompts, chosen by their hash, it is slow, busy (429) or refuses (400).
It logs the arrival and the answer of each request. As a script it serves until it is stopped; `scripted_server` runs it in a
child process.
"""

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TextIO

TICKETS = count(time.time_ns())
WORDS = (("write", "fix", "explain", "test"), ("a parser", "a queue", "this loop", "a regex", "a cache", "a class"))


def number_of(text: str) -> int:
    """A large number that depends only on the text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


def identity(body: dict[str, Any]) -> int:
    """A number that depends only on prompt and sampling; not on stops, some of which are not part of a completion's key."""
    return number_of(json.dumps({k: v for k, v in body.items() if k not in ("model", "n", "stop_token_ids")}, sort_keys=True))


def scripted_choice(number: int, words: list[str] | None) -> dict[str, Any]:
    """A choice of a completions response: one of `words` with the log-probabilities of all, or a short instruction."""
    if words:
        logprobs = {word: -1.0 - (number >> (8 * place)) % 7 for place, word in enumerate(words)}
        text = max(logprobs, key=lambda word: logprobs[word])
        return {"text": text, "finish_reason": "stop", "logprobs": {"top_logprobs": [logprobs]}}
    code = f"{number:x}"
    verb, thing = WORDS[0][number % 4], WORDS[1][number // 4 % 6]
    return {"text": f"{verb} {thing} in Python that handles {code[:6]} and {code[6:12]} {code[12:18]}", "finish_reason": "stop"}


class Scripted(asyncio.Protocol):
    """One connection."""

    def __init__(self, settings: Namespace, log: TextIO | None, seen: set[int]) -> None:
        self.settings, self.log, self.seen = settings, log, seen
        self.buffer = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            if head.startswith(b"get"):
                self.respond(200, b"{}")
            else:
                self.handle(json.loads(body))

    def handle(self, body: dict[str, Any]) -> None:
        """Respond as the hash of the prompt decides: at once if busy, otherwise after the latency."""
        options, came = self.settings, time.time()
        of_prompt = number_of(body["prompt"])
        share = of_prompt % 10_000 / 10_000
        loop = asyncio.get_running_loop()
        if share < options.busy and of_prompt not in self.seen:
            self.seen.add(of_prompt)
            self.respond(429, b"{}", b"Retry-After: %g\r\n" % options.retry_after)
        elif share < options.refused:
            loop.call_later(options.latency, self.respond, 400, b'{"error": "refused"}')
        else:
            self.note(identity(body), body["n"], came, None)
            latency = options.latency * (20 if share < options.slow else 1)
            loop.call_later(latency, self.answer, body, came)

    def answer(self, body: dict[str, Any], came: float) -> None:
        samples, number = body["n"], identity(body)
        words = body.get("structured_outputs", {}).get("choice")
        # Equal requests get equal verdicts, but a sampled text is new each time, as with a real model.
        choices = [scripted_choice(number if words else number_of(f"{number}:{next(TICKETS)}"), words) for _ in range(samples)]
        usage = {"prompt_tokens": len(body["prompt"]) // 4, "completion_tokens": 16 * samples}
        self.respond(200, json.dumps({"choices": choices, "usage": usage}).encode())
        self.note(number, samples, came, time.time())

    def note(self, number: int, samples: int, came: float, left: float | None) -> None:
        """Log the arrival of a request, or with `left` its answer."""
        if self.log:
            self.log.write(json.dumps({"what": f"{number:032x}", "n": samples, "came": came, "left": left}) + "\n")
            self.log.flush()

    def respond(self, status: int, body: bytes, header: bytes = b"") -> None:
        if not self.transport.is_closing():
            head = b"HTTP/1.1 %d .\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % (status, len(body))
            self.transport.write(head + header + b"\r\n" + body)


async def serve(options: Namespace) -> None:
    """Serve until cancelled; prints the base URL once ready."""
    seen: set[int] = set()
    with open(options.log or "/dev/null", "a", encoding="utf-8") as log:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Scripted(options, log if options.log else None, seen), "127.0.0.1", options.port
        )
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


@contextmanager
def scripted_server(log: Path | None = None, **options: float) -> Iterator[str]:
    """The endpoint in a child process; yields its base URL. Options are the script's own."""
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, __file__, *arguments, *([f"--log={log}"] if log else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", default="")
    parser.add_argument("--latency", type=float, default=0.1, help="seconds")
    parser.add_argument("--slow", type=float, default=0, help="share of prompts answered 20 times slower")
    parser.add_argument("--busy", type=float, default=0, help="share of prompts answered 429 the first time")
    parser.add_argument("--retry-after", type=float, default=1.0)
    parser.add_argument("--refused", type=float, default=0, help="share of prompts answered 400")
    asyncio.run(serve(parser.parse_args()))
