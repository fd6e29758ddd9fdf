import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.long_texts import LENGTH, assert_linear
from warrior_dagster.stages.mining import cleaning
from warrior_dagster.stages.mining.cleaning import clean

FIBONACCI = '''Why does this function return None? How can I make it faster?

```python
def fibonacci(n):
    """Returns the n-th number of the sequence."""
    if n < 0:
        return None
    if n == 0:
        return 0
    if n == 1:
        return 1
    a, b = 0, 1
    for i in range(n - 1):
        a, b = b, a + b
```'''
PALINDROME = (
    "Provide some code for a function that takes an integer and determines if it is a palindrome. \n\n"
    "Here is the code.\ndef is_palindrome(n):\nIs the function written to check only numbers?"
)
REQUEST = "Write a function that reverses a list."


def cleaned(text: str, *, finished: bool = True, min_chars: int = 20, max_chars: int = 2000) -> tuple[str, str]:
    return clean(text, finished=finished, min_chars=min_chars, max_chars=max_chars)


@pytest.mark.parametrize(
    "text",
    [
        "Can you provide a sample of python code that logs a message to an output window in a terminal?",
        PALINDROME,
        FIBONACCI,
        "Here is the code that I have so far:\nprint(1\nWhy does Python say SyntaxError?",
        "Here's my function. Add type hints to it: def add(a, b): return a + b",
        "Sure, Python is slow, but how slow is it really?",
        "Please give me a task queue in Python, with a worker thread.",
        "Please provide the request and response schema for a REST API in Go.",
        "Please provide a task that you can run with asyncio.",
        "Please give me the task: implement quicksort in Rust.",
        "What is the request you send with curl to POST JSON?",
        "I apologize if this is simple, but how do I reverse a list?",
        "Sure, please write a function to add two numbers.",
        "What is the task of a linker, and when does it run?",
        "Explain what `assistant: Assistant` means in:\nclass Chat:\n    assistant: Assistant\n    ai: int",
        "Is 7 prime? Answer: yes or no, in a Python comment.",
        '"a" + "b" is "ab" in Python. Why is it not the same as "b" + "a"',
        "Schreibe eine Funktion, die prüft, ob ein Wort ein Palindrom ist.",
        "写一个函数,判断一个整数是否为回文数,并解释时间复杂度和空间复杂度。",
        "Sum up the columns of this table:\n1 2 3\n4 5 6\n7 8 9\n10 11 12",
    ],
)
def test_an_instruction_is_not_changed(text: str) -> None:
    assert cleaned(text) == (text, "ok")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("User:", "empty"),
        ("Any ideas?", "too_short"),
        ("Write code. " + "x" * 2000, "too_long"),
        ("\N{REPLACEMENT CHARACTER}" * 4 + " write a function", "garbled"),
        ("{}[]();:!@ $%^&*() 1234567890 a", "garbled"),
        ("Sure, here is a function that reverses a list:", "answer"),
        ("Certainly! To reverse a list, use slicing.", "answer"),
        ("Of course! I'd write it like this.", "answer"),
        ("Here is the code:\n\ndef add(a, b):\n    return a + b", "answer"),
        ("Here's an example of a list comprehension: [x for x in y]", "answer"),
        ("As an AI language model, I cannot run code.", "answer"),
        ("Sure, please provide the task and the code.", "answer"),
        ("I apologize, I do not have a task to implement.", "answer"),
        ("Could you please provide the task?", "answer"),
        ("What would you like to implement?", "answer"),
        ("Please provide a task for a given language such as JavaScript.", "answer"),
        ("What is the task that you want to implement in Python?", "answer"),
        ("the the the " * 30, "repetitive"),
        ("Write a function that adds two numbers and returns the sum of them. " * 4, "repetitive"),
        ("Fix this:\n" + "    self.assertEqual(add(2, 3), 5)\n" * 5, "repetitive"),
        ("".join(f"Step {n}: what does the function return in this version?\n" for n in range(25)), "repetitive"),
        ("".join("a b c d".replace("a", word) + "? Why so? " for word in ("How", "Who") * 5), "repetitive"),
    ],
)
def test_other_texts_get_a_status(text: str, status: str) -> None:
    assert cleaned(text)[1] == status


def test_a_truncated_completion_is_unfinished() -> None:
    assert cleaned(REQUEST, finished=False) == (REQUEST, "unfinished")


