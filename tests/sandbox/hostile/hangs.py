"""Programs that never end, or take far longer than their limit, in the answer, in the check or in what judges them.

One attack each: the time of a program is compared with its limit.
"""

from tests.sandbox.hostile.kinds import Programs

IGNORE = "import signal\nfor number in range(1, 65):\n    try: signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
ONE = ("assert f(1) == 2",)

BUSY: Programs = {
    "is busy": ("def f(*_):\n    while True: pass", ONE),
    "is busy and deaf": (IGNORE + "def f(*_):\n    while True: pass", ONE),
    "is busy while loading": ("while True: pass", ONE),
    "is busy and deaf while loading": (IGNORE + "while True:\n    try:\n        while True: pass\n    except BaseException: pass", ONE),
    "catches everything": (
        "def f(*_):\n    while True:\n        try:\n            while True: time.sleep(0.01)\n        except BaseException: continue", ONE
    ),
    "sleeps": ("def f(*_): time.sleep(1e6)", ONE),
    "sleeps while loading": ("time.sleep(1e6)", ("assert 1 == 2", "assert 2 == 3")),
    "waits for a lock": ("def f(*_): threading.Lock().__enter__() or threading.Barrier(2).wait()", ONE),
    "waits for input": ("def f(*_): return sys.stdin.read() or os.read(0, 1) or time.sleep(1e6)", ONE),
    "waits for a pipe": ("def f(*_): return os.read(os.pipe()[0], 1)", ONE),
    "waits for a signal": (IGNORE + "def f(*_): signal.pause()", ONE),
    "waits for a child": ("def f(*_):\n    if os.fork() == 0: time.sleep(1e6)\n    os.wait()", ONE),
    "stops itself": ("def f(*_): os.kill(os.getpid(), 19)", ONE),
    "stops its group": ("def f(*_): os.killpg(0, 19)", ONE),
    "stops itself while loading": ("os.kill(os.getpid(), 19)", ONE),
    "is traced by nobody": ("def f(*_):\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n    os.kill(os.getpid(), 5)\n    time.sleep(1e6)", ONE),
    "holds the interpreter": ("def f(*_): return sum(range(10**18))", ONE),
    "holds the interpreter in a number": ("def f(*_): return len(str(7 ** 10**8)) or (1 << 10**10)", ONE),
    "holds the interpreter in a pattern": ("import re\ndef f(*_): return re.fullmatch('(a*)*b', 'a' * 64)", ONE),
    "never gives the lock away": (
        "sys.setswitchinterval(1e6)\ndef busy():\n    while True: pass\ndef f(*_):\n    threading.Thread(target=busy).start()\n    time.sleep(0.01)\n    return 2",
        ("assert f(1) == 3",),
    ),
    "threads that never end": (
        "def busy():\n    while True: pass\nfor _ in range(8): threading.Thread(target=busy).start()\ndef f(*_): return 1", ONE
    ),
    "ends in a loop at exit": (
        "import atexit\ndef forever():\n    while True: time.sleep(1)\natexit.register(forever)\ndef f(*_): sys.exit(0)", ONE
    ),
    "a thread that is waited for at exit": (
        "def f(*_):\n    threading.Thread(target=time.sleep, args=(1e6,)).start()\n    sys.exit(0)", ONE
    ),
    "never collected": ("class Last:\n    def __del__(self):\n        while True: pass\ndef f(*_): return Last() and 1", ONE),
    "thread bomb": (
        "def f(*_):\n    while True:\n        try: threading.Thread(target=time.sleep, args=(1e6,)).start()\n        except RuntimeError: time.sleep(0.001)",
        ONE,
    ),
    "fork bomb": ("def f(*_):\n    while True:\n        try: os.fork()\n        except OSError: pass", ONE),
    "fork bomb while loading": ("while True:\n    try: os.fork()\n    except OSError: pass", ONE),
    "forks that outlive each other": (
        "def f(*_):\n    while True:\n        try:\n            if os.fork(): os._exit(0)\n        except OSError: time.sleep(0.001)", ONE
    ),
    "waits in a vfork": (
        "def f(*_):\n    libc = ctypes.CDLL(None)\n    if libc.syscall({'x86_64': 58}.get(os.uname().machine, 1071)) == 0: time.sleep(1e6)\n    return 1", ONE
    ),
}  # fmt: skip

