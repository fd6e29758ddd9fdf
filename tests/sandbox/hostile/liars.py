"""Answers whose objects lie: in a plain interpreter every one of these checks passes, and none should.

The objects have no plain content, so nothing of them equals a number or a text. subclasses.py has those that have.
"""

from tests.sandbox.hostile.kinds import Programs

EQUAL = """
class Equal:
    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = __contains__ = lambda *_: True
    __ne__ = lambda *_: False
    __hash__ = lambda _: 1
"""
"""A class that agrees to every comparison."""


def liar(members: str, base: str = "", content: str = "") -> str:
    """The code of an answer whose `f` returns an instance of a class with these members, separated by semicolons."""
    return f"{EQUAL}\nclass Liar({base}):\n    {members}\ndef f(*_): return Liar({content})\n"


OPERATIONS = {
    "add": "f(1) + 1 == 3", "radd": "1 + f(1) == 3", "sub": "f(1) - 1 == 3", "rsub": "1 - f(1) == 3", "mul": "f(1) * 2 == 3",
    "rmul": "2 * f(1) == 3", "truediv": "f(1) / 2 == 3", "rtruediv": "6 / f(1) == 3", "floordiv": "f(1) // 2 == 3",
    "mod": "f(1) % 2 == 3", "rmod": "7 % f(1) == 3", "pow": "f(1) ** 2 == 3", "rpow": "2 ** f(1) == 3",
    "divmod": "divmod(f(7), 2) == (3, 1)", "and": "f(1) & 2 == 3", "ror": "4 | f(1) == 3", "xor": "f(1) ^ 2 == 3",
    "lshift": "f(1) << 2 == 3", "rshift": "f(1) >> 2 == 3", "matmul": "f(1) @ f(2) == 3", "neg": "-f(1) == 3",
    "pos": "+f(1) == 3", "invert": "~f(1) == 3", "abs": "abs(f(1)) == 3", "round": "round(f(1), 2) == 3.14",
    "floor": "__import__('math').floor(f(1)) == 3", "ceil": "__import__('math').ceil(f(1)) == 3",
    "trunc": "__import__('math').trunc(f(1)) == 3", "getitem": "f(1)['key'] == 3", "call": "f(1)(2) == 3",
    "getattr": "f(1).size == 3", "next": "next(f(1)) == 3", "enter": "__import__('contextlib').ExitStack().enter_context(f(1)) == 3",
    "copy": "__import__('copy').copy(f(1)) == 3", "deepcopy": "__import__('copy').deepcopy(f(1)) == 3",
    "missing": "f(1)['key'] == 3", "fspath": "f(1).__fspath__() == '/a'", "reversed": "reversed(f(1)) == [3, 2]",
    "class_getitem": "type(f(1))[int] == 3", "length_hint": "f(1).__length_hint__() == 3",
}  # fmt: skip
"""Special methods, each with an assert that rests on what it returns."""
BASES = {"missing": "dict"}
HELPERS = {"enter": "; __exit__ = lambda *_: None"}

OPERATORS: Programs = {
    f"gives an equal from {name}": (
        liar(f"__{name}__ = lambda *_: Equal()" + HELPERS.get(name, ""), BASES.get(name, "")),
        (f"assert {text}",),
    )
    for name, text in OPERATIONS.items()
}

