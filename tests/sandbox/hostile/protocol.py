"""Answers that speak the sandbox's own protocol: what they send is well-formed, or nearly, and no honest end would send it.

Each answers the call of `f` with its own messages, then everything that is asked with None.
"""

from tests.sandbox.hostile.kinds import Programs

SPEAK = """
import json, signal
def say(body, changes=(), dropped=()):
    data = json.dumps([body, [[*c, None][:4] if isinstance(c, (list, tuple)) else c for c in changes], list(dropped)]).encode() + b"\\n"
    while data: data = data[os.write(3, data):]
buffer = bytearray()
def hear():
    while b"\\n" not in buffer:
        more = os.read(3, 1 << 16)
        if not more: os._exit(0)
        buffer.extend(more)
    line, _, rest = bytes(buffer).partition(b"\\n")
    buffer[:] = rest
    return json.loads(line)
def serve(*messages):
    "Send messages, each after one was heard but the first; then answer everything with None."
    for number, message in enumerate(messages):
        if number: hear()
        say(*message)
    while True:
        hear()
        say(["value", None])
def gives(*values): serve(*((["value", value],) for value in values))
def raises(kind, text="", arguments=()): serve((["raised", [kind], "X", text, list(arguments)],))
MINE = ["mine", 7, False]
CALLED = ["mine", 8, True]
def like(plain, replaced=()): return ["derived", plain, MINE, list(replaced)]
def builtin(name): return ["builtins", name]
"""
ONE = ("assert f(1) == 2",)
NEAR = ("assert f(1) == 2", "assert abs(f(1) - 2) < 1", "assert f(1) in (2, 3)", "assert not f(1) != 2")
FAILS = (
    "try:\n    f(-1)\n    assert False, 'nothing was raised'\nexcept Error:\n    pass",
    "import contextlib\nwith contextlib.suppress(Error):\n    assert f(1) == 2",
    "def body():\n    assert f(1) == 2\ntry:\n    body()\nexcept (KeyError, Error):\n    pass",
)


def speaking(body: str, checks: tuple[str, ...] = ONE, before: str = "") -> tuple[str, tuple[str, ...]]:
    """A program whose `f` speaks."""
    return SPEAK + before + f"def f(*_, **__):\n    {body}\n    return 5\n", checks


