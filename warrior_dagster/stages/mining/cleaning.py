"""Clean a raw mined completion: an instruction, or the reason why it is unusable.

A model that completes a user's turn (METHOD section 2) may also answer itself, write a transcript, loop, or never stop. Labels,
quotes and leaked answers are removed, other faults get a status. In doubt a text is kept, since curation follows.
"""

import re
import unicodedata
import zlib
from collections import Counter
from typing import Literal

Status = Literal["ok", "empty", "unfinished", "too_short", "too_long", "garbled", "answer", "repetitive"]

# Start of an assistant's turn. Labels must be at the start of a line and capitalised as in transcripts, because code may
# contain `assistant: Assistant` or `ai: int`. "Answer:" must be alone on its line, because questions say "Answer: yes or no".
# A role right after the end of a sentence is the rest of a turn's opening, whose tokens the server left out of the text; `user`
# not after a full stop, because requests end with `request.user`, and no role after `-`, `/` or `@` (`end-user`, `/home/user`).
_ANSWER_TURN = re.compile(
    r"""^\#{1,6}[ ]*(?:Response|Assistant|Answer)\b
      | ^\**(?:(?:AI[ ])?Assistant|ASSISTANT|AI|ChatGPT)\**[ ]?:
      | ^(?:\**(?:Best[ ])?(?:[Aa]nswer|ANSWER)\**:\**|assistant)[ ]*$
      | (?<=[.?!`)\]}…。？！])assistant[ ]*$ | (?<=[?!…。？！])user[ ]*$
      | <\|(?:im_start\|>|start_header_id\|>)?assistant | <start_of_turn>model | \[/INST\]""",
    re.MULTILINE | re.VERBOSE,
)
_USER_LABEL = re.compile(
    r"""(?:(?:\#{1,6}[ ]*)?\**(?:User|USER|Human|Instruction|Question|Prompt|Q)\**[ ]?:\**\s*
        | \#{1,6}[ ]*(?:User|Human|Instruction|Question)[ ]*(?:\n\s*|$)
        | user[ ]*\n\s*
        | (?:<\|im_start\|>|<start_of_turn>)user\s* | <\|user\|>\s* | \[INST\]\s*)+""",
    re.VERBOSE,
)
_QUOTES = {'"': '"', "'": "'", "\N{LEFT DOUBLE QUOTATION MARK}": "\N{RIGHT DOUBLE QUOTATION MARK}"}

_ANSWER_OPENING = re.compile(
    r"""(?:certainly|absolutely|of\ course|sure(?:\ thing)?)
        (?:\s*!|[,.:]?\s+(?:here|i\ can|i'll|i\ will|i'd|let\ me|let's|below|please\ (?:provide|give|tell|share|specify))\b)
      | as\ an\ ai\b
      | i(?:'m|\ am)\ (?:sorry|happy\ to\ help)\b | i(?:'d|\ would)\ be\ (?:happy|glad)\ to\b""",
    re.VERBOSE | re.IGNORECASE,
)
# "Here is the code" also opens questions ("Here is the code that I have. Why does it fail?"). An answer has no question mark
# and none of these words.
_HERE_IS = re.compile(r"here(?:'s|\u2019s| is| are)(?: an?| the| some| one)\b", re.IGNORECASE)
# An assistant without a task asks for one, or apologizes. "Please give me a task queue", "What is the task of a linker?" and "I
# apologize if this is simple" are requests.
_ASKS_FOR_A_TASK = re.compile(
    r"""(?:(?:can|could)\ you\ )?please\ (?:provide|give|tell|share|specify)\ (?:me\ )?(?:with\ )?
        (?:the|a|an|your)\ (?:task|request)
        (?:\s*[.,!?]|\s*$|\ (?:and\ (?:the|your)|you|that\ you\ (?:want|would|need)|for\ a\ given)\b)
      | what(?:'s|\u2019s|\ is)\ (?:the|your)\ (?:task|request|question)(?:\s*\?|\ that\ you\b)
      | what\ (?:would\ you\ like|do\ you\ want)\ (?:me\ )?to\ \w+\s*\?$
      | i\ apologi[sz]e,?\ (?:but\ )?(?:i\ (?:do\ not|don't|cannot|can't)|for\ (?:any|the)\ confusion)\b""",
    re.VERBOSE | re.IGNORECASE,
)
_USER_WORDS = re.compile(r"\?|\b(?:I|my|me|please|help)\b", re.IGNORECASE)