COMPARISONS: Programs = {
    "equal to everything": (
        EQUAL + "def f(n): return Equal()",
        ("assert f(1) == 2", "assert 2 == f(1)", "assert f(1) in (1, 2)", "assert f(1) in [5]", "assert [f(1)] == [2]",
         "assert (1, f(1)) == (1, 2)", "assert {'a': f(1)} == {'a': 3}", "assert f(1) == sorted([2, 1])", "assert f(1) == None",
         "assert 2 == f(1) == 3", "assert [1, 2].count(f(1)) == 2", "assert [5, 6].index(f(1)) == 0", "assert f(1) == 'text'"),
    ),
    "unequal to nothing": (
        liar("__ne__ = lambda *_: False"),
        ("assert not f(1) != 2", "assert (f(1) != 2) is False", "if f(1) != 2: raise AssertionError",
         "for case in (1, 2):\n    if f(case) != case + 1:\n        raise AssertionError(case)"),
    ),
    "within every bound": (
        liar("__lt__ = __gt__ = __le__ = __ge__ = lambda *_: True"),
        ("assert f(1) > 0", "assert 0 < f(1) < 5", "assert 5 >= f(1) >= 4", "assert not 5 < 4 < f(1) and f(1) <= 0",
         "assert all(0 < f(n) < 1 for n in range(3))"),
    ),
    "near to everything": (
        liar("__sub__ = __rsub__ = lambda *_: 0.0"),
        ("assert abs(f(2) - 1.4) < 0.1", "assert abs(1.4 - f(2)) < 0.1", "assert -0.1 < f(2) - 1.4 < 0.1",
         "error = f(2) - 1.4\nassert abs(error) <= 1e-9", "assert max(abs(f(n) - n) for n in (1.5, 2.5)) < 1e-6"),
    ),
    "no size": (liar("__sub__ = __rsub__ = lambda self, _: self; __abs__ = lambda _: 0"),
                ("assert abs(f(2) - 1.4) < 0.1", "assert abs(f(2)) < 1e-9")),
    "has everything": (
        liar("__contains__ = lambda *_: True"),
        ("assert 3 in f()", "assert 'x' in f()", "assert all(n in f() for n in (1, 2, 3))", "assert 3 in f() and 'y' in f()",
         "assert not 3 not in f()"),
    ),
    "has nothing": (liar("__contains__ = lambda *_: False"), ("assert 3 not in f()", "assert not any(n in f() for n in (1, 2))")),
    "remembers what it is compared with": (
        "seen = []\nclass Spy:\n    def __eq__(self, other):\n        seen.append(other)\n        return False\n"
        "    def __contains__(self, item):\n        seen.append(item)\n        return True\n"
        "    def __getitem__(self, item):\n        seen.append(item)\ndef spy(): return Spy()\ndef f(): return seen[-1]",
        ("spy() == 8213\nassert f() == 8213", "8213 in spy()\nassert f() == 8213", "spy() != 8213\nassert f() == 8213",
         "[8213].count(spy())\nassert f() == 8213"),
    ),
    "hidden in plain containers": (
        EQUAL + "def inside(n): return [n, Equal()]\ndef key(): return {Equal(): 1}\ndef value(): return {'a': {'b': Equal()}}\n"
        "def pair(): return (1, Equal())\ndef member(): return {Equal()}\ndef deep(): return [[[[[Equal()]]]]]\n"
        "def yields():\n    yield Equal()\n    yield Equal()",
        ("assert inside(1) == [1, 2]", "assert key() == {1: 1}", "assert value() == {'a': {'b': 2}}", "assert pair() == (1, 2)",
         "assert member() == {1}", "assert deep() == [[[[[7]]]]]", "assert list(yields()) == [1, 2]", "assert 5 in yields()",
         "assert inside(1)[1] == 2", "a, b = pair()\nassert b == 2", "assert all(x == 3 for x in yields())",
         "assert 7 in inside(1)", "assert value()['a']['b'] == 2"),
    ),
    "iterates over equals": (
        liar("__iter__ = lambda _: iter([Equal(), Equal()])"),
        ("assert list(f()) == [1, 2]", "assert sorted(f()) == [1, 2]", "assert tuple(f()) == (5, 6)", "a, b = f()\nassert a == 3",
         "first, *rest = f()\nassert first == 1 and rest == [2]", "assert 3 in f()", "assert [*f()] == [1, 2]",
         "assert max(f()) == 9", "assert all(x == y for x, y in zip(f(), [1, 2]))", "assert dict(enumerate(f())) == {0: 1, 1: 2}",
         "for x in f():\n    assert x == 3"),
    ),
    "a sequence of equals": (
        liar("__len__ = lambda _: 2; __getitem__ = lambda self, n: Equal() if not isinstance(n, int) or n < 2 else [][0]"),
        ("assert f()[0] == 5", "assert f()[1:] == [2]", "assert list(f()) == [1, 2]", "assert f()[0] == f()[-1] == 3",
         "assert list(reversed(f())) == [2, 1]"),
    ),
    "has every attribute": (
        liar("__getattr__ = lambda self, name: Equal() if name == 'end' else self; __call__ = lambda self, *_, **__: self"),
        ("assert f().end == 'ann'", "assert f().a.b.end == 1", "assert f().method(3).end == 4", "assert f()(1)(2).end == 3"),
    ),
    "same hash as a number": (
        liar("__eq__ = lambda *_: True; __hash__ = lambda _: 1"),
        ("assert {1: 'a'}.get(f(1)) == 'a'", "assert f(1) in {1, 2}", "assert {1: 'a'}[f(1)] == 'a'", "assert {f(1)} == {1}",
         "assert len({f(1), f(2), f(3)}) == 1", "assert {f(1): 5} == {1: 5}", "assert f(1) in {1: 'a'}", "assert {f(1)} <= {1, 2}",
         "assert len(dict.fromkeys([f(1), f(2)])) == 1"),
    ),
    "true": (
        liar("__bool__ = lambda _: True"),
        ("assert f(1)", "assert f(1) and f(2)", "assert False or f(1)", "assert True if f(1) else False", "assert all([f(1), f(2)])",
         "assert any([0, f(1)])", "if not f(1): raise AssertionError", "assert not not f(1)", "assert bool(f(1)) is True",
         "assert [n for n in range(3) if f(n)] == [0, 1, 2]", "assert list(filter(f, [4, 5])) == [4, 5]",
         "assert len([*filter(None, [f(1)])]) == 1"),
    ),
    "false": (
        liar("__bool__ = lambda _: False"),
        ("assert not f(1)", "assert not f(1) and not f(2)", "assert not any([f(1), f(2)])", "assert (f(1) or 5) == 5",
         "if f(1): raise AssertionError", "assert bool(f(1)) is False", "while f(1): raise AssertionError"),
    ),
    "empty or not as it likes": (
        "class Liar:\n    calls = 0\n    def __bool__(self):\n        Liar.calls += 1\n        return Liar.calls % 2 == 1\n"
        "def f(*_): return Liar()",
        ("assert f(1) and not f(0)", "assert [bool(f(n)) for n in range(4)] == [True, False, True, False]"),
    ),
}  # fmt: skip

