"""Overlap with a benchmark equals a plain search for shared words, and no data set has a row that overlaps."""

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages.export.examples import ROWS, arena
from warrior_dagster.config.reference_sets import tasks_of
from warrior_dagster.config.stages import Export
from warrior_dagster.stages.export.contamination import SCHEMA, benchmark_overlap, overlaps, remove_overlapping
from warrior_dagster.stages.export.dpo import own_sample_rows

(HUMANEVAL,) = Export().benchmarks
WORDS = st.sampled_from(["a", "B", "c_1", "7", "42", "x"])
TEXTS = st.lists(st.lists(st.tuples(WORDS, st.sampled_from([" ", ", ", "\n(", "))->"])), max_size=12), max_size=6).map(
    lambda texts: ["".join(word + gap for word, gap in text) for text in texts]
)


def naive(texts: list[str], tasks: list[str], words: int) -> list[tuple[int, int, str, int]]:
    """All n-grams of all tasks, compared at all positions of all texts."""
    split = [re.findall(r"\w+", task.lower()) for task in tasks]
    grams = [
        (task, found[place : place + size])
        for task, found in enumerate(split)
        if (size := min(words, len(found))) >= 3
        for place in range(len(found) - size + 1)
        if not all(re.fullmatch(r"[\d_]+", word) for word in found[place : place + size])
    ]
    rows = []
    for text, found in enumerate(re.findall(r"\w+", text.lower()) for text in texts):
        hits: dict[tuple[int, int], tuple[int, str]] = {}
        for place in range(len(found)):
            for task, gram in grams:
                if found[place : place + len(gram)] == gram:
                    hits.setdefault((place, -len(gram)), (task, " ".join(gram)))
        if hits:
            rows.append((text, *hits[min(hits)], len(hits)))
    return rows


@given(TEXTS, TEXTS, st.integers(3, 5))
def test_overlaps_equal_a_plain_search(texts: list[str], tasks: list[str], words: int) -> None:
    assert overlaps(texts, tasks, words=words).rows() == naive(texts, tasks, words)


@given(st.integers(0, 163), st.lists(WORDS, max_size=5), st.lists(WORDS, max_size=5))
def test_a_task_is_found_inside_any_text(number: int, before: list[str], after: list[str]) -> None:
    tasks = list(tasks_of(HUMANEVAL).values())
    text = "\n".join([*before, tasks[number].upper().replace(" ", "  "), *after])
    ((row, task, _, _),) = overlaps([text], tasks, words=10).rows()
    assert (row, task <= number) == (0, True)  # an earlier task may begin with the same words


@pytest.mark.parametrize("edge", [4_999, 5_000])
def test_the_index_of_a_text_is_right_in_every_slice(edge: int) -> None:
    texts = ["nothing of the kind is said here"] * 10_000
    texts[edge] = "how far is it to the moon and back"
    assert overlaps(texts, ["it to the moon and back again"], words=5).rows() == [(edge, 0, "it to the moon and", 2)]


def test_fewer_than_three_words_and_numbers_alone_do_not_count() -> None:
    assert overlaps(["return x", "1, 2, 3, 4, 5, 6"], ["return x", "[1, 2, 3, 4, 5, 6]"], words=3).is_empty()
    assert overlaps(["is 1, 2, 3 odd"], ["1 2 3 odd"], words=10)["ngram"].to_list() == ["1 2 3 odd"]


def test_a_copy_in_a_script_without_spaces_is_found_and_a_usual_phrase_is_not() -> None:
    task = "给定一个正整数列表和一个目标值，找出列表中两个数，使它们的和等于目标值，并返回这两个数的下标。"
    copy = "请用Python解决：给定一个正整数列表和一个目标值,找出列表中两个数, 使它们的和等于目标值!"
    other = "给定一个正整数列表，返回其中所有偶数的平方和。"
    assert overlaps([other, copy], [task], words=10)["text"].to_list() == [1]
    thai = "เขียนฟังก์ชันที่รับรายการของจำนวนเต็มและคืนค่าผลรวมของกำลังสองของเลขคู่"
    found = overlaps(["ช่วย" + thai + "ด้วย", "เขียนฟังก์ชันที่รับสตริงและคืนค่าความยาว"], [thai], words=10)
    assert found["text"].to_list() == [0]