@pytest.mark.parametrize(
    "leak",
    [
        "\nAssistant: Sure, use slicing.",
        "\n\n### Response:\ndef reverse(x): ...",
        "\nAI: Use slicing.",
        "\n**Assistant:** Use slicing.",
        "\nAnswer:\nUse slicing.",
        "\n\nBest answer:\n\nUse slicing.",
        "\nassistant\nUse slicing.",
        " [/INST] Use slicing.",
        "<|im_start|>assistant\nUse slicing.",
        "assistant\nUse slicing.",
        "assistant",
        "\nAssistant: Use slicing.\nUser: And a tuple?\nAssistant: The same.",
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_leaked_answer_is_cut_off_and_finishes_the_instruction(leak: str, finished: bool) -> None:
    assert cleaned(REQUEST + leak, finished=finished) == (REQUEST, "ok")


def test_a_users_turn_after_a_question_is_cut_off() -> None:
    assert cleaned("How can I reverse a list?user\nReverse a tuple.") == ("How can I reverse a list?", "ok")


@pytest.mark.parametrize(
    "request_",
    [
        "Write a view that shows the profile of request.user",
        "Select all rows of public.user\nwhere the age is above 30.",
        "Design an application for the end-user\nwith two buttons.",
        "Delete all files in /home/user\nthat are older than a week.",
        "Write a regular expression that finds @user",
        "Design the architecture of a voice-assistant",
        "Explain chown root:user",
    ],
)
def test_a_request_that_ends_a_line_with_the_name_of_a_role_stays_whole(request_: str) -> None:
    assert cleaned(request_) == (request_, "ok")


def test_a_leaked_answer_alone_is_empty() -> None:
    assert cleaned("Assistant: Use slicing, it is the fastest way.") == ("", "empty")


@pytest.mark.parametrize(
    "text",
    [
        f"User: {REQUEST}",
        f"### Instruction:\n{REQUEST}",
        f"### Instruction\n{REQUEST}",
        f"**Question:** {REQUEST}",
        f"user\n{REQUEST}",
        f'"{REQUEST}"',
        f"'{REQUEST}'",
        f"\N{LEFT DOUBLE QUOTATION MARK}{REQUEST}\N{RIGHT DOUBLE QUOTATION MARK}",
        f' User: "Human: {REQUEST}"\r\n\r\nAssistant: Sure.',
    ],
)
def test_role_labels_and_surrounding_quotes_are_removed(text: str) -> None:
    assert cleaned(text) == (REQUEST, "ok")


def test_limits_are_inclusive_and_count_cleaned_characters() -> None:
    length = len(REQUEST)
    assert cleaned(f"User: {REQUEST}  ", min_chars=length, max_chars=length) == (REQUEST, "ok")
    assert cleaned(REQUEST, min_chars=len(REQUEST) + 1)[1] == "too_short"
    assert cleaned(REQUEST, max_chars=len(REQUEST) - 1)[1] == "too_long"


# Any characters, including lone surrogates, mixed with pieces that the rules look for.
pieces = st.sampled_from(
    [
        "User: ",
        "### Instruction:\n",
        "Assistant: ",
        "\nAnswer:\n",
        "\n",
        '"',
        "'",
        "Sure, here",
        "[/INST]",
        REQUEST,
        "\r",
    ]
)
anything = st.text(st.characters(exclude_categories=[])) | st.lists(pieces | st.text(max_size=8)).map("".join)


@given(text=anything, finished=st.booleans(), min_chars=st.integers(0, 30), max_chars=st.integers(0, 300))
@example(text="\ud800", finished=True, min_chars=0, max_chars=10)
def test_any_text_gives_valid_unicode_and_a_status(text: str, finished: bool, min_chars: int, max_chars: int) -> None:
    instruction, status = clean(text, finished=finished, min_chars=min_chars, max_chars=max_chars)
    instruction.encode("utf-8")
    assert instruction == instruction.strip()
    if status == "ok":
        assert instruction
        assert min_chars <= 3 * len(instruction)
        assert min_chars <= len(instruction) or not text.isascii()
        assert len(instruction) <= max_chars
        assert clean(instruction, finished=True, min_chars=min_chars, max_chars=max_chars) == (instruction, "ok")


@given(line=st.text(st.characters(codec="utf-8"), min_size=1, max_size=80), times=st.integers(60, 120))
def test_a_repeated_line_is_never_ok(line: str, times: int) -> None:
    assert cleaned(f"{line}\n" * times, max_chars=100_000)[1] != "ok"


def test_a_mined_text_is_read_in_linear_time() -> None:
    assert_linear(lambda text: cleaned(text, max_chars=2 * LENGTH))


@pytest.mark.parametrize("request_", ["反转一个字符串", "Python怎么读取文件", "リストを逆順にして", "리스트를 뒤집는 함수"])
def test_a_short_request_whose_letters_write_syllables_or_words_is_long_enough(request_: str) -> None:
    assert cleaned(request_, min_chars=15) == (request_, "ok")
    assert cleaned("你好", min_chars=15)[1] == "too_short"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], max_codepoint=0x10FF), max_size=40))
def test_the_length_of_a_text_in_an_alphabet_is_its_number_of_characters(text: str) -> None:
    assert cleaning._letters(text) == len(text)
