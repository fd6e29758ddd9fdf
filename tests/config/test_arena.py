import json
from pathlib import Path

import pytest
import yaml

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.arena_file import ArenaError, load_arena

ARENAS = Path(__file__).parents[2] / "arenas"
GOOD = """\
name: mine
competitors:
  - {name: a, model: org/a}
  - {name: b, model: ./b}
  - {name: c, model: org/c, revision: abc}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_defaults_are_those_of_the_method(tmp_path: Path) -> None:
    arena = load_arena(written(tmp_path, GOOD))
    assert len(arena.mining.settings) == 9
    assert (1.2, 0.99) in [(s.temperature, s.top_p) for s in arena.mining.settings]
    assert (arena.deduplication.threshold, arena.deduplication.shingle_words) == (0.7, 1)
    assert (arena.difficulty.keep, arena.difficulty.verdict) == (6, "reasoned")
    assert (arena.battles.orders, arena.battles.instructions, arena.battles.votes) == ("both", "all", "hard")
    assert (arena.ratings.k, arena.ratings.alpha, arena.ratings.method) == (40, 0.7, "elo")
    assert (arena.answers.sampling.temperature, arena.answers.sampling.top_p) == (1.0, 0.95)
    assert arena.battles.sampling.top_p == 0.995


def test_relative_paths_are_resolved_against_the_file(tmp_path: Path) -> None:
    arena = load_arena(written(tmp_path, GOOD))
    assert arena.competitor("b").model == str(tmp_path / "b")
    assert arena.competitor("a").model == "org/a"
    assert arena.warehouse == str(tmp_path / "data" / "mine")
    assert arena.export.folder == str(tmp_path / "data" / "mine" / "exports")


def test_arenas_of_one_warehouse_have_exports_of_their_own(tmp_path: Path) -> None:
    shared = "warehouse: shared/mine\n"
    mine, other = (
        load_arena(written(tmp_path, GOOD.replace("name: mine", f"name: {name}") + shared)) for name in ("mine", "x")
    )
    assert mine.warehouse == other.warehouse
    assert mine.export.folder == str(tmp_path / "shared/mine/exports")
    assert other.export.folder == str(tmp_path / "shared/mine/exports.x")


def test_the_uri_of_an_object_store_is_not_changed(tmp_path: Path) -> None:
    arena = load_arena(written(tmp_path, GOOD + "warehouse: s3://bucket/arena\n"))
    assert arena.warehouse == "s3://bucket/arena"
    assert arena.export.folder == str(tmp_path / "data" / "mine" / "exports")


@pytest.mark.parametrize(
    ("extra", "line", "key", "expected"),
    [
        ("minning: {}\n", 6, "minning", "expected a key of the schema"),
        ("mining: {sample: 3}\n", 6, "mining.sample", "expected a key of the schema"),
        ("mining:\n  samples: many\n", 7, "mining.samples", "expected a whole number"),
        ("deduplication: {threshold: 1.5}\n", 6, "deduplication.threshold", "at most 1"),
        ("ratings: {alpha: -0.1}\n", 6, "ratings.alpha", "at least 0"),
        ("difficulty: {keep: 11}\n", 6, "difficulty.keep", "at most 10"),
        ("difficulty: {panel: 3}\n", 6, "difficulty.panel", "expected at most 2"),
        ("difficulty: {prompt: Grade it.}\n", 6, "difficulty.prompt", "expected the placeholder $instruction"),
        ("battles: {prompt: $instruction $answer_a}\n", 6, "battles.prompt", "expected the placeholder $answer_b"),
        ("battles: {prompt: $instruction $answer_a $answer_b $x}\n", 6, "battles.prompt", "found $x"),
        ("battles: {prompt: $instruction costs $ 5}\n", 6, "battles.prompt", "expected every '$'"),
        ("battles: {votes: soft}\n", 6, "battles.votes", "verdict: direct"),
        ("battles: {judges: 2}\n", 6, "battles.judges", "expected at most 1"),
        ("battles: {orders: random}\n", 6, "battles.orders", "'both' or 'alternate'"),
        ("battles: {evidence: []}\n", 6, "battles.evidence", "at least one of opinion, execution, behaviour"),
        ("battles: {evidence: [behaviour]}\n", 6, "battles.evidence", "expected `execution` beside `behaviour`"),
        ("battles: {evidence: [execution], exam: 9}\n", 6, "battles.exam", "`opinion` among battles.evidence"),
        (
            "battles: {evidence: [execution], opinions: open}\n",
            6,
            "battles.opinions",
            "another kind of evidence before `opinion`",
        ),
        (
            "mining: {settings: [{temperature: 1, top_p: 1}, {temperature: 1, top_p: 1}]}\n",
            6,
            "mining.settings[1]",
            "once",
        ),
        ("engine: {serve: {kind: endpoint, urls: []}}\n", 6, "engine.serve.urls", "at least 1 item"),
        ("engine: {serve: {kind: endpoint, urls: ['http://a:1/v1/']}}\n", 6, "engine.serve.urls", "up to and without /v1"),
        ("engine: {serve: {kind: vllm, gpus: 2}}\n", 6, "engine.serve.gpus", "expected a key of the schema"),
        (
            "engine: {serve: {kind: vllm, extra_args: [--hf-overrides=x]}}\n",
            6,
            "engine.serve.extra_args",
            "speed and memory only",
        ),
        ("selection: {centres: 50, part_rows: 99}\n", 6, "selection.part_rows", "expected at least 100"),
        ("selection: {centres: 500_001}\n", 6, "selection.part_rows", "expected at least 1000002"),
        ("answers: {samples: 4}\n", 6, "answers.samples", "`execution` among battles.evidence"),
        (
            "answers: {samples: 4, sampling: {temperature: 0}}\nbattles: {evidence: [execution, opinion]}\n",
            6,
            "answers.samples",
            "a temperature above 0",
        ),
        ("execution: {samples: 2}\n", 6, "execution.samples", "a temperature above 0"),
        ("export: {dpo_rejected: own_sample}\n", 6, "export.dpo_rejected", "answers.samples above 1"),
        ("languages: []\n", 6, "languages", "at least 1 item"),
        (
            "languages: [Python, Rust, C]\nbattles: {evidence: [execution, opinion]}\n",
            6,
            "languages",
            "expected Python, whose code can be run, because battles.evidence has `execution`; found Rust, C.",
        ),
        ("name: again\n", 6, "name", "expected each key once"),
    ],
)
def test_a_mistake_is_one_line_with_file_line_key_and_what_was_expected(
    tmp_path: Path, extra: str, line: int, key: str, expected: str
) -> None:
    path = written(tmp_path, GOOD + extra)
    with pytest.raises(ArenaError) as error:
        load_arena(path)
    (message,) = str(error.value).splitlines()
    assert message.startswith(f"{path}:{line}: {key}: ")
    assert expected in message


@pytest.mark.parametrize(
    ("roster", "key", "expected"),
    [
        (["{name: a, model: x}", "{name: b, model: x}"], "competitors", "at least 3 items"),
        (["{name: a, model: x}"] * 3, "competitors[1]", "'a' occurs twice"),
        (["{name: a, model: x}", "{name: b__c, model: x}", "{name: c, model: x}"], "competitors[1].name", "single '_'"),
        (["{name: a, model: x}", "{name: b}", "{name: c, model: x}"], "competitors[1].model", "found none"),
    ],
)
def test_an_invalid_roster_is_refused(tmp_path: Path, roster: list[str], key: str, expected: str) -> None:
    path = written(tmp_path, "name: mine\ncompetitors:\n" + "".join(f"  - {c}\n" for c in roster))
    with pytest.raises(ArenaError) as error:
        load_arena(path)
    (message,) = str(error.value).splitlines()
    assert f": {key}: " in message
    assert expected in message


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArenaError) as error:
        load_arena(written(tmp_path, GOOD + "ratings: {alpha: 2, k: -1}\nexport: {formats: [ppo]}\n"))
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(("folder", "path"), [("arenas", "./org/c"), (".", "../org/c")])
def test_a_folder_that_reads_as_a_hub_id_is_an_error_that_says_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, path: str
) -> None:
    (tmp_path / "arenas").mkdir()
    monkeypatch.chdir(tmp_path)
    arena = written(tmp_path / "arenas", GOOD)
    (tmp_path / folder / "org/c").mkdir(parents=True)
    load_arena(arena)  # a folder without a model, such as that of an organisation, is none
    (tmp_path / folder / "org/c/config.json").write_text("{}")
    with pytest.raises(ArenaError) as error:
        load_arena(arena)
    assert str(error.value).startswith(f"{arena}:5: competitors[2].model: expected a hub id, or a path")
    assert str(error.value).endswith(f"write {path}")
    arena.write_text(GOOD.replace("org/c", path))
    assert load_arena(arena).competitor("c").model == str(tmp_path / folder / "org/c")


@pytest.mark.parametrize("text", ["", "- 1\n", "name: [\n"])
def test_a_file_that_is_no_arena_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ArenaError, match=r"mine\.yaml:\d: arena: expected"):
        load_arena(written(tmp_path, text))
    with pytest.raises(ArenaError, match="there is no such file"):
        load_arena(tmp_path / "absent.yaml")


@pytest.mark.parametrize("path", sorted(ARENAS.glob("*.yaml")), ids=lambda p: p.stem)
def test_each_arena_that_ships_is_valid(path: Path) -> None:
    arena = load_arena(path)
    assert arena.name == path.stem.removesuffix("_newcomer")
    assert Arena.model_validate(arena.model_dump()) == arena


def test_the_schema_for_editors_is_up_to_date() -> None:
    schema = Arena.model_json_schema()
    assert json.loads((ARENAS / "arena.schema.json").read_text()) == schema
    old_spelling = schema["$defs"]["Competitor"]["properties"]["licence"]
    assert old_spelling["deprecated"]


def test_appending_a_competitor_changes_no_judges_of_the_others(tmp_path: Path) -> None:
    values = yaml.safe_load(GOOD) | {"difficulty": {"panel": 2}, "battles": {"judges": 1}}
    before = Arena.model_validate(values)
    values["competitors"].append({"name": "d", "model": "org/d"})
    after = Arena.model_validate(values)
    for name in before.roster:
        assert after.panel(name) == before.panel(name)
        assert name not in after.panel(name)
    assert after.judges("a", "b") == before.judges("a", "b") == ["c"]