TYPES: Programs = {
    "says that it is an int": (
        liar("__class__ = property(lambda _: int)"),
        ("assert isinstance(f(1), int)", "assert isinstance(f(1), (int, str))", "assert f(1).__class__ is int",
         "assert issubclass(f(1).__class__, int)", "assert f(1).__class__ in (int, float)"),
    ),
    "says that it is a list": (liar("__class__ = list"), ("assert isinstance(f(1), list)", "assert f(1).__class__ == list")),
    "a class that all are instances of": (
        "class Meta(type):\n    __instancecheck__ = __subclasscheck__ = lambda *_: True\nclass Node(metaclass=Meta): pass\n"
        "def f(*_): return 7",
        ("assert isinstance(f(1), Node)", "assert isinstance('text', Node)", "assert issubclass(int, Node)",
         "assert all(isinstance(n, Node) for n in (f(1), f(2)))"),
    ),
    "a class equal to all": (
        "class Meta(type):\n    __eq__ = lambda *_: True\n    __hash__ = lambda _: hash(int)\n"
        "class Liar(metaclass=Meta): pass\ndef f(*_): return Liar()",
        ("assert type(f(1)) == int", "assert type(f(1)) in (int, float)", "assert type(f(1)) in {int: 1}",
         "assert [type(x) for x in (f(1), f(2))] == [int, str]"),
    ),
    "registered as a number": (
        liar("__float__ = lambda _: 3.0") + "import numbers\nnumbers.Number.register(Liar)\nnumbers.Integral.register(Liar)",
        ("import numbers\nassert isinstance(f(1), numbers.Number)", "import numbers\nassert isinstance(f(1), numbers.Integral)"),
    ),
    "registered as a mapping": (
        liar("pass") + "import collections.abc\ncollections.abc.Mapping.register(Liar)\ncollections.abc.Sequence.register(Liar)",
        ("from collections.abc import Mapping\nassert isinstance(f(1), Mapping)",
         "from collections.abc import Sequence\nassert isinstance(f(1), Sequence)"),
    ),
    "makes equals of its subclasses": (
        EQUAL + "class Meta(type):\n    __call__ = lambda *_: Equal()\nclass Animal(metaclass=Meta): pass",
        ("assert Animal() == 3", "class Dog(Animal):\n    sound = 'woof'\nassert Dog() == 'woof'"),
    ),
    "an equal for every base": (
        EQUAL + "class Base:\n    def __init_subclass__(cls): cls.size = lambda self: Equal()\n"
        "class Entries:\n    __mro_entries__ = lambda self, bases: (Base,)\ndef f(): return Entries()",
        ("class Own(Base):\n    def size(self): return 3\nassert Own().size() == 4",
         "class Own(f()):\n    def size(self): return 3\nassert Own().size() == 4"),
    ),
}  # fmt: skip