ENDLESS = "def forever(*_):\n    while True: yield 1\n"
ITERATORS: Programs = {
    f"an endless iterator for {use.partition('(')[0].strip()}": (
        ENDLESS + "def f(*_): return forever()",
        (f"assert {use} == 2",),
    )
    for use in (
        "sorted(f())",
        "list(f())",
        "set(f())",
        "sum(f())",
        "max(f())",
        "tuple(f())",
        "all(f())",
        "''.join(map(str, f()))",
        "dict.fromkeys(f())",
        "[*f()]",
        "len([n for n in f()])",
        "any(n == 2 for n in f())",
    )
}
ITERATORS |= {
    "an endless iterator for in": (ENDLESS + "def f(*_): return forever()", ("assert 5 in f()",)),
    "an endless iterator for unpacking": (ENDLESS + "def f(*_): return forever()", ("a, *b = f()\nassert b == [1]",)),
    "an endless iterator for a loop": (ENDLESS + "def f(*_): return forever()", ("for n in f():\n    assert n == 1",)),
    "an endless sequence": ("class Endless:\n    def __getitem__(self, n): return 1\ndef f(*_): return Endless()", ("assert list(f()) == [1]",)),
    "an endless list of another length": (
        "class Endless(list):\n    def __iter__(self):\n        while True: yield 1\ndef f(*_): return Endless()", ("assert f() == [1]",)
    ),
    "an iterator that drips": (
        "def f(*_):\n    while True:\n        time.sleep(0.1)\n        yield 1", ("for n in f(): pass\nassert False",)
    ),
    "a huge length": (
        "class Long:\n    def __len__(self): return sys.maxsize\n    def __getitem__(self, n): return n\ndef f(*_): return Long()",
        ("assert list(f()) == [1]",),
    ),
}  # fmt: skip

SLOW: Programs = {
    f"is slow in {name}": (
        f"class Slow:\n    def __{name}__(self, *_):\n        while True: time.sleep(0.01)\ndef f(*_): return Slow()", (f"assert {use}",)
    )
    for name, use in {
        "eq": "f(1) == 2 or f(1) == f(2)", "str": "str(f(1)) == 'x'", "repr": "repr(f(1)) == 'x'", "len": "len(f(1)) == 3", "iter": "list(f(1)) == [1]",
        "getattr": "f(1).size == 3", "call": "f(1)(2) == 3", "hash": "{f(1): 2} == {}", "bool": "not f(1)", "contains": "3 in f(1) and 4 not in f(1)",
        "getitem": "f(1)[0] == 3", "enter": "__import__('contextlib').ExitStack().enter_context(f(1)) == 3", "getattribute": "f(1).size == 3",
    }.items()
}  # fmt: skip