def test_two_han_characters_or_four_thai_letters_count_as_one_word() -> None:
    assert overlaps(["x 一二三四五六 y"], ["一二三四五六"], words=10).height == 1
    assert overlaps(["x 一二三四五 y"], ["一二三四五"], words=10).is_empty()  # shorter than MIN_WORDS
    thai = "กขฃคฅฆงจฉชซฌ"
    assert overlaps([thai], [thai], words=10).height == 1
    assert overlaps([thai[:-1]], [thai[:-1]], words=10).is_empty()
    assert overlaps(["一二三四五六七 z"], ["一二三四五六七八九"], words=3)["ngram"].to_list() == ["一 二 三 四 五 六"]


def records_with(instruction: str = "", answer: str = "") -> pl.DataFrame:
    """Four instructions with four answers each; a given text replaces the first instruction, or its gold answer."""
    first = pl.col("instruction_id") == "i00"
    return arena().with_columns(
        instruction=pl.when(first & bool(instruction)).then(pl.lit(instruction)).otherwise("instruction"),
        answer=pl.when(first & pl.col("gold") & bool(answer)).then(pl.lit(answer)).otherwise("answer"),
    )


@pytest.mark.parametrize("kind", ["sft", "dpo", "kto"])
@pytest.mark.parametrize(
    ("where", "lost"), [("instruction", {"sft": 1, "dpo": 1, "kto": 3}), ("answer", dict.fromkeys(ROWS, 1))]
)
def test_only_rows_that_overlap_a_benchmark_are_removed(kind: str, where: str, lost: dict[str, int]) -> None:
    tasks = tasks_of(HUMANEVAL)
    records = records_with(**{where: f"Please: {tasks['HumanEval/3']}"})
    found = benchmark_overlap(records, [("humaneval", tasks)], words=10)
    assert found.schema == SCHEMA
    (row,) = found.to_dicts()
    by = "" if where == "instruction" else "model-0"
    assert (row["instruction_id"], row["competitor"], row["benchmark"], row["task"]) == ("i00", by, "humaneval", "HumanEval/3")
    assert row["row_id"] == f"i00:{by}:humaneval"
    assert row["ngram"] in " ".join(re.findall(r"\w+", tasks["HumanEval/3"].lower()))
    made = ROWS[kind](records)
    kept = remove_overlapping(made, found)
    assert len(made) - len(kept) == lost[kind]
    assert kept.equals(made.filter((pl.col("instruction_id") != "i00") | (by != "" and column_of(kind) != by)))


def column_of(kind: str) -> pl.Expr:
    return pl.col("chosen_competitor" if kind == "dpo" else "competitor")


def test_a_gold_answer_is_removed_with_its_own_sample_that_overlaps_a_benchmark() -> None:
    tasks = tasks_of(HUMANEVAL)
    copied = pl.when((pl.col("instruction_id") == "i00") & (pl.col("rank") <= 2)).then(pl.lit(tasks["HumanEval/3"]))
    records = records_with(answer=tasks["HumanEval/3"]).with_columns(own_sample=copied.otherwise(pl.lit("other")))
    found = benchmark_overlap(records, [("humaneval", tasks)], words=10)
    assert found["row_id"].to_list() == ["i00:model-0:humaneval"]
    found = benchmark_overlap(arena().with_columns(own_sample=copied), [("humaneval", tasks)], words=10)
    assert found["row_id"].to_list() == ["i00:model-0:humaneval"]
    made = own_sample_rows(arena().with_columns(own_sample=copied.otherwise(pl.lit("other"))))
    assert set(made["instruction_id"]) - set(remove_overlapping(made, found)["instruction_id"]) == {"i00"}


def test_without_benchmarks_no_row_is_removed() -> None:
    records = arena()
    found = benchmark_overlap(records, [], words=10)
    assert found.schema == SCHEMA
    assert found.is_empty()
    assert remove_overlapping(ROWS["sft"](records), found).equals(ROWS["sft"](records))
