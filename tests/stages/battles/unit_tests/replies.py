"""Replies to "write a Python function count_vowels(text)", as chat models write them, with a right and with a wrong program."""

TESTS = (
    'assert count_vowels("Hello") == 2\nassert count_vowels("") == 0\nassert count_vowels("AEIOU") == 5\n'
    'assert count_vowels("rhythm") == 0'
)
ONE = 'def count_vowels(text):\n    return sum(c in "aeiou" for c in text.lower())\n'
LOOP = '''def count_vowels(text: str) -> int:
    """Count the vowels of a text.

    >>> count_vowels("banana")
    3
    """
    total = 0
    for character in text:
        if character.lower() in "aeiou":
            total += 1
    return total
'''
WRONG = 'def count_vowels(text):\n    return sum(c in "aeiou" for c in text)\n'


def fenced(code: str, info: str = "python", fence: str = "```") -> str:
    return f"{fence}{info}\n{code}{fence}\n"


def indented(text: str, by: str) -> str:
    return "".join(by + line for line in text.splitlines(keepends=True))


FENCES = {
    "a plain answer": f"Sure! Here is the function:\n\n{fenced(ONE)}\nIt lowers the text first.",
    "capital label": fenced(ONE, "Python"),
    "py": fenced(ONE, "py"),
    "a version in the label": fenced(ONE, "python3.11"),
    "a title in the info string": fenced(ONE, 'python title="vowels.py" linenums="1"'),
    "a file's name as label": fenced(ONE, "vowels.py"),
    "pandoc's attributes": fenced(ONE, "{.python .numberLines}"),
    "a notebook's chunk": fenced(ONE, "{python}"),
    "ipython": fenced("%load_ext autoreload\n!pip install regex\n" + ONE, "ipython"),
    "a space before the label": fenced(ONE, " python "),
    "no label": fenced(ONE, ""),
    "tildes": fenced(ONE, "python", "~~~"),
    "four backticks around three": fenced(
        ONE.replace("    return", '    """Such as:\n```\ncount_vowels("a")\n```\n    """\n    return'), "python", "````"
    ),
    "a fence in a docstring": fenced(
        ONE.replace("    return", '    """Example:\n\n    ```\n    count_vowels("Hello")  # 2\n    ```\n    """\n    return')
    ),
    "a longer closing fence": f"```python\n{ONE}``````\nDone.",
    "an unclosed fence": f"Here it is:\n```python\n{ONE}",
    "line ends of Windows": fenced(LOOP).replace("\n", "\r\n"),
    "in a list": "1. Lower the text.\n2. Count:\n\n" + indented(fenced(LOOP), "   ") + "\n3. Done.",
    "too far in for its list": "- Lower the text, then count:\n\n" + indented(fenced(LOOP), "        "),
    "too little in for its list": f"1. Count:\n   ```python\n{LOOP}   ```\n2. Done.",
    "in a quote": "> The usual solution:\n>\n" + indented(fenced(LOOP), "> "),
    "in an HTML element": f"<details>\n<summary>Solution</summary>\n{fenced(LOOP)}</details>",
    "no fence": ONE,
    "no fence, between prose": f"Here's the function you asked for:\n\n{LOOP}\nThis works because strings can be iterated.",
    "no fence, with a decorator": f"You can cache it:\n\nfrom functools import cache\n\n@cache\n{ONE}\nEnjoy!",
    "an interactive session": fenced(
        '>>> def count_vowels(text):\n...     return sum(c in "aeiou" for c in text.lower())\n...\n'
        '>>> count_vowels("abc")\n1\n',
        "pycon",
    ),
}
DEMONSTRATIONS = {
    "prints": fenced(ONE + '\nprint(count_vowels("Hello"))  # 2\n'),
    "input": fenced(ONE + '\ntext = input("Text: ")\nprint(f"{count_vowels(text)} vowels")\n'),
    "a file": fenced(ONE + '\nwith open("book.txt") as file:\n    print(count_vowels(file.read()))\n'),
    "a file into a variable": fenced(ONE + '\nbook = open("book.txt").read()\nprint(count_vowels(book))\n'),
    "a main guard": fenced(ONE + '\nif __name__ == "__main__":\n    print(count_vowels(input()))\n'),
    "a main function that is called": fenced(ONE + "\ndef main():\n    print(count_vowels(input()))\n\nmain()\n"),
    "argparse": fenced(
        "import argparse\n\n" + ONE + '\nparser = argparse.ArgumentParser()\nparser.add_argument("text")\n'
        "args = parser.parse_args()\nprint(count_vowels(args.text))\n"
    ),
    "arguments of the command line": fenced("import sys\n\n" + ONE + "\nprint(count_vowels(sys.argv[7]))\nsys.exit(0)\n"),
    "an exit": fenced(ONE + "\nimport sys\nsys.exit(0 if count_vowels('a') == 1 else 1)\n"),
    "a wrong assert": fenced(ONE + '\nassert count_vowels("banana") == 4\n'),
    "an error that is demonstrated": fenced(ONE + "\ncount_vowels(None)  # AttributeError\n"),
    "an endless loop": fenced(ONE + '\nwhile True:\n    line = "quit?"\n    count_vowels(line)\n'),
    "unittest.main": fenced(
        "import unittest\n\n" + ONE + "\nclass TestCountVowels(unittest.TestCase):\n    def test_hello(self):\n"
        '        self.assertEqual(count_vowels("Hello"), 2)\n\nunittest.main()\n'
    ),
    "unittest that imports the solution": fenced(ONE)
    + "Save it as `vowels.py`, and test it:\n"
    + fenced(
        "import unittest\nfrom vowels import count_vowels\n\nclass CountVowels(unittest.TestCase):\n"
        "    def test_empty(self):\n        self.assertEqual(count_vowels(''), 0)\n\nif __name__ == '__main__':\n"
        "    unittest.main()\n"
    ),
    "pytest": fenced(ONE)
    + fenced(
        "import pytest\n\n@pytest.mark.parametrize('text, n', [('a', 1), ('b', 0)])\ndef test_count_vowels(text, n):\n"
        "    assert count_vowels(text) == n\n"
    ),
    "doctest": fenced(LOOP + "\nimport doctest\ndoctest.testmod(raise_on_error=True)\n"),
    "a block of output without a label": fenced(ONE + 'print(count_vowels("Hello"))\n') + "Output:\n" + fenced("2\n", ""),
    "output that parses": fenced(ONE) + "This prints:\n" + fenced("Hello\nTrue\n", ""),
    "output that is prose": fenced(ONE) + "This prints:\n" + fenced("There are 2 vowels.\n", ""),
    "a shell block": fenced("pip install regex\npython vowels.py\n", "bash") + fenced(ONE),
    "a shell block without a label": fenced("pip install regex\n", "") + fenced(ONE),
    "a session that shows it": fenced(ONE) + fenced('>>> count_vowels("Hello")\n2\n>>> count_vowels(3)\nTraceback\n', ""),
    "await at the top level": fenced(ONE)
    + "In a notebook:\n"
    + fenced("import asyncio\n\nasync def main():\n    print(count_vowels('a'))\n\nawait main()\n"),
    "asyncio": fenced(
        "import asyncio\n\n" + ONE + "\nasync def demo():\n    raise RuntimeError(count_vowels('a'))\n\nasyncio.run(demo())\n"
    ),
    "plots": fenced(
        "import matplotlib.pyplot as plt\n\n"
        + ONE
        + "\nwords = ['one', 'two']\nplt.bar(words, [count_vowels(w) for w in words])\n"
        "plt.show()\n"
    ),
    "a server": fenced("from flask import Flask\n\n" + ONE + "\napp = Flask(__name__)\napp.run()\n"),
    "a benchmark": fenced(
        "import timeit\n\n" + ONE + "\nlong = count_vowels('abc' * 10**9)\nprint(timeit.timeit(lambda: count_vowels(long)))\n"
    ),
    "a block of JavaScript": fenced(ONE) + "In JavaScript:\n" + fenced("const f = (t) => t.match(/[aeiou]/gi).length;\n", "js"),
}
PROGRAMS = {
    "a constant": fenced('VOWELS = set("aeiouAEIOU")\n\ndef count_vowels(text):\n    return sum(c in VOWELS for c in text)\n'),
    "a constant and an input": fenced(
        'VOWELS = frozenset("aeiouAEIOU")\n\ndef count_vowels(text):\n    return sum(c in VOWELS for c in text)\n\n'
        "n = int(input())\nfor _ in range(n):\n    print(count_vowels(input()))\n"
    ),
    "a helper and another name": fenced(
        "def _is_vowel(c):\n    return c in 'aeiou'\n\ndef vowel_count(text):\n    return sum(map(_is_vowel, text.lower()))\n\n"
        "def main():\n    print(vowel_count(input()))\n\nif __name__ == '__main__':\n    main()\n"
    ),
    "a class behind it": fenced(
        "class Counter:\n    def __init__(self, kinds):\n        self.kinds = kinds\n\n    def count(self, text):\n"
        "        return sum(c in self.kinds for c in text.lower())\n\ncounter = Counter('aeiou')\n\n"
        "def count_vowels(text):\n    return counter.count(text)\n\nprint(count_vowels(input()))\n"
    ),
    "a dataclass with hints": fenced(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass Result:\n    n: int\n\n"
        "def result(text: str) -> Result:\n    return Result(sum(c in 'aeiou' for c in text.lower()))\n\n"
        "def count_vowels(text: str | None) -> int:\n    return result(text or '').n\n\nprint(result(open('x').read()))\n"
    ),
    "a lambda": fenced("count_vowels = lambda text: sum(c in 'aeiou' for c in text.lower())\nprint(count_vowels(input()))\n"),
    "a partial": fenced(
        "from functools import partial\n\ndef count(kinds, text):\n    return sum(c in kinds for c in text.lower())\n\n"
        "count_vowels = partial(count, 'aeiou')\nprint(count_vowels(input()))\n"
    ),
    "several steps": "First the vowels:\n" + fenced("VOWELS = 'aeiou'\n") + "then the function:\n"
    + fenced("def count_vowels(text):\n    return sum(c in VOWELS for c in text.lower())\n"),
    "an improvement": "A first draft:\n" + fenced(WRONG) + "It misses capitals. The improved version:\n" + fenced(ONE),
    "an alternative": fenced(ONE) + "Or with a regular expression:\n"
    + fenced("import re\n\ndef count_vowels(text):\n    return len(re.findall('[aeiou]', text, re.I))\n"),
    "a later future import": fenced(WRONG) + "With hints:\n" + fenced("from __future__ import annotations\n" + LOOP),
    "an excerpt that is explained": fenced(LOOP) + "The line\n" + fenced("return total\n") + "gives the number.",
    "the signature again": fenced(LOOP) + "Its signature is\n" + fenced("def count_vowels(text: str) -> int: ...\n"),
    "a skeleton first": fenced("def count_vowels(text):\n    pass\n") + "Filled in:\n" + fenced(LOOP),
    "an optional module": fenced(
        "try:\n    import regex as re\nexcept ImportError:\n    import re\n\ndef count_vowels(text):\n"
        "    return len(re.findall('[aeiou]', text, re.I))\n\nprint(count_vowels(input()))\n"
    ),
}  # fmt: skip
RIGHT = FENCES | DEMONSTRATIONS | PROGRAMS

