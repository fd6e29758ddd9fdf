"""Wrong answers that a plain interpreter fails, and that a judge passes if it works on copies or on stand-ins of their values.

A copy has its own identity and no aliases; a stand-in for an object has methods that the object has not.
"""

from tests.sandbox.hostile.kinds import Programs

COPIES: Programs = {
    "gives back what it was given": (
        "def f(items): return items\ndef g(items): return [items]\ndef h(made): return made\ndef make(): return object()",
        ("items = [1, 2]\nassert f(items) == [1, 2] and f(items) is not items", "items = {'a': 1}\nassert f(items) is not items",
         "items = {1}\nother = f(items)\nother.add(2)\nassert items == {1}", "items = [1]\ncopy = f(items)\ncopy.append(2)\nassert items == [1]",
         "items = [[1]]\ncopy = f(items)\ncopy[0].append(2)\nassert items == [[1]]", "a = make()\nassert h(a) is not a",
         "items = [1]\nassert g(items)[0] is not items"),
    ),
    "sorts its argument in place": (
        "def f(items):\n    items.sort()\n    return items\ndef g(pairs):\n    pairs['b'] = 2\n    return pairs\n"
        "def h(rows):\n    rows[0].append(9)\n    return rows",
        ("items = [3, 1]\nassert f(items) == [1, 3]\nassert items == [3, 1]", "pairs = {'a': 1}\nassert g(pairs)['b'] == 2\nassert pairs == {'a': 1}",
         "rows = [[1]]\nassert h(rows) == [[1, 9]]\nassert rows == [[1]]"),
    ),
    "rows that are one row": (
        "def f(n): return [[0] * n] * n\ndef g(n): return dict.fromkeys(range(n), [])\ndef h(): \n    row = [1]\n    return (row, row)",
        ("grid = f(2)\ngrid[0][0] = 1\nassert grid == [[1, 0], [0, 0]]", "grid = f(2)\ngrid[0][0] = 1\nassert grid[1][0] == 0",
         "lists = g(2)\nlists[0].append(1)\nassert lists[1] == []", "a, b = h()\na.append(2)\nassert b == [1]", "a, b = h()\nassert a is not b"),
    ),
    "a default that is shared": (
        "def f(n, seen=[]):\n    seen.append(n)\n    return seen\ndef g(key, table={}):\n    table[key] = 1\n    return table",
        ("a = f(1)\nf(2)\nassert a == [1]", "a = g('x')\ng('y')\nassert a == {'x': 1}", "a = f(1)\na.clear()\nassert f(2) == [1, 2]",
         "assert f(1) is not f(2)"),
    ),
    "hands out its own state": (
        "class Stack:\n    def __init__(self): self.items = []\n    def push(self, item): self.items.append(item)\n"
        "    def all(self): return self.items\ndef f(): return Stack()",
        ("s = f()\ns.push(1)\ns.all().append(2)\nassert s.all() == [1]", "s = f()\nbefore = s.all()\ns.push(1)\nassert before == []",
         "s = f()\ns.items.append(5)\nassert s.items == []", "s = f()\nassert s.all() is not s.all()"),
    ),
    "keeps what it was given": (
        "class Box:\n    def __init__(self, items): self.items = items\n    def get(self): return self.items\ndef f(items): return Box(items)",
        ("items = [1]\nbox = f(items)\nitems.append(2)\nassert box.get() == [1]", "items = {}\nbox = Box(items)\nitems['a'] = 1\nassert box.get() == {}"),
    ),
    "one object for all": (
        "class One:\n    made = None\n    def __new__(cls, *_):\n        cls.made = cls.made or object.__new__(cls)\n        return cls.made\n"
        "def f(): return One()",
        ("assert f() is not f()", "assert One(1) is not One(2)", "a, b = f(), f()\nassert a is not b", "assert len({id(f()), id(f())}) == 2",
         "a = f()\na.size = 1\nassert not hasattr(f(), 'size')"),
    ),
}  # fmt: skip