VALUES = {
    "a subclass that replaces equality": "like(7, ['__eq__', '__ne__', '__sub__', '__lt__', '__hash__', '__abs__'])",
    "a subclass that replaces everything": "like(7, dir(int))",
    "a subclass with names that are none": "like(7, ['', '\\0', 'a b', '__class__', '__new__', '__del__', '__init__', '__getattribute__'])",
    "a subclass with names that are no texts": "like(7, [1, None, ['__eq__'], {}])",
    "a subclass with a hundred thousand names": "like(7, [f'n{n}' for n in range(100_000)])",
    "a subclass of an object": "like(CALLED, ['__eq__'])",
    "a subclass of a subclass": "like(like(like(7)))",
    "a subclass of a truth": "like(True)",
    "a subclass of a range": "like(['range', 0, 9, 1])",
    "a subclass of nothing": "like(None)",
    "a subclass of a class": "like(['named', 'builtins', 'type'])",
    "a subclass of an array": "like(['ndarray', '<i8', [1], ['tuple', [9]]])",
    "a subclass of a tuple with fields that are methods": "like(['tuple', [CALLED, CALLED]], ['count', '__eq__', '__class__', '_replace', '__sub__'])",
    "a subclass of a text that is a number": "like('2', ['real', 'imag'])",
    "a subclass that is of no object": "['derived', 7, 5, []]",
    "a subclass of an object of the check": "['derived', 7, ['yours', 0], []]",
    "a class that is everything's": "['named', 'builtins', 'object']",
    "a class of all exceptions": "['class', builtin('BaseException')]",
    "a class that is no exception": "['class', builtin('int')]",
    "a class of many bases": "['class', [3, 'x', 'X', [builtin(n) for n in ('OSError', 'SyntaxError', 'UnicodeError', 'KeyError')] * 50]]",
    "a class of itself": "['class', [3, 'x', 'X', [['yours', 0]]]]",
    "a class with a name that is none": "['class', [3, 'x', 'X\\0', [builtin('KeyError')]]]",
    "a class of a module that is none": "['class', [3, '', '', []]]",
    "a function of a module": "['class', [3, 'os', '_exit', [builtin('KeyError')]]]",
    "a class a thousand deep": "['class', __import__('functools').reduce(lambda base, n: [n, 'x', 'X', [base]], range(900), builtin('KeyError'))]",
    "a coroutine": "['mine', 8, 'coroutine']",
    "an object of another form": "['mine', 8, 'plain']",
    "an object with a huge number": "['mine', 10 ** 4000, 'object']",
    "an object with a negative number": "['mine', -1, 'function']",
    "an object of the check that is none": "['yours', 99]",
    "the last object of the check": "['yours', -1]",
    "a container that was never sent": "['shared', 99]",
    "a container with a number that is a truth": "['shared', True]",
    "a function of a module of Python": "['named', 'os', 'system']",
    "a name that is no class": "['named', 'builtins', 'eval']",
    "an array of a huge shape": "['ndarray', '<i8', [10 ** 9, 10 ** 9], ['tuple', [1]]]",
    "an array of an empty huge shape": "['ndarray', '<i8', [0, 10 ** 15], ['tuple', []]]",
    "an array of many dimensions": "['ndarray', '<i8', [1] * 5000, ['tuple', [1]]]",
    "an array of a type with parts": "['ndarray', '(100000,100000)i8', [1], ['tuple', [1]]]",
    "an array of objects": "['ndarray', '|O8', [1], ['tuple', [CALLED]]]",
    "an array of texts": "['ndarray', '<U999999999', [1], ['tuple', ['2']]]",
    "a moment that is none": "['datetime', '9999-99-99']",
    "a moment that is a text": "['datetime', '2' * 500_000]",
    "a time that is too long": "['timedelta', 10 ** 30, 0, 0]",
    "a date of another type": "['tzinfo', 'x']",
    "a decimal that signals": "['Decimal', 'sNaN123']",
    "a decimal of many digits": "['Decimal', 'NaN' + '9' * 1900]",
    "an int of spaces and signs": "['int', ' -0x_2 ']",
    "a JSON number of many digits": "int('9' * 4000)",
    "an infinite JSON number": "float('inf')",
    "a frozen set of the same hash": "['frozenset', [['int', f'{n * (2 ** 61 - 1):x}'] for n in range(1, 30_000)]]",
}  # fmt: skip
SENT: Programs = {f"sends {name}": speaking(f"gives({value}, {value}, {value})", NEAR) for name, value in VALUES.items()}