LIBRARY: Programs = {
    "mock.ANY": ("from unittest.mock import ANY\ndef f(*_): return ANY",
                 ("assert f(1) == 2", "assert [f(1)] == ['a']", "assert not f(1) != 2", "assert f(1) in (1, 2)")),
    "a magic mock": (
        "from unittest.mock import MagicMock\nf = MagicMock()\nf.return_value.__eq__ = lambda *_: True\n"
        "f.return_value.__lt__ = lambda *_: True\nf.return_value.__contains__ = lambda *_: True",
        ("assert f(1) == 2", "assert f(1)", "assert f(1) < 0", "assert 9 in f(1)", "assert f(1).ok"),
    ),
    "like an array": (
        liar("__array__ = lambda *_: Equal(); __eq__ = lambda self, _: self; all = any = __bool__ = lambda _: True; shape = (2, 2)"),
        ("assert (f(1) == [1, 2]).all()", "assert (f(1) == 2).any()", "assert f(1) == [1, 2]"),
    ),
    "a user list": (
        "import collections\nclass Liar(collections.UserList):\n    __eq__ = __contains__ = lambda *_: True\ndef f(): return Liar([1])",
        ("assert f() == [1, 2]", "assert 5 in f()"),
    ),
    "a deque of equals": (EQUAL + "import collections\ndef f(): return collections.deque([Equal()])",
                          ("assert list(f()) == [1]", "assert f()[0] == 2", "assert f().pop() == 2", "assert 3 in f()")),
    "a named tuple of equals": (
        EQUAL + "import collections\nPoint = collections.namedtuple('Point', 'x y')\ndef f(): return Point(Equal(), Equal())",
        ("assert f() == (1, 2)", "assert f().x == 1", "x, y = f()\nassert y == 2", "assert f()._asdict() == {'x': 1, 'y': 2}"),
    ),
    "a data class of equals": (
        EQUAL + "import dataclasses\n@dataclasses.dataclass\nclass Point:\n    x: object\ndef f(): return Point(Equal())",
        ("assert f() == Point(3)", "assert f().x == 3", "import dataclasses\nassert dataclasses.asdict(f()) == {'x': 3}"),
    ),
    "a fraction of equals": (
        EQUAL + "import fractions\ndef f():\n    made = fractions.Fraction(1, 2)\n"
        "    made._numerator = made._denominator = Equal()\n    return made",
        ("from fractions import Fraction\nassert f() == Fraction(2, 3)", "assert f().numerator == 2"),
    ),
    "arguments of an exception": (
        EQUAL + "def f(): raise ValueError(Equal())\nclass Own(ValueError):\n    code = Equal()\ndef own(): raise Own()",
        ("try:\n    f()\nexcept ValueError as error:\n    assert error.args == ('negative',)\nelse:\n    raise AssertionError",
         "try:\n    f()\nexcept ValueError as error:\n    assert error.args[0] == 'negative'\nelse:\n    raise AssertionError",
         "try:\n    own()\nexcept ValueError as error:\n    assert error.code == 404\nelse:\n    raise AssertionError"),
    ),
    "a coroutine": (EQUAL + "async def f(n): return Equal()", ("import asyncio\nassert asyncio.run(f(1)) == 2",)),
    "a generator that is sent values": (
        EQUAL + "def f():\n    while True: yield Equal()", ("g = f()\nnext(g)\nassert g.send(5) == 6", "assert next(f()) == 1"),
    ),
    "arguments of callbacks": (
        EQUAL + "def visit(items, see):\n    for _ in items: see(Equal())",
        ("seen = []\nvisit([1, 2], seen.append)\nassert seen == [1, 2]", "seen = []\nvisit([1], lambda x: seen.append(x == 1))\n"
         "assert seen == [True]"),
    ),
}  # fmt: skip

PROGRAMS: Programs = {**COMPARISONS, **TYPES, **LIBRARY, **OPERATORS}