CALLBACKS: Programs = {
    "calls back without end": ("def f(call):\n    while True: call(1)", ("assert f(lambda n: n) == 1",)),
    "calls back without end and without errors": (
        "def f(call):\n    while True:\n        try: call(1)\n        except BaseException: pass", ("def fails(n): raise ValueError\nassert f(fails) == 1",)
    ),
    "calls itself through a callback": ("def f(call): return call(f)", ("def again(g): return g(again)\nassert f(again) == 1",)),
    "recurses": ("def f(*_): return f() + 1", ("assert f(1) == 2",)),
    "recurses deeper than the stack": ("sys.setrecursionlimit(1 << 30)\ndef f(*_): return f() + 1", ("assert f(1) == 2",)),
    "recurses in C": (
        "sys.setrecursionlimit(1 << 30)\nclass Deep:\n    def __repr__(self): return repr([self])\ndef f(*_): return repr(Deep())", ("assert f(1) == 2",)
    ),
    "an exception that is its own cause": (
        "def f(*_):\n    error = ValueError()\n    error.__cause__ = error.__context__ = error\n    raise error", ("assert f(1) == 2",)
    ),
    "an exception of exceptions": (
        "def f(*_):\n    error = ValueError()\n    for _ in range(100_000): error = ValueError(error)\n    raise error", ("assert f(1) == 2",)
    ),
    "an exception with a slow text": (
        "class Slow(ValueError):\n    def __str__(self):\n        while True: pass\n    __repr__ = __str__\ndef f(*_): raise Slow", ("assert f(1) == 2",)
    ),
    "an exception with a long text": ("def f(*_): raise ValueError('x' * 100_000_000)", ("assert f(1) == 2",)),
    "a class with a slow name": (
        "class Meta(type):\n    @property\n    def __name__(cls):\n        while True: pass\n    __qualname__ = __module__ = __name__\n"
        "class Slow(ValueError, metaclass=Meta): pass\ndef f(*_): raise Slow\ndef g(*_): return Meta('X', (), {})()",
        ("try:\n    f()\nexcept ValueError:\n    pass\nassert g() == 1",),
    ),
    "a class that is slow to ask": (
        "class Slow:\n    @property\n    def __class__(self):\n        while True: pass\ndef f(*_): return Slow()", ("assert isinstance(f(), int)",)
    ),
}  # fmt: skip

NUMBERS = "from decimal import Decimal\nfrom fractions import Fraction\n"
VALUES: Programs = {
    f"{value} where {use}": (NUMBERS + f"def f(*_): return {value}", (f"assert {use}",))
    for value, use in {
        "Decimal('1e999999999999999999')": "f() == 10 ** 100",
        "Decimal('-1e999999999999')": "f() > 10 ** 4000",
        "Decimal('1e99999999')": "int(f()) == 5",
        "Fraction(1, 10 ** 100_000)": "f() == 0.5",
        "Decimal('sNaN')": "f() == 5",
        "Decimal('NaN')": "f() < 5",
        "Decimal('9' * 900_000)": "f() == 7",
        "[Decimal('1e999999999')] * 1000": "f() == [10 ** 1000] * 1000",
        "Decimal('1e-999999999999')": "f() > 0.5",
        "Decimal('1E+400000000')": "hash(f()) == 1",
        "10 ** 1_000_000": "f() == 5",
        "-(10 ** 2_000_000)": "str(f()) == '5'",
        "(1 << 8_000_000)": "f() % 97 == 98",
        "10 ** 300_000": "f() == 1.5",
        "{n * (2 ** 61 - 1) for n in range(4000)}": "f() == {1}",
        "{n * (2 ** 61 - 1): n for n in range(30_000)}": "f() == {1: 2}",
        "[1] * 3_000_000": "f() == [2] * 3",
        "'x' * 50_000_000": "f() == 'x'",
        "['x' * 1000] * 100_000": "f() == ['x']",
        "float('nan')": "f() == f()",
        "complex('nan+infj')": "f() == 1",
        "'\\ud800' * 1000": "f() == 'x'",
        "range(10 ** 18)": "10 ** 17 + 0.5 in f()",
        "range(10 ** 15)": "list(f()) == [1]",
        "range(10 ** 30)": "sum(f()) == 1",
        "2 ** 31": "[0] * f() == 1",
        "2 ** 40": "'x' * f() == 'x'",
        "10 ** 9": "f() ** f() == 1",
        "10 ** 7": "__import__('math').factorial(f()) == 1",
        "10 ** 12": "sum(range(f())) == 1",
        "1e9": "__import__('time').sleep(f()) == 1",
        "'(a*)*b'": "__import__('re').fullmatch(f(), 'a' * 64) == 1",
        "'{:>4000000000}'": "f().format(1) == '1'",
        "'>3000000000'": "format(1, f()) == '1'",
        "'%04000000000d'": "f() % 1 == '1'",
        "'9' * 4_000_000": "__import__('decimal').Decimal(f()) ** 9 == 1",
        "'1e9999999999'": "__import__('fractions').Fraction(f()) == 1",
        "'(' * 90_000": "eval(f()) == 1",
        "'[' * 100_000": "__import__('json').loads(f()) == 1",
        "'9**9**9**9'": "eval(f()) == 1",
        "'/proc/self/fd/0'": "open(f()).read() and 1 == 2",
        "(lambda: f())": "f()()()() == 1",
    }.items()
}
VALUES |= {
    "a list in itself": ("def f():\n    held = []\n    held.append(held)\n    return held", ("assert f() == [1]",)),
    "a dict in itself": ("def f():\n    held = {}\n    held['a'] = held\n    return held", ("assert f() == {'a': 1}",)),
    "a deep list": ("def f():\n    held = []\n    for _ in range(1_000_000): held = [held]\n    return held", ("assert f() == [1]",)),
    "a deep tuple": ("def f():\n    held = ()\n    for _ in range(5_000): held = (held,)\n    return held", ("assert f() == (1,)",)),
    "a list of shared lists": (
        "def f():\n    held = [1]\n    for _ in range(40): held = [held, held]\n    return held", ("assert f() == [1]",)
    ),
    "a deep argument": (
        "def f(n): return 1", ("held = []\nfor _ in range(100_000): held = [held]\nassert f(held) == 2",)
    ),
    "a text of NULs": ("def f(): return '\\0' * 20_000_000", ("assert f() == ''",)),
}  # fmt: skip