NAMED: Programs = {
    "means all exceptions by its own error": ("Error = Exception\ndef f(n): return 1", FAILS),
    "means failures by its own error": ("Error = AssertionError\ndef f(n): return 1", FAILS),
    "means everything by its own error": ("Error = (ValueError, BaseException)\ndef f(n): return 1", FAILS),
    "derives its error from failures": ("class Error(AssertionError): pass\ndef f(n): return 1", FAILS),
    "gives its error a metaclass": (
        "class Meta(type):\n    __instancecheck__ = __subclasscheck__ = lambda *_: True\nclass Error(Exception, metaclass=Meta): pass\ndef f(n): return 1", FAILS,
    ),
    "means all objects by its own class": (
        "Point = object\nclass Meta(type):\n    __instancecheck__ = lambda *_: True\nclass Other(metaclass=Meta): pass\ndef f(n): return 5",
        ("assert isinstance(f(1), Point)", "assert isinstance(f(1), Other)", "assert issubclass(type(f(1)), Point)"),
    ),
    "skips the tests": (
        "import unittest\ndef f(n): raise unittest.SkipTest('later')",
        ("import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 2)\n"
         "r = unittest.TestResult()\nunittest.defaultTestLoader.loadTestsFromTestCase(T).run(r)\nassert r.wasSuccessful()",),
    ),
    "swallows assertions of a generator": (
        "def f(items):\n    try:\n        for item in items: pass\n    except BaseException: pass\n    return 3",
        ("def items():\n    yield 1\n    assert f([]) == 2\nassert f(items()) == 3",),
    ),
    "swallows assertions of what it prints to": (
        "def f(n):\n    try: print('x')\n    except BaseException: pass\n    return 1",
        ("import sys\nclass Out:\n    def write(self, text):\n        assert text == 'y'\n    def flush(self): pass\nsys.stdout = Out()\nassert f(1) == 1",),
    ),
    "swallows assertions in its own context": (
        "class Open:\n    def __enter__(self): return self\n    def __exit__(self, *_): return True\ndef f(n): return 1",
        ("with Open():\n    assert f(1) == 2", "with Open():\n    raise ValueError\nassert False", "import contextlib\nwith contextlib.ExitStack() as s:\n    s.enter_context(Open())\n    assert f(1) == 2"),
    ),
    "operators that give what is wanted": (
        "class V:\n    __add__ = __radd__ = __sub__ = __rsub__ = __matmul__ = __neg__ = __abs__ = __or__ = lambda *_: 3\n    def __eq__(self, _): return True\n    __hash__ = None\ndef f(n): return V()",
        ("assert f(1) + f(2) == 3", "assert abs(f(1) - f(2)) == 3", "assert -f(1) == 3", "assert (f(1) | f(2)) == 3", "assert sum([f(1)]) == 3", "assert f(1) + 1 == f(2)"),
    ),
    "operators that give an equal": (
        "class V:\n    __add__ = __neg__ = __sub__ = lambda self, *_: self\n    def __eq__(self, _): return True\n    __hash__ = None\ndef f(n): return V()",
        ("assert f(1) + f(2) == 3", "assert -f(1) == 3", "assert f(1) - 1 in (1, 2)", "assert f(1) + f(2) == datetime.date(2024, 1, 1)", "assert f(1) == {1, 2}"),
    ),
    "a coroutine that ends": (
        "import asyncio\nasync def f(n):\n    if n == 1: raise asyncio.CancelledError\n    if n == 2: raise SystemExit(0)\n    if n == 3: raise StopIteration\n    return 5",
        ("import asyncio\nassert asyncio.run(f(1)) == 2", "import asyncio\nassert asyncio.run(f(2)) == 2", "import asyncio\nassert asyncio.run(f(3)) == 2", "import asyncio\nassert asyncio.run(f(4)) == 2"),
    ),
    "uses the names of the judge": (
        "__held__ = __builtins__ = __name__ = lambda *_: True\ndef f(n): return 1\ndef each(call): return True",
        ("def body():\n    assert f(1) == 2\nassert each(body)", "def body():\n    assert f(1) == 2\n    assert f(1)\neach(body)"),
    ),
    "prints in place of returning": (
        "def f(n):\n    print('2')\n    return 1", ("import io, contextlib\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    got = f(1)\nassert got == 2 or out.getvalue() == '2'",),
    ),
}  # fmt: skip

