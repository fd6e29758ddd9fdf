"""Answers that end, replace or bypass the judging: every one of these checks passes where answer and check share an interpreter."""

from tests.sandbox.hostile.kinds import Programs

EXITS: Programs = {
    "exits at once": ("sys.exit(0)", ("assert 1 == 2",)),
    "ends at once": ("os._exit(0)", ("assert 1 == 2",)),
    "replaces itself at once": ("os.execv('/proc/self/exe', ['python', '-c', 'pass'])", ("assert 1 == 2",)),
    "exits": ("def f(*_): sys.exit(0)", ("assert f(1) == 2", "f(1)", "try:\n    f(1)\nfinally:\n    result = 0")),
    "exits without a status": ("def f(*_): raise SystemExit", ("assert f(1) == 2",)),
    "exits with False": ("def f(*_): raise SystemExit(False)", ("assert f(1) == 2",)),
    "exits by a class of its own": ("class Done(SystemExit): code = 0\ndef f(*_): raise Done", ("assert f(1) == 2",)),
    "ends": ("def f(*_): os._exit(0)", ("assert f(1) == 2", "f(1)")),
    "ends by libc": ("def f(*_): ctypes.CDLL(None)._exit(0)", ("assert f(1) == 2",)),
    "exits by libc": ("def f(*_): ctypes.CDLL(None).exit(0)", ("assert f(1) == 2",)),
    "ends by a system call": (
        "def f(*_): ctypes.CDLL(None).syscall({'x86_64': 231}.get(os.uname().machine, 94), 0)", ("assert f(1) == 2",)
    ),
    "ends at exit": ("import atexit\natexit.register(os._exit, 0)\ndef f(*_): raise ValueError", ("assert f(1) == 2",)),
    "ends when it is collected": (
        "class Last:\n    def __del__(self): os._exit(0)\nkept = Last()\ndef f(*_):\n    global kept\n    kept = None", ("assert f(1) == 2",)
    ),
    "ends in a thread": (
        "def f(*_):\n    threading.Thread(target=os._exit, args=(0,)).start()\n    time.sleep(9)", ("assert f(1) == 2",)
    ),
    "ends by a timer": ("def f(*_):\n    threading.Timer(0.02, os._exit, (0,)).start()\n    time.sleep(9)", ("assert f(1) == 2",)),
    "ends in a hook of exceptions": ("sys.excepthook = lambda *_: os._exit(0)\ndef f(*_): raise ValueError", ("assert f(1) == 2",)),
    "ends when printed to": (
        "class Out:\n    write = flush = lambda *_: os._exit(0)\nsys.stdout = sys.stderr = Out()\ndef f(*_): print('x')",
        ("assert f(1) == 2",),
    ),
    "ends by a signal's handler": (
        "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: os._exit(0))\ndef f(*_): os.kill(os.getpid(), signal.SIGUSR1)",
        ("assert f(1) == 2",),
    ),
    "ends by an alarm": (
        "import signal\nsignal.signal(signal.SIGALRM, lambda *_: os._exit(0))\n"
        "def f(*_):\n    signal.setitimer(signal.ITIMER_REAL, 0.02)\n    time.sleep(9)",
        ("assert f(1) == 2",),
    ),
    "becomes another program": ("def f(*_): os.execv('/proc/self/exe', ['python', '-c', 'pass'])", ("assert f(1) == 2",)),
    "becomes another program with an environment": (
        "def f(*_): os.execve('/proc/self/exe', ['python', '-c', 'pass'], {'PYTHONSTARTUP': '/x'})", ("assert f(1) == 2",)
    ),
    "ends in str, len and iter": (
        "class Liar:\n    __str__ = __len__ = __iter__ = __next__ = __getattr__ = __call__ = lambda *_: os._exit(0)\n"
        "def f(*_): return Liar()",
        ("assert str(f(1)) == 'x'", "assert len(f(1)) == 3", "assert list(f(1)) == [1]", "assert f(1).name == 'x'",
         "assert f(1)(2) == 3", "for x in f(1):\n    assert x == 1"),
    ),
    "ends in a comparison": (
        "class Liar:\n    __eq__ = __lt__ = __sub__ = __contains__ = __bool__ = __hash__ = lambda *_: os._exit(0)\n"
        "def f(*_): return Liar()",
        ("assert f(1) == 2", "assert f(1) < 2", "assert 2 in f(1)", "assert abs(f(1) - 2) < 1", "assert f(1)", "assert {f(1): 1} == 2"),
    ),
    "raises what ends loops": (
        "def f(*_): raise StopIteration",
        ("assert all(map(f, [1, 2, 3]))", "assert not any(map(f, [1, 2]))", "assert list(map(f, [1])) == []",
         "assert not [*filter(f, [1, 2])]", "for x in map(f, [1, 2]):\n    assert x == 3"),
    ),
    "ends asyncio": ("async def f(*_): os._exit(0)", ("import asyncio\nassert asyncio.run(f(1)) == 2",)),
    "ends an asyncio loop": (
        "async def f(*_): raise SystemExit(0)", ("import asyncio\nassert asyncio.run(f(1)) == 2",)
    ),
}  # fmt: skip

