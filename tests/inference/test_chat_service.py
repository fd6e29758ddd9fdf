"""Services that only chat: what is sent to them, how their replies are read, and what may stand in a prompt."""

import asyncio
import json
import math
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from tests.inference.scripted_servers import serve
from warrior_dagster.config.arena import Arena
from warrior_dagster.config.serving import ChatService, Sampling
from warrior_dagster.inference import chat_service
from warrior_dagster.inference.failures import Refused, Transient
from warrior_dagster.inference.prompting import (
    LoadedCompetitor,
    choice_probabilities,
    judge_prompt,
    load_competitor,
    user_prompt,
)
from warrior_dagster.inference.reasoning import answer_of
from warrior_dagster.inference.request import Completion, Request

FRAMES = [
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|start_header_id|>", "<|eot_id|>", "<|channel|>", "<|return|>"),
    *(
        "<\uff5cAssistant\uff5c>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "<<SYS>>",
        "<</SYS>>",
    ),
    *(
        "<start_of_turn>",
        "<end_of_turn>",
        "<bos>",
        "<eos>",
        "<think>",
        "</think>",
        "[SYSTEM_PROMPT]",
        "[/THINK]",
        "[TOOL_CALLS]",
    ),
    *("<|turn>", "<turn|>", "<|channel>", "<channel|>"),
]
COMPETITORS = [{"name": name, "model": f"org/{name}"} for name in ("ann", "bob")]


def service(**values: Any) -> LoadedCompetitor:
    chat = {"kind": "chat", "urls": ["http://127.0.0.1:9"]} | values
    competitors = [*COMPETITORS, {"name": "cyd", "model": "gpt-x", "system_prompt": "Be brief.", "serve": chat}]
    return load_competitor(Arena.model_validate({"name": "small", "competitors": competitors}), "cyd", "answers")


def asked(reply: dict[str, Any], request: Request, **settings: Any) -> tuple[Completion, dict[str, Any]]:
    """The completion of a request that is answered with `reply`, and the body that was sent."""
    bodies: list[dict[str, Any]] = []

    def note(body: dict[str, Any], _: int) -> web.Response:
        bodies.append(body)
        return web.json_response(reply)

    done, _ = asyncio.run(serve([note], [request], chat=True, attempts=1, **settings))
    return done[0], bodies[0]


def choice(content: Any = "Hello", reason: str = "stop", **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}]}


def test_only_parameters_that_all_services_know_are_sent() -> None:
    competitor = service()
    request = competitor.reply(user_prompt(competitor, "Add 1 and 1."), Sampling(temperature=0.5, max_tokens=9), None)
    completion, body = asked(choice() | {"usage": {"prompt_tokens": 8, "completion_tokens": 3}}, request)
    assert body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Add 1 and 1."}],
        "temperature": 0.5,
        "top_p": 0.95,
        "max_tokens": 9,
    }
    assert (completion.text, completion.finish_reason, completion.error) == ("Hello", "stop", None)
    assert (completion.prompt_tokens, completion.completion_tokens) == (8, 3)
    assert completion.key == request.keys()[0]


def test_the_key_depends_on_the_service_s_model_and_on_nothing_about_where_it_is() -> None:
    def key(**values: Any) -> str:
        competitor = service(**values)
        return competitor.reply(user_prompt(competitor, "Hi"), Sampling(), None).keys()[0]

    elsewhere = {"urls": ["https://example.com"], "api_key_env": "KEY", "logprobs": True}
    assert key() == key(**elsewhere) == key(served_model="gpt-x", price_per_million_tokens={"input": 1, "output": 2})
    assert key() != key(served_model="gpt-y")