WRONG_REPLIES = {
    "wrong": fenced(WRONG),
    "wrong, with input": fenced(WRONG + "\nprint(count_vowels(input()))\n"),
    "wrong, with tests that hold": fenced(WRONG + "\nassert count_vowels('Hello') == 2\nprint('All tests passed!')\n"),
    "wrong in the improvement": fenced(ONE) + "Improved:\n" + fenced(WRONG),
    "wrong in a fence with tildes": fenced(WRONG, "py", "~~~"),
    "wrong without a fence": f"Here you are:\n\n{WRONG}\nIt counts vowels.",
    "a stub": fenced("def count_vowels(text):\n    ...\n"),
    "a syntax error": fenced("def count_vowels(text)\n    return 0\n"),
    "a syntax error after it": fenced(ONE + "\nprint('Hello'\n"),
    "an import that was forgotten": fenced(
        "def count_vowels(text: List[str]) -> int:\n    return sum(c in 'aeiouAEIOU' for c in text)\n"
    ),
    "a constant that was forgotten": fenced("def count_vowels(text):\n    return sum(c in VOWELS for c in text)\n"),
    "a constant from the input": fenced(
        "VOWELS = input('Which vowels? ')\n\ndef count_vowels(text):\n    return sum(c in VOWELS for c in text)\n"
    ),
    "a function that prints": fenced(ONE.replace("return", "print(").rstrip() + ")\n"),
    "an endless loop": fenced("def count_vowels(text):\n    while True:\n        pass\n"),
    "another function": fenced("def reverse(text):\n    return text[::-1]\n"),
    "a class without the function": fenced("class Vowels:\n" + indented(ONE, "    ")),
    "an async function": fenced("async " + ONE),
    "only a session": fenced(">>> count_vowels('Hello')\n2\n", "pycon"),
    "only output": fenced("2\n", ""),
    "prose": "Use `sum(c in 'aeiou' for c in text.lower())`.",
    "JavaScript": fenced("function count_vowels(t) { return t.match(/[aeiou]/gi).length; }\n", "js"),
    "an exit in it": fenced("import sys\n\ndef count_vowels(text):\n    sys.exit(0)\n"),
    "everything equals it": fenced(
        "class Any:\n    def __eq__(self, o):\n        return True\n\ndef count_vowels(text):\n    return Any()\n\ninput()\n"
    ),
    "a module that does not exist here": fenced("import numpy as np\n\n" + ONE.replace("sum(", "np.sum(")),
    "a module that does not exist here, in the function": fenced(ONE.replace("    return", "    import numpy\n    return")),
}