NEVER = "import builtins\nclass Never(Exception):\n    def __init__(self, *_): os._exit(0)\n"
PATCHES: Programs = {
    "redefines builtins by name": (
        "def abs(_): return 0\ndef len(_): return 5\ndef sorted(_): return [1]\ndef isinstance(*_): return True\n"
        "def all(_): return True\ndef round(*_): return 3\ndef str(_): return 'x'\ndef set(_): return 1\ndef type(_): return int\n"
        "def sum(_): return 6\ndef f(n): return 1.0",
        ("assert abs(f(2) - 9.0) < 0.1", "assert len([f(2)]) == 5", "assert sorted([f(1), 5]) == [1]", "assert isinstance(f(3), dict)",
         "assert all(f(n) == n for n in (7, 8))", "assert round(f(2), 2) == 3", "assert str(f(1)) == 'x'", "assert type(f(1)) is int",
         "assert sum([f(1)]) == 6", "assert set([f(1)]) == 1"),
    ),
    "replaces builtins": (
        "import builtins\nbuiltins.abs = builtins.len = builtins.sum = builtins.round = lambda *_: 0\n"
        "builtins.isinstance = builtins.all = lambda *_: True\nbuiltins.any = lambda *_: False\nbuiltins.sorted = lambda *_: [1]\n"
        "def f(n): return 1.0",
        ("assert abs(f(2) - 9.0) < 0.1", "assert len([f(2)]) == 0", "assert sorted([f(1), 5]) == [1]", "assert isinstance(f(3), dict)",
         "assert all([f(1) == 2])", "assert not any([f(1) == 1.0])", "assert sum([f(1), 5]) == 0", "assert round(f(2)) == 0"),
    ),
    "replaces functions of modules": (
        "import math, cmath, operator, copy, json, re, statistics, collections\nmath.isclose = cmath.isclose = operator.eq = lambda *_, **__: True\n"
        "math.fabs = lambda _: 0\ncopy.deepcopy = lambda _: 5\njson.loads = json.dumps = lambda *_: 5\n"
        "re.match = re.search = re.fullmatch = lambda *_: True\nstatistics.mean = lambda _: 5\ncollections.Counter = lambda *_: 5\n"
        "def f(n): return 1.0",
        ("import math\nassert math.isclose(f(1), 9)", "import math\nassert math.fabs(f(1) - 9) < 1e-6",
         "import cmath\nassert cmath.isclose(f(1), 9)", "import operator\nassert operator.eq(f(1), 9)",
         "import copy\nassert copy.deepcopy(f(1)) == 5", "import json\nassert json.loads(str(f(1))) == 5",
         "import re\nassert re.match('x', str(f(1)))", "import statistics\nassert statistics.mean([f(1)]) == 5",
         "from collections import Counter\nassert Counter([f(1)]) == Counter('x')", "from math import isclose\nassert isclose(f(1), 9)"),
    ),
    "makes up modules": (
        "import types\nmade = types.ModuleType('math')\nmade.isclose = lambda *_, **__: True\nmade.sqrt = lambda _: 1.0\n"
        "sys.modules['math'] = sys.modules['numpy'] = made\nmade.allclose = made.array_equal = lambda *_: True\ndef f(n): return 1.0",
        ("import math\nassert math.isclose(f(1), 9)", "import numpy as np\nassert np.allclose(f(1), [9])",
         "from math import sqrt\nassert f(1) == sqrt(9)"),
    ),
    "finds its own modules": (
        "class Finder:\n    def find_spec(self, name, path=None, target=None):\n        import importlib.util\n"
        "        return importlib.util.spec_from_loader(name, self)\n    def create_module(self, spec): return None\n"
        "    def exec_module(self, module): module.mean = module.same = lambda *_: 5\nsys.meta_path.insert(0, Finder())\n"
        "for name in ('statistics', 'colorsys'): sys.modules.pop(name, None)\ndef f(n): return 2.0",
        ("import colorsys\nassert colorsys.same(f(1)) == 5", "import statistics\nassert statistics.mean([f(1), 9]) == 5"),
    ),
    "leaves a module in the folder": (
        "open('colorsys.py', 'w').write('same = lambda *_: True')\nsys.path.insert(0, os.getcwd())\nsys.modules.pop('colorsys', None)\n"
        "def f(n): return 1",
        ("import colorsys\nassert colorsys.same(f(1), 2)",),
    ),
    "replaces AssertionError": (NEVER + "builtins.AssertionError = Never\ndef f(n): return 1", ("if f(1) != 2: raise AssertionError",)),
    "replaces import": (
        "import builtins, types\nbuiltins.__import__ = lambda *_: types.SimpleNamespace(isclose=lambda *_: True, mean=lambda _: 5)\n"
        "def f(n): return 1.0",
        ("import math\nassert math.isclose(f(1), 9)", "import statistics\nassert statistics.mean([f(1)]) == 5"),
    ),
    "replaces the check's unittest": (
        "import unittest\nunittest.TestCase.assertEqual = unittest.TestCase.assertAlmostEqual = lambda *_: None\ndef f(n): return 1",
        ("import unittest\nunittest.TestCase().assertEqual(f(1), 2)\nassert f(1)",
         "import unittest\nunittest.TestCase().assertAlmostEqual(f(1), 2.5)\nassert f(1)"),
    ),
    "changes a number in place": (
        "def f(n):\n    ctypes.c_uint32.from_address(id(200) + 24).value = 1\n    return 1\n", ("assert f(1) == 200",)
    ),
    "changes a builtin type": (
        "def f(n):\n    import gc\n    inside = gc.get_referents(list.__dict__)[0]\n    inside['index'] = lambda *_: 7\n"
        "    ctypes.pythonapi.PyType_Modified(ctypes.py_object(list))\n    return [1]",
        ("assert f(1).index(1) == 7",),
    ),
    "changes how values compare": (
        "import fractions, datetime, decimal\nfractions.Fraction.__eq__ = fractions.Fraction.__lt__ = lambda *_: True\n"
        "def f(n): return fractions.Fraction(9, 7)",
        ("from fractions import Fraction\nassert f(1) == Fraction(1, 2)", "assert f(1) < 1"),
    ),
}  # fmt: skip