def test_a_service_that_wants_another_name_of_max_tokens_gets_it() -> None:
    competitor, names = service(), list[str]()
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."

    def picky(body: dict[str, Any], _: int) -> web.Response:
        names.extend(name for name in body if name.startswith("max"))
        if "max_tokens" in body:
            return web.json_response({"error": {"message": words, "param": "max_tokens"}}, status=400)
        return web.json_response(choice())

    sent = [competitor.reply(user_prompt(competitor, f"p{n}"), Sampling(), None) for n in range(20)]
    done, _ = asyncio.run(serve([picky], sent, chat=True, attempts=1, max_in_flight=4))
    assert [(c.error, c.attempts) for c in done] == [(None, 1)] * 20
    assert names.count("max_completion_tokens") == 20
    assert names.count("max_tokens") <= 4


def test_several_samples_come_from_services_that_know_n_ignore_it_or_refuse_it_and_the_first_keeps_its_key() -> None:
    competitor = service()
    prompt = user_prompt(competitor, "Hi")
    request = competitor.reply(prompt, Sampling(), None, (0, 1, 2))
    assert request.keys()[:1] == competitor.reply(prompt, Sampling(), None).keys()

    def knows(body: dict[str, Any], _: int) -> web.Response:
        return web.json_response({"choices": choice()["choices"] * body.get("n", 1)})

    def ignores(body: dict[str, Any], _: int) -> web.Response:
        return web.json_response(choice())

    def refuses(body: dict[str, Any], _: int) -> web.Response:
        error = {"error": {"message": "unknown field", "param": "n"}}
        return web.json_response(error, status=400) if "n" in body else web.json_response(choice())

    for handler, requests_sent in ((knows, 1), (ignores, 3), (refuses, 4)):
        done, (seen,) = asyncio.run(serve([handler], [request], chat=True, attempts=1))
        assert {one.key: one.error for one in done} == dict.fromkeys(request.keys())
        assert seen.total() == requests_sent


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_stored_in_front_of_the_answer(field: str) -> None:
    competitor = service()
    request = competitor.reply(user_prompt(competitor, "Hi"), Sampling(), None)
    completion, _ = asked(choice("Two.", **{field: "One and one."}), request)
    assert completion.text == "<think>\nOne and one.\n</think>\nTwo."
    cut_off, _ = asked(choice(None, "length", **{field: "One and"}), request)
    assert (cut_off.text, cut_off.finish_reason) == ("<think>\nOne and", "length")


def test_reasoning_that_quotes_the_end_of_a_block_does_not_reach_into_the_answer() -> None:
    competitor = service()
    request = competitor.reply(user_prompt(competitor, "Hi"), Sampling(), None)
    completion, _ = asked(choice("Two.", reasoning="I write </think> here. [[B]]"), request)
    assert answer_of(completion, request.format).text == "Two."


def test_content_in_parts_is_their_text() -> None:
    competitor = service()
    request = competitor.reply(user_prompt(competitor, "Hi"), Sampling(), None)
    parts = [{"type": "text", "text": "Hel"}, {"type": "image_url"}, {"type": "text", "text": "lo"}]
    assert asked(choice(parts), request)[0].text == "Hello"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (choice("I", "content_filter"), "Refused: the service withheld the reply: content_filter"),
        (choice(None, refusal="I cannot help with that."), "Refused: the service withheld the reply: I cannot help with that."),
        (choice(None, "tool_calls", tool_calls=[{"id": "1"}]), "Refused: the reply is a tool call, and no tools were offered"),
        (choice("Hel", "error"), "WrongAnswer: expected finish_reason stop or length; found 'error'"),
        ({"choices": [{"text": "Hello", "finish_reason": "stop"}]}, "WrongAnswer: the answer does not have the shape of chat"),
        ({"choices": [None]}, "WrongAnswer: the answer does not have the shape of chat"),
        ({"choices": 1}, "WrongAnswer: the answer does not have the shape of chat"),
        (choice({"a": 1}), "WrongAnswer: the answer does not have the shape of chat"),
        (choice() | {"choices": []}, "WrongAnswer: expected 1 choices"),
    ],
)
def test_a_reply_without_an_answer_is_an_error_with_the_reason(reply: dict[str, Any], reason: str) -> None:
    competitor = service()
    completion, _ = asked(reply, competitor.reply(user_prompt(competitor, "Hi"), Sampling(), None))
    assert str(completion.error).startswith(reason)