STANDINS: Programs = {
    "an object that can do nothing": (
        "class Nothing: pass\ndef f(*_): return Nothing()",
        ("assert callable(f(1))", "assert hasattr(f(1), 'name')", "assert hasattr(f(1), '__len__')", "assert hasattr(f(1), '__iter__')",
         "assert hasattr(f(1), '__getitem__')", "assert hasattr(f(1), '__enter__')", "assert getattr(f(1), 'name', None) is not None",
         "from collections.abc import Callable\nassert isinstance(f(1), Callable)", "from collections.abc import Iterable\nassert isinstance(f(1), Iterable)",
         "from collections.abc import Sized, Container\nassert isinstance(f(1), (Sized, Container))",
         "from collections.abc import Iterator\nassert isinstance(f(1), Iterator)", "import inspect\nassert inspect.isroutine(f(1))",
         "assert '__call__' in dir(f(1))", "assert iter(f(1))", "assert len(f(1)) == 0", "assert list(f(1)) == []", "assert f(1)() is None",
         "assert f(1)[0] is None", "assert 1 not in f(1)", "assert f(1) < f(2) or f(1) >= f(2)", "with f(1):\n    pass",
         "assert not isinstance(f(1), Nothing)", "assert f(1) != f(1) and type(f(1)) is not type(f(2))"),
    ),
    "an object that cannot be hashed or iterated twice": (
        "class Nothing:\n    __hash__ = None\n    def __eq__(self, other): return self is other\ndef f(*_): return Nothing()\n"
        "def g(*_): return iter([1, 2])",
        ("from collections.abc import Hashable\nassert isinstance(f(1), Hashable)", "assert hash(f(1)) is not None", "assert {f(1): 1}",
         "items = g()\nassert list(items) == list(items)", "items = g()\nassert sorted(items) == [1, 2] and sum(items) == 3",
         "assert g()[0] == 1", "assert len(g()) == 2"),
    ),
    "is none of the types": (
        "def f(*_): return object()\ndef g(*_): return None\ndef text(*_): return '5'\ndef number(*_): return 5.5",
        ("assert f(1) is None", "assert g(1) is not None", "assert isinstance(f(1), (int, str, list, dict, type(None)))",
         "assert text(1) == 5", "assert isinstance(text(1), int)", "assert number(1) == '5.5'", "assert text(1) < 6", "assert g(1) < 1",
         "assert not f(1)", "assert text(1) in [5]", "assert isinstance(number(1), int)", "assert f(1) in [None]", "assert g(1) in (0, False)"),
    ),
    "is nothing but near": (
        "def nan(*_): return float('nan')\ndef many(*_): return (1, 2)\ndef keys(*_): return {'a': 1}.keys()\ndef zero(*_): return -0.0",
        ("assert nan(1) == nan(2)", "assert abs(nan(1) - 1) < 1", "assert not nan(1) != nan(1)", "assert many(1) == [1, 2]",
         "assert keys(1) == ['a']", "assert isinstance(many(1), list)", "assert isinstance(keys(1), list)", "assert str(zero(1)) == '0.0'",
         "assert 0 <= nan(1) or nan(1) <= 0", "assert sorted([nan(1), 1.0])[0] == nan(1)", "import math\nassert math.isclose(nan(1), nan(1))"),
    ),
    "has no such name": (
        "def f(n): return n",
        ("assert missing(1) == 1", "assert f.missing == 1", "assert answer.f(2) == 3", "assert f(1).missing", "assert f == 1", "assert f(1, 2) == 1",
         "from answer import missing\nassert missing", "assert f(n=1, m=2) == 1", "assert f.__name__ == 'g'", "assert f() is None"),
    ),
}  # fmt: skip

PROGRAMS: Programs = {**COPIES, **STANDINS}