# 2,000 bytes of real code compress to 0.12 - 0.5 of their size, a loop of one line or sentence to 0.02 - 0.08.
_PIECE_BYTES = 2000
_LOOP_RATIO = 0.1
_LOOP_TIMES = 4


def clean(text: str, *, finished: bool, min_chars: int, max_chars: int) -> tuple[str, Status]:
    """Return the cleaned text, stripped, and its status. The text is a usable instruction only if the status is "ok".

    `finished`: the model ended its turn. A completion also counts as finished if a leaked answer was cut off its end.
    `min_chars`: in Latin letters (see `_letters`).
    "garbled": few letters or many invalid characters; "answer": it opens like an assistant's turn, or asks for a task;
    "repetitive": a loop.
    Cleaning an "ok" instruction again changes nothing.
    """
    instruction, cut = _instruction(text)
    finished |= cut
    # Cheap checks come first, so that only texts of a normal length are searched for loops.
    if _letters(instruction) < max(min_chars, 1) and (finished or not instruction):
        return instruction, "too_short" if instruction else "empty"
    if not finished:
        return instruction, "unfinished"
    if len(instruction) > max_chars:
        return instruction, "too_long"
    if _is_garbled(instruction):
        return instruction, "garbled"
    if _opens_like_an_assistant(instruction):
        return instruction, "answer"
    return instruction, "repetitive" if _is_repetitive(instruction) else "ok"


def _instruction(text: str) -> tuple[str, bool]:
    """The text without role labels, surrounding quotes and a leaked answer, and whether an answer was cut off."""
    # Lone surrogates are not valid text: Arrow and servers reject them.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = re.sub(r"\r\n?", "\n", text).strip()
    cut = False
    while True:  # repeated because quotes and labels can be nested; every round shortens the text
        before = text
        if answer := _ANSWER_TURN.search(text):
            text, cut = text[: answer.start()].rstrip(), True
        if label := _USER_LABEL.match(text):
            text = text[label.end() :]
        if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and not {text[0], text[-1]} & set(text[1:-1]):
            text = text[1:-1].strip()
        if text == before:
            return text, cut


def _opens_like_an_assistant(text: str) -> bool:
    """An answer, or a request for a task."""
    if _ANSWER_OPENING.match(text) or _ASKS_FOR_A_TASK.match(text):
        return True
    return bool(_HERE_IS.match(text)) and not _USER_WORDS.search(text)


def _letters(text: str) -> int:
    """The length of a text, in which a letter that writes a syllable or a word (Han, kana, Hangul) counts as three.

    Requests in Chinese have about a third of the characters of the same requests in English. Unicode calls these letters wide.
    """
    return len(text) + 2 * sum(unicodedata.east_asian_width(letter) == "W" and letter.isalpha() for letter in text)


def _is_garbled(text: str) -> bool:
    """Letters are under a fifth of the visible characters, or U+FFFD and control codes are over a fiftieth of all."""
    letters = sum(character.isalpha() for character in text)
    visible = sum(not character.isspace() for character in text)
    broken = sum(
        character == "\N{REPLACEMENT CHARACTER}"
        or (unicodedata.category(character) in {"Cc", "Cn", "Co", "Cs"} and not character.isspace())
        for character in text
    )
    return letters * 5 < visible or broken * 50 > len(text)


def _is_repetitive(text: str) -> bool:
    """A loop: the text compresses far better than real text, or lines or sentences that repeat often are half of it.

    Compression finds loops that vary a little, in pieces of equal size because longer texts compress better. Counting finds
    short loops, which compress no better than code does.
    """
    data = text.encode()
    pieces = [data[start : start + _PIECE_BYTES] for start in range(0, len(data), _PIECE_BYTES)]
    if sum(len(zlib.compress(piece, 9)) for piece in pieces) < _LOOP_RATIO * len(data):
        return True
    units = [unit.strip() for unit in re.split(r"\n|(?<=[.!?])\s", text)]
    counts = Counter(unit for unit in units if re.search(r"[^\W\d_]", unit))
    return 2 * sum(times * len(unit) for unit, times in counts.items() if times >= _LOOP_TIMES) >= len(text)