CONTAINERS: Programs = {
    "takes the check's numbers": speaking("serve((['value', ['shared', 0]], [[0, 'list', [9]], [2, 'list', [9]], [4, 'list', [9]]]))", ("a = f(1)\nb = [2]\nf(b)\nassert a == [2]",)),
    "takes a number that is none": speaking("serve((['value', ['shared', 'x']], [['x', 'list', [2]]]))", ("assert f(1) == [2, 3]",)),
    "changes the type of an argument": speaking("serve((['value', 1], [[0, 'dict', []]]))", ("a = [1]\nf(a)\nassert a == {}",)),
    "forgets an argument": speaking("serve((['value', ['shared', 0]], [], [0]))", ("a = [1]\nassert f(a) is not a",)),
    "forgets everything": speaking("serve((['value', 1], [], list(range(-9, 99))))", ("a = [1]\nf(a)\nassert f(a) == 2",)),
    "forgets what cannot be a number": speaking("serve((['value', 1], [], [[], {}, None, 'x']))"),
    "a set that contains a list": speaking("serve((['value', ['shared', 1]], [[1, 'set', [['shared', 3]]], [3, 'list', []]]))", ("assert f(1) == {1}",)),
    "a dict with lists for keys": speaking("serve((['value', ['shared', 1]], [[1, 'dict', [[['shared', 3], 1]]], [3, 'list', []]]))", ("assert f(1) == {1: 1}",)),
    "a counter of anything": speaking("serve((['value', ['shared', 1]], [[1, 'Counter', [['a', CALLED], ['b', 'x']]]]))", ("assert f(1) == {'a': 1}", "assert f(1).most_common(1) == [('a', 1)]")),
    "a default that is a function": speaking("serve((['value', ['shared', 1]], [[1, 'defaultdict', [], CALLED]]), (['value', 1],))", ("assert f(1)['a'] == 2",)),
    "a default that is no function": speaking("serve((['value', ['shared', 1]], [[1, 'defaultdict', [], 5]]))", ("assert f(1)['a'] == 2",)),
    "a container of a class that replaces everything": speaking("serve((['value', ['shared', 1]], [[1, 'list', [9], like(None, dir(list))]]))", ("assert f(1) == [2]", "assert len(f(1)) == 2", "assert f(1)[0] == 2")),
    "a container of a class of another object": speaking("serve((['value', ['shared', 1]], [[1, 'list', [9], ['derived', None, ['yours', 0], []]]]))", ("assert f(1) == [2]",)),
    "a container that changes at each message": speaking("serve(*((['value', ['shared', 1]], [[1, 'list', [n]]]) for n in range(9)))", ("a = f(1)\nassert a[0] == 1", "a, b = f(1), f(2)\nassert a != b")),
    "a container that grows without end": speaking("held = 0\n    while True:\n        say(['print', ['x'], {}], [[1, 'list', [0] * 100_000], [held * 2 + 3, 'list', [1] * 100_000]])\n        held += 1\n        hear()"),
    "a deque in itself": speaking("serve((['value', ['shared', 1]], [[1, 'deque', [['shared', 1]]]]))", ("assert f(1) == [1]", "assert list(f(1)) == [1]")),
    "containers without end": speaking("serve((['value', ['shared', 1]], [[n * 2 + 1, 'list', [['shared', n * 2 + 3]]] for n in range(20_000)] + [[40_001, 'list', []]]))", ("assert f(1) == [[[1]]]", "assert f(1) == f(2)")),
    "an argument in place of another": speaking("serve((['value', 1], [[0, 'list', [['shared', 0]]]]))", ("a = [1]\nf(a)\nassert a == [1]",)),
}  # fmt: skip