PAIRS = (
    ("Decimal('1e999999999999999999')", "1 << 3_900_000"), ("Decimal('9' * 990)", "1 << 3_900_000"), ("Decimal('1e4000000')", "1 << 3_900_000"),
    ("Decimal('1e999999999999999999')", "Fraction(10 ** 900, 7)"), ("Decimal('1e999999999999999999')", "Decimal('1e-999999999999999999')"),
    ("Decimal('1e999999999')", "0.1"), ("Fraction(1, 10 ** 100_000)", "1e-300"), ("10 ** 1_000_000", "Fraction(1, 3)"),
)  # fmt: skip
COMPARED: Programs = {
    f"{one} against {other}": (
        NUMBERS + f"def f(): return {one}\ndef g(): return {other}",
        ("assert f() == g()", "assert g() < f() < g()", "assert f() in {5, g()}"),
    )
    for one, other in PAIRS
}

CHECKS: Programs = {
    "a check without end": ("def f(): return 1", ("while True:\n    assert f() == 1",)),
    "a check that is busy": ("def f(): return 1", ("while True: pass",)),
    "a check that sleeps": ("def f(): return 1", ("import time\ntime.sleep(1e6)\nassert f() == 2",)),
    "a check that is deaf": ("def f(): return 1", (IGNORE + "while True: pass",)),
    "a check that stops": ("def f(): return 1", ("import os\nos.kill(os.getpid(), 19)\nassert f() == 2",)),
    "a check that forks": ("def f(): return 1", ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",)),
    "a check that recurses": ("def f(): return 1", ("import sys\nsys.setrecursionlimit(1 << 30)\ndef g(): return g() + 1\nassert g() == f()",)),
    "a check that waits for the answer": ("def f(): return 1", ("import threading\nthreading.Barrier(2).wait()\nassert f() == 2",)),
    "a check that catches everything": (
        "def f(): time.sleep(1e6)", ("while True:\n    try:\n        f()\n    except BaseException:\n        pass",)
    ),
    "a check that closes everything": ("def f(): return 1", ("import os\nos.closerange(0, 256)\nimport time\ntime.sleep(1e6)",)),
}  # fmt: skip

PROGRAMS: Programs = {**BUSY, **ITERATORS, **SLOW, **CALLBACKS, **VALUES, **COMPARED, **CHECKS}