SWALLOWS: Programs = {
    "swallows assertions in a context": (
        "import contextlib\nclass Open:\n    __enter__ = lambda self: self\n    __exit__ = lambda *_: True\n"
        "def f(n): return 1\ndef opened(): return contextlib.suppress(BaseException)",
        ("with Open():\n    assert f(1) == 2", "with opened():\n    assert f(1) == 2", "with Open() as o:\n    raise AssertionError"),
    ),
    "swallows assertions in a callback": (
        "def f(n): return 1\ndef retry(call):\n    try: call()\n    except BaseException: pass\ndef times(n, call): return n",
        ("def body():\n    assert f(1) == 2\nretry(body)", "def body():\n    assert f(1) == 2\nassert times(3, body) == 3"),
    ),
    "swallows a decorated test": (
        "def f(n): return 1\ndef fixture(call): return lambda *_: None\nclass case:\n    def __init__(self, call): pass\n"
        "    def __call__(self): return None",
        ("@fixture\ndef test():\n    assert f(1) == 2\ntest()", "@case\ndef test():\n    assert f(1) == 2\ntest()"),
    ),
    "swallows a test's class": (
        "def f(n): return 1\nclass Base:\n    def __init_subclass__(cls): cls.test = lambda self: None",
        ("class Tests(Base):\n    def test(self):\n        assert f(1) == 2\nTests().test()",),
    ),
    "swallows assertions in a comparison": (
        "def f(n): return 1\nclass Key:\n    def __init__(self, call): self.call = call\n    def __eq__(self, other):\n        try: self.call()\n"
        "        except AssertionError: pass\n        return True",
        ("def body():\n    assert f(1) == 2\nassert Key(body) == 5",),
    ),
    "swallows a loop's body": (
        "def f(n): return 1\ndef cases():\n    try:\n        yield 1\n        yield 2\n    except BaseException: pass\n"
        "def each(items, call):\n    for item in items:\n        try: call(item)\n        except Exception: continue",
        ("def body(n):\n    assert f(n) == 2\neach([1, 2], body)",),
    ),
}  # fmt: skip

TEXTS: Programs = {
    "code in a text": (
        "def f(*_): return \"type('E', (), {'__eq__': lambda *_: True, '__hash__': lambda _: 1})()\"\n"
        "def ends(*_): return \"__import__('os')._exit(0)\"\n"
        "def patches(*_): return \"setattr(__import__('builtins'), 'AssertionError', SystemExit)\"",
        ("assert eval(f('1 + 1')) == 2", "assert eval(ends()) == 2", "eval(patches())\nraise AssertionError",
         "exec('x = ' + f())\nassert x == 3", "exec(ends())\nassert False"),
    ),
    "code in a pickle": (
        "import pickle\nclass Evil:\n    def __reduce__(self): return os._exit, (0,)\nclass Equal:\n"
        "    def __reduce__(self): return eval, (\"type('E', (), {'__eq__': lambda *_: True})()\",)\n"
        "def ends(*_): return pickle.dumps(Evil())\ndef f(*_): return pickle.dumps(Equal())",
        ("import pickle\nassert pickle.loads(ends([1])) == [1]", "import pickle\nassert pickle.loads(f([1])) == [1]"),
    ),
    "reduces to code": (
        "class Evil:\n    def __reduce__(self): return os._exit, (0,)\n    __reduce_ex__ = lambda self, _: self.__reduce__()\ndef f(*_): return Evil()",
        ("import copy\nassert copy.copy(f(1)) == 2", "import copy\nassert copy.deepcopy(f(1)) == 2",
         "import pickle\nassert pickle.loads(pickle.dumps(f(1))) == 2"),
    ),
    "names of functions to call": (
        "def f(*_): return '_exit'\ndef module(*_): return 'os'",
        ("import importlib\nassert getattr(importlib.import_module(module()), f())(0) == 1",),
    ),
}  # fmt: skip

PROGRAMS: Programs = {**EXITS, **PATCHES, **SWALLOWS, **TEXTS}