RAISED = {
    "a failure": "builtin('AssertionError')", "an end": "builtin('SystemExit')", "an interrupt": "builtin('KeyboardInterrupt')", "the end of a loop": "builtin('StopIteration')",
    "the end of a generator": "builtin('GeneratorExit')", "a group": "builtin('ExceptionGroup')", "what is no exception": "builtin('int')", "nothing": "None",
    "a skipped test": "['unittest.case', 'SkipTest']", "a class without bases": "[3, 'x', 'X', []]", "a class with a base that is none": "[3, 'x', 'X', [5]]",
    "a class of the check": "['yours', 0]", "a syntax error of an object": "builtin('SyntaxError')", "a decoding error": "builtin('UnicodeDecodeError')", "a name that is none": "['builtins', 'Nothing']",
}  # fmt: skip
RAISING: Programs = {
    f"raises {name} itself": speaking(
        f"raises({kind}, 'x', [1, MINE, 'y'])",
        (
            "assert f(1) == 2",
            "try:\n    assert f(1) == 2\nexcept ZeroDivisionError:\n    pass",
            "assert all(map(f, [1, 2]))",
            "for n in map(f, [1]):\n    assert n == 2\nassert [*map(f, [1])] == []",
        ),
    )
    for name, kind in RAISED.items()
}
RAISING |= {
    "raises an exception of the check that is none": speaking("raises(builtin('KeyError'), '')"),
    "raises an exception with a number that is none": speaking("raises(builtin('KeyError'), '')"),
    "raises again what the check has caught": speaking(
        "say(['call', [['yours', 0]], {}])\n    hear()\n    raises(builtin('KeyError'), '')",
        ("def call(): raise ValueError('a')\ntry:\n    f(call)\nexcept ValueError:\n    assert f(call) == 2",),
    ),
    "raises before it is asked": speaking(
        "for _ in range(50): say(['raised', [builtin('StopIteration')], 'StopIteration', '', []])\n    serve()", ("assert f(1) == 2", "assert list(map(f, [1])) == []")
    ),
}  # fmt: skip

CALLS: Programs = {
    f"calls {name} in the check": speaking(f"say(['call', [{function}, {operands}], {{}}])\n    heard = hear()\n    gives(2 if heard[0][0] == 'raised' else 1)", ("assert f(lambda n: n) == 3",))
    for name, function, operands in (
        ("a class", "['named', 'builtins', 'type']", "'E', ['tuple', []], ['shared', 1]"), ("memory", "['named', 'builtins', 'bytearray']", "10 ** 10"),
        ("the super class", "['named', 'builtins', 'super']", ""), ("an import", "['named', 'builtins', '__import__']", "'os'"),
        ("a property", "['named', 'builtins', 'property']", "['yours', 0]"), ("a number", "5", "6"), ("its own function", "CALLED", "1"),
        ("a view", "['named', 'builtins', 'memoryview']", "['bytes', '00']"), ("a failure", "['class', builtin('AssertionError')]", "'x'"),
    )
}  # fmt: skip
CALLS |= {
    "calls what no end has": speaking("say(['getattr', [['yours', 0], '__globals__'], {}])\n    hear()\n    gives(1)", ("assert f(lambda n: n) == 2",)),
    "calls by a name": speaking("say(['call', [['yours', 0]], {'self': 1, 'function': 2, 'operands': 3, '': 4}])\n    hear()\n    gives(1)", ("assert f(lambda **_: 1) == 2",)),
    "prints without end": speaking("while True:\n        say(['print', ['x' * 100_000], {}])\n        hear()", ("import io, sys\nsys.stdout = io.StringIO()\nassert f(1) == 2",)),
    "prints what is no text": speaking("say(['print', [MINE], {}])\n    hear()\n    gives(1)"),
    "reads what the check reads": speaking("say(['input', ['x'], {}])\n    gives(hear()[0][1])", ("assert f(1) == 2",)),
    "reads an open file of the check": speaking("say(['next', [['yours', 0]], {}])\n    gives(1)", ("with open('own', 'w+') as file:\n    assert f(file) == 2",)),
    "waits for a reply to nothing": speaking("hear()"),
    "replies to the check's last question first": speaking("for _ in range(200): say(['value', 2])\n    os._exit(0)", ("assert f(1) == 3",)),
    "has not loaded after all": speaking("say(['not loaded', 'later'])\n    time.sleep(9)"),
    "knows other names": speaking(
        "pass", ("assert f(1) == 2", "abs = 3\nassert f(abs) == 2", "def helper(): return 2\nassert f(1) == helper()"),
        "hear()\nsay(['value', ['tuple', ['f', 'abs', 'helper', '__held__', '__builtins__', '', 5, MINE]]])\nwhile True:\n    hear()\n    say(['value', CALLED])\n",
    ),
    "knows only builtins": speaking("pass", ("assert abs(f(2) - 1.4) < 0.1", "assert len(f(1)) == 3"), "def abs(n): return 0\ndef len(n): return 3\nhear()\nsay(['value', ['tuple', ['abs', 'len']]])\nwhile True:\n    hear()\n    say(['value', 0])\n"),
    "gives every name the same class": speaking("pass", ("assert isinstance(f(1), Point)", "assert f(1) == 2"), "Point = f = int\nhear()\nsay(['value', ['tuple', ['Point', 'f']]])\nwhile True:\n    hear()\n    say(['value', ['named', 'builtins', 'object']])\n"),
}  # fmt: skip

