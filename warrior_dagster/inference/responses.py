"""Reading the responses of OpenAI-compatible servers: bodies within bounds, and the completions in them."""

import json
from typing import Any

import aiohttp

from warrior_dagster.inference.failures import Refused, Transient, WrongAnswer
from warrior_dagster.inference.request import Completion, Request
from warrior_dagster.inference.validation import MOST_TOKENS, impossible, unanswered

LONGEST_ERROR = 1 << 16  # bytes of an error's body
ABORTED = (None, "abort")  # the finish reasons of a server that shuts down
SYNONYMS = {"eos": "stop"}  # Together's
LONGEST_ANSWER, BYTES_PER_TOKEN = 1 << 22, 256


def longest_answer(tokens: int) -> int:
    """The most bytes of a response with so many tokens: 4 MiB, and more than JSON needs for each token."""
    return LONGEST_ANSWER + BYTES_PER_TOKEN * tokens


async def read_at_most(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body of a response; reading ends once it is longer than `most` bytes."""
    length = response.content_length
    if length is not None and length <= most and "Content-Encoding" not in response.headers:
        return await response.read()
    parts, size = list[bytes](), 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            break
    return b"".join(parts)


async def read_error(response: aiohttp.ClientResponse) -> bytes:
    """The body of an error; of one that is too long only its size, because what was read may end within a secret."""
    content = await read_at_most(response, LONGEST_ERROR)
    return content if len(content) <= LONGEST_ERROR else f"(an error of more than {LONGEST_ERROR} bytes)".encode()


def json_object(content: bytes) -> dict[str, Any]:
    """A response's body. Raises WrongAnswer if it is not a JSON object."""
    try:
        body = json.loads(content)
    except ValueError as error:
        raise WrongAnswer(f"the answer is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise WrongAnswer(f"the answer is not a JSON object but {type(body).__name__}")
    return body


def parse_response(request: Request, response: dict[str, Any], attempts: int) -> list[Completion]:
    """The completions in a server's response. Raises WrongAnswer if the response has another shape."""
    try:
        return completions(request, response, attempts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WrongAnswer(f"the answer does not have the shape of completions: {error!r}") from error


def completions(request: Request, response: dict[str, Any], attempts: int) -> list[Completion]:
    """As `parse_response`. Prompt tokens count for the first sample.

    Raises WrongAnswer if a choice is missing, Transient if it was aborted, and Refused if the server left out what was asked
    for, because it would leave it out again.
    """
    choices = response.get("choices") or []
    if len(choices) != len(request.samples):
        raise WrongAnswer(f"expected {len(request.samples)} choices; the answer has {len(choices)}")
    usage = response.get("usage") or {}
    prompt_tokens, spent = (token_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
    result = []
    for place, (key, sample, choice) in enumerate(zip(request.keys(), request.samples, choices, strict=True)):
        if not isinstance(choice.get("text"), str):
            raise WrongAnswer(f"expected choices with a text; found {', '.join(choice) or 'nothing'}")
        text = choice["text"].encode("utf-8", "replace").decode()  # JSON may hold half a surrogate pair
        logprobs = ((choice.get("logprobs") or {}).get("top_logprobs") or [None])[0]
        tokens = (prompt_tokens if place == 0 else 0, spent // len(choices) + (place < spent % len(choices)))
        completion = Completion(key, sample, text, finish_reason(choice), *tokens, logprobs, attempts=attempts)
        if reason := impossible(completion):
            raise Transient(reason) if completion.finish_reason in ABORTED else WrongAnswer(reason)
        if reason := unanswered(request.params, completion):
            raise Refused(reason)
        result.append(completion)
    return result


def finish_reason(choice: dict[str, Any]) -> Any:
    """The finish reason of a choice in the words of vLLM and OpenAI."""
    found = choice.get("finish_reason")
    return SYNONYMS.get(found, found) if isinstance(found, str) else found


def token_count(usage: dict[str, Any], name: str) -> int:
    """A number of tokens in a response, 0 if the server does not say. Raises WrongAnswer if it is no number of tokens."""
    value = usage.get(name) or 0
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:
        raise WrongAnswer(f"expected a number of {name}; found {value!r}"[:100])
    return value