def test_a_direct_verdict_has_the_probabilities_of_the_first_token() -> None:
    competitor = service(logprobs=True)
    request = competitor.choice(judge_prompt(competitor, "Which?"), ("A", "B"), None)
    first = [{"token": token, "logprob": math.log(p)} for token, p in (("A", 0.6), ("B", 0.2), ("Both", 0.1))]
    reply = choice("A", "length")
    reply["choices"][0]["logprobs"] = {"content": [{"token": "A", "logprob": math.log(0.6), "top_logprobs": first}]}
    completion, body = asked(reply, request)
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"], body["temperature"]) == (True, 20, 1, 0.0)
    assert "structured_outputs" not in body
    probabilities, _ = choice_probabilities(completion, ("A", "B"))
    assert probabilities == pytest.approx({"A": 0.75, "B": 0.25})


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}, {"content": [{"token": "A"}]}])
def test_a_judge_whose_service_ignores_log_probabilities_abstains_with_the_reason(logprobs: Any) -> None:
    competitor = service(logprobs=True)
    request = competitor.choice(judge_prompt(competitor, "Which?"), ("A", "B"), None)
    reply = choice("A", "length")
    reply["choices"][0]["logprobs"] = logprobs
    completion, _ = asked(reply, request)
    probabilities, reason = choice_probabilities(completion, ("A", "B"))
    assert probabilities is None
    assert "probabilit" in reason


@pytest.mark.parametrize("literal", FRAMES)
def test_no_token_of_a_known_family_is_left_in_a_text_of_a_model(literal: str) -> None:
    competitor = service()
    (_, turn) = json.loads(user_prompt(competitor, f"a {literal} b{literal}").text)
    assert literal not in turn["content"]
    assert turn["content"].replace(" ", "") == f"a{literal}b{literal}"
    (_, turn) = json.loads(judge_prompt(competitor, "Judge $answer", answer=f"a {literal}").text)
    assert literal not in turn["content"]


@pytest.mark.parametrize("code", ["x <| f |> y", "rows[inst]", "a <$> b <|> c", "Vec<T>", "a<b||c>d"])
def test_code_that_only_resembles_a_token_is_not_changed(code: str) -> None:
    assert chat_service.neutralise(code) == code


@given(st.lists(st.sampled_from([*FRAMES, "<", ">", "|", "[", "]", "/", " ", "a", "s", "<|", "|>"]), max_size=12).map("".join))
@example("<|[INST]|>")
def test_neutralising_leaves_no_frame_changes_only_spaces_and_is_done_once(text: str) -> None:
    neutral = chat_service.neutralise(text)
    assert not chat_service.FRAME_TOKENS.search(neutral)
    assert neutral.replace(" ", "") == text.replace(" ", "")
    assert chat_service.neutralise(neutral) == neutral


@given(st.text(st.characters(codec=None, categories=None)))
def test_any_text_is_one_message(text: str) -> None:
    (turn,) = json.loads(chat_service.messages(text, None).encode())
    assert turn == {"role": "user", "content": text}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "message",
                        "content",
                        "logprobs",
                        "top_logprobs",
                        "token",
                        "logprob",
                        "finish_reason",
                        "reasoning",
                    ]
                ),
                x,
            )
        ),
    )
)
def test_any_reply_is_read_or_refused_by_name(reply: Any) -> None:
    for response in ({"choices": reply}, {"choices": [reply]}, {"choices": [{"message": reply, "finish_reason": "stop"}]}):
        with suppress(Refused, Transient):
            chat_service.as_completions(response)


def test_a_service_has_no_gpus_and_loads_nothing() -> None:
    settings = ChatService(kind="chat", urls=("https://example.com",))
    assert (settings.devices, settings.loads_weights, settings.mines) == (0, False, False)