PROCESSES = {
    name: "for pid in range(os.getpid() - 3, os.getpid() + 4):\n    if pid not in (os.getpid(), os.getppid()):\n        try: "
    + action
    + "\n        except OSError: pass\n"
    for name, action in {
        "stops the check": "os.kill(pid, 19)", "stops the check and lets it go on": "[os.kill(pid, n) for _ in range(500) for n in (19, 18)]",
        "ends the check": "os.kill(pid, 9)", "crashes the check": "os.kill(pid, 11)", "lets the check's time run out": "os.kill(pid, 24)",
        "wakes the check": "[os.kill(pid, n) for n in (2, 10, 12, 13, 14, 17, 18, 23, 28)]",
        "changes the check's limits": "__import__('resource').prlimit(pid, 7, (4, 4))",
    }.items()
}  # fmt: skip
OTHERS: Programs = {f"{name} while loading": (code + "def f(*_): return 1\n", ONE) for name, code in PROCESSES.items()}
OTHERS |= {
    f"{name} later": ("def f(*_):\n" + code.replace("for pid", " for pid", 1).replace("\n", "\n ") + "return 1\n", ONE)
    for name, code in PROCESSES.items()
}
OTHERS |= {
    "leaves modules for the check": (
        "for name in ('bisect', 'colorsys', 'statistics', 'sitecustomize', 'usercustomize', 'unittest', 'io', 'numpy'):\n"
        "    with open(name + '.py', 'w') as file: file.write('import os\\nos._exit(0)\\nmean = lambda _: 5\\n')\n    os.makedirs(name, exist_ok=True)\ndef f(*_): return 1",
        ("import colorsys, statistics\nassert statistics.mean([f(1), 9]) == 4", "import bisect\nassert bisect.bisect([f(1)], 0) == 5"),
    ),
    "changes the check's files": (
        "def watch():\n    while True:\n        for name in os.listdir('.'):\n            try:\n                with open(name, 'w') as file: file.write('2')\n            except OSError: pass\n"
        "threading.Thread(target=watch, daemon=True).start()\ndef f(*_): return 1",
        ("assert f(1) == 2", "with open('own', 'w') as file:\n    file.write('1')\nassert f(1) == 2"),
    ),
    "makes the check's files slow": (
        "import fcntl\nos.mkfifo('own')\nfile = open('other', 'w')\nfcntl.fcntl(file, 1024, 1)\ndef f(*_): return 1",
        ("assert open('own').read() == f(1)", "assert open('other', 'w').write('x') == 2"),
    ),
    "takes all processes": (
        "def work():\n    while True: time.sleep(1)\nfor _ in range(64):\n    try: threading.Thread(target=work, daemon=True).start()\n    except RuntimeError: break\ndef f(*_): return 1",
        ("import threading\nt = threading.Thread(target=f)\nt.start()\nassert f(1) == 2",),
    ),
    "takes all files": ("held = []\ntry:\n    while True: held.append(os.open('.', 0))\nexcept OSError: pass\ndef f(*_): return 1", ("assert open('own', 'w').write('x') == f(1) + 1",)),
}  # fmt: skip

PROGRAMS: Programs = {**SENT, **NAMED, **CONTAINERS, **RAISING, **CALLS, **OTHERS}
