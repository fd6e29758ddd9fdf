"""Scripts that write no spaces between words. A text in one of them is no single word, whatever compares texts by words.

Nothing is segmented with a dictionary, so that a word never depends on one: characters and pairs of neighbours are compared.
"""

import re

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""The characters of Chinese words, as the inside of a class `[...]` of any engine of regular expressions."""
KANA = "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
THAI_LAO_MYANMAR_KHMER = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecf\u0edc-\u0edf\u1000-\u103f\u1050-\u109d\u1780-\u17d3"
SPACELESS = HAN + KANA + THAI_LAO_MYANMAR_KHMER

_RUNS = re.compile(f"([{SPACELESS}]+)|[^{SPACELESS}]+")


def pieces(word: str) -> list[str]:
    """What a word between spaces consists of: pairs of neighbours in a run of SPACELESS characters, and all other runs.

    Pairs, because a Thai or Japanese text has nearly every letter, so that single ones would make all texts similar
    (docs/deduplication.md). A run of one character is itself. A word without such characters is its only piece.
    """
    found = list[str]()
    for run in _RUNS.finditer(word):
        text = run[0]
        found += [text[i : i + 2] for i in range(len(text) - 1)] if run[1] and len(text) > 1 else [text]
    return found or [word]
