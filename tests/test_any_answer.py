"""Whatever a server answers, every stage has a row with a reason or one line of error, and a healthy server heals all rows."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import polars as pl
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.families import FAMILIES
from warrior_dagster.analysis import categories
from warrior_dagster.config.battles import Battles
from warrior_dagster.config.serving import Endpoint, Engine, Sampling
from warrior_dagster.config.stages import Difficulty, Mining, MiningSetting
from warrior_dagster.inference.engines import Engines
from warrior_dagster.inference.failures import Unreachable
from warrior_dagster.inference.http_client import CompletionsClient
from warrior_dagster.inference.ledger.writer import LedgerWriter
from warrior_dagster.inference.prompting import LoadedCompetitor, Prompt
from warrior_dagster.inference.reasoning import reply_format
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.stages.battles import answering
from warrior_dagster.stages.battles.opinions import judging
from warrior_dagster.stages.battles.unit_tests import generation
from warrior_dagster.stages.curation import difficulty
from warrior_dagster.stages.mining import sampling

Answer = tuple[int, bytes]
MODEL = ServedModel("m@1", "m", None, Endpoint(kind="endpoint", urls=("http://127.0.0.1:9",)))
COMPETITORS = [
    LoadedCompetitor(name, MODEL, FAMILIES[family], None, reply_format(FAMILIES[family]))
    for name, family in (("ann", "chatml"), ("bob", "qwq"), ("cyd", "gpt_oss"))
]
INSTRUCTIONS = pl.DataFrame({"instruction_id": ["1f"], "competitor": ["ann"], "instruction": ["Add two numbers."]})
PAIRS = INSTRUCTIONS.with_columns(
    answer_left=pl.lit("1"), key_left=pl.lit("k"), answer_right=pl.lit("2"), key_right=pl.lit("l")
)
MINING = Mining(settings=(MiningSetting(temperature=1.0, top_p=1.0),), samples=2)
Read = Callable[[Request, Completion], dict[str, Any]]


def stages(one: LoadedCompetitor) -> Iterator[tuple[Iterable[Request], Read]]:
    """The requests of every stage to a competitor, each with its reader."""
    yield sampling.requests(one, ("Python",), MINING), partial(sampling.read, mining=MINING)
    yield answering.requests(one, INSTRUCTIONS, Sampling()), answering.read
    yield categories.requests(one, INSTRUCTIONS, "Sort $instruction"), categories.read
    for verdict in ("direct", "reasoned"):
        battles, rating = Battles.model_validate({"verdict": verdict}), Difficulty.model_validate({"verdict": verdict})
        yield judging.requests(one, {"ann__bob": PAIRS}, battles), partial(judging.read, settings=battles)
        yield difficulty.requests(one, INSTRUCTIONS, rating), partial(difficulty.read, settings=rating)
        yield difficulty.topic_requests(one, INSTRUCTIONS, rating), partial(difficulty.read_topic, settings=rating)
    tests = [one.reply(Prompt("Write tests."), Sampling(), (one.name, "1f"))]
    yield tests, generation.read


class Scripted(BaseHTTPRequestHandler):
    """Answers from the server's list, and rightly once that is used up."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, content = next(self.server.answers, None) or (200, json.dumps(healthy(body)).encode())  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def healthy(body: dict[str, Any]) -> dict[str, Any]:
    words = body.get("structured_outputs", {}).get("choice", [])
    logprobs = {"top_logprobs": [dict.fromkeys(words, -1.0)]} if words else None
    choice = {"text": words[0] if words else "Sure.", "finish_reason": "stop", "logprobs": logprobs}
    return {"choices": [choice] * body["n"], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


@contextmanager
def serving(answers: Iterable[Answer]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.answers = iter(answers)  # type: ignore[attr-defined]
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def rows(folder: Path, answers: Iterable[Answer]) -> list[list[dict[str, Any]]]:
    """The rows of each stage, with a server that gives some answers; a stage that it stops has one with the error."""
    found = list[list[dict[str, Any]]]()
    with serving(answers) as url, LedgerWriter(str(folder)) as ledger:

        def start(*_: object) -> CompletionsClient:
            return CompletionsClient((url,), "m", max_in_flight=2, attempts=1, timeout_s=20)

        with Engines(Engine(), ledger, folder, start=start) as engines:
            for requests, read in (stage for one in COMPETITORS for stage in stages(one)):
                try:
                    of_stage, _ = engines.complete(requests, read, engines.progress("stage", 1, logging.getLogger()))
                except Unreachable as error:
                    of_stage = [{"error": str(error)}]
                found.append(of_stage)
    return found


TEXT = st.lists(
    st.sampled_from(
        [
            *(
                "[[A]]",
                "[[7]]",
                "[[ t\u0131e ]]",
                "```python\n",
                "```",
                "assert f(1) == 2",
                "\n",
                " ",
                "A",
                "3",
                "NONE",
                "\u2028",
            ),
            *(
                "<think>",
                "</think>",
                "<|channel|>final<|message|>",
                "<|end|>",
                "<|im_start|>",
                "User:",
                "\ud800",
                "\x00",
                "def f(x):",
            ),
        ]
    )
    | st.text(max_size=5),
    max_size=8,
).map("".join)
NUMBER = st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=3)
LOGPROBS = st.dictionaries(st.sampled_from(["A", "B", "1", "Y"]) | st.text(max_size=2), NUMBER, max_size=4)
CHOICE = st.fixed_dictionaries(
    {"text": TEXT, "finish_reason": st.sampled_from(["stop", "length"])},
    optional={"logprobs": st.none() | st.fixed_dictionaries({"top_logprobs": st.lists(LOGPROBS | st.none(), max_size=1)})},
)
SHAPED = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=3) | NUMBER},
    optional={"usage": st.fixed_dictionaries({"prompt_tokens": NUMBER, "completion_tokens": NUMBER}) | NUMBER},
)
ANSWER = st.one_of(
    st.tuples(st.just(200), SHAPED.map(lambda body: json.dumps(body).encode())),
    st.tuples(st.sampled_from([200, 200, 400, 401, 402, 403, 500]), st.binary(max_size=40)),
)


@settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(ANSWER, max_size=60))
def test_any_answer_gives_rows_with_a_reason_or_one_line_of_error_and_a_healthy_server_heals(answers: list[Answer]) -> None:
    with TemporaryDirectory() as name:
        first, then = rows(Path(name), answers), rows(Path(name), [])
    assert [len(of_stage) for of_stage in then] == [2, 1, 1, 2, 1, 1, 2, 1, 1, 1] * len(COMPETITORS)
    for row in (row for of_stage in first for row in of_stage):
        assert row["error"] is None or (row["error"] and "\n" not in row["error"])
        assert row["error"] is None or row.get("reason", row["error"]) or row.get("status") == "failed"
    assert [row["error"] for of_stage in then for row in of_stage if row["error"] is not None] == []
