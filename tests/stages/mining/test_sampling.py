import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warrior_dagster.config.serving import VllmServer
from warrior_dagster.config.stages import Mining, MiningSetting
from warrior_dagster.inference import chat_template
from warrior_dagster.inference.prompting import LoadedCompetitor
from warrior_dagster.inference.reasoning import reply_format
from warrior_dagster.inference.request import Completion, Request, ServedModel
from warrior_dagster.stages.mining import sampling

GRID = (MiningSetting(temperature=1.0, top_p=0.9), MiningSetting(temperature=1.2, top_p=0.99))


@pytest.fixture(scope="module")
def competitor(bundled_model: Path) -> LoadedCompetitor:
    template = chat_template.load_template(str(bundled_model), None)
    return LoadedCompetitor("ann", ServedModel("local@x", "m", None, VllmServer()), template, None, reply_format(template))


def keys(competitor: LoadedCompetitor, mining: Mining, languages: tuple[str, ...] = ("Python",)) -> list[str]:
    return [key for request in sampling.requests(competitor, languages, mining) for key in request.keys()]


@settings(max_examples=20)
@given(samples=st.integers(1, 40), together=st.integers(1, 40))
def test_each_sample_of_the_grid_is_requested_once_for_any_request_size(
    competitor: LoadedCompetitor, samples: int, together: int
) -> None:
    languages = ("Python", "Rust")
    found = keys(competitor, Mining(settings=GRID, samples=samples, samples_per_request=together), languages)
    assert len(found) == len(set(found)) == samples * 2 * 2
    assert set(found) == set(keys(competitor, Mining(settings=GRID, samples=samples, samples_per_request=7), languages))


def test_more_samples_and_settings_keep_the_existing_keys(competitor: LoadedCompetitor) -> None:
    old = keys(competitor, Mining(settings=GRID[:1], samples=5))
    assert set(old) < set(keys(competitor, Mining(settings=GRID, samples=9)))


def test_the_model_stops_at_its_end_of_turn_and_not_at_a_newline(competitor: LoadedCompetitor) -> None:
    request = next(sampling.requests(competitor, ("Python",), Mining(settings=GRID)))
    assert competitor.template
    ids = competitor.template.tokenizer.get_vocab()
    end, start = ids["<|im_end|>"], ids["<|im_start|>"]
    assert json.loads(request.params)["stop_token_ids"] == [end]
    assert {start, end} <= set(request.frame_stops)
    assert '"stop":' not in request.params
    assert request.prompt.endswith("<|im_start|>user\n")
    assert "Python" in request.prompt


def test_each_row_has_the_origin_of_the_sample_and_its_status(competitor: LoadedCompetitor) -> None:
    mining = Mining(settings=GRID, samples=3)
    request = list(sampling.requests(competitor, ("Python",), mining))[1]
    texts = ["How do I reverse a list in Python without a loop?", "", "word " * 10]
    rows = [
        sampling.read(request, Completion(key, n, text, "length" if n == 2 else "stop", 5, 9), mining)
        for n, (key, text) in enumerate(zip(request.keys(), texts, strict=True))
    ]
    assert [row["status"] for row in rows] == ["ok", "empty", rows[2]["status"]]
    assert rows[2]["status"] in ("unfinished", "repetitive")
    assert [row["instruction"] for row in rows] == [texts[0], "", ""]
    assert [(r["temperature"], r["top_p"], r["sample"]) for r in rows] == [(1.2, 0.99, n) for n in range(3)]
    assert len({row["row_id"] for row in rows}) == 3
    failed = sampling.read(request, Completion("k", 0, error="HTTP 400: no", attempts=6), mining)
    assert (failed["status"], failed["error"], failed["attempts"]) == ("failed", "HTTP 400: no", 6)


def test_the_instruction_id_depends_on_the_completion_and_not_on_the_competitor() -> None:
    mining = Mining(settings=(MiningSetting(temperature=1.0, top_p=0.99),), samples=1)
    model, rows = ServedModel("local@x", "m", None, VllmServer()), []
    for name in ("ann", "bob"):
        origin = {"competitor": name, "language": "Python", **mining.settings[0].model_dump()}
        request = Request(model, "prefix", "{}", tag=origin)
        rows.append(sampling.read(request, Completion(request.keys()[0], 0, "How do I sort a list?", "stop"), mining))
    assert rows[0]["instruction_id"] == rows[1]["instruction_id"] == rows[0]["completion_key"][:16]
