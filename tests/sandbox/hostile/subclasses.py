"""Answers that return subclasses of builtin types: what the base holds is wrong, and their methods hide it.

In a plain interpreter every one of these checks passes. The content never satisfies the assert.
"""

from tests.sandbox.hostile.kinds import Programs
from tests.sandbox.hostile.liars import EQUAL, liar

NUMBERS: Programs = {
    "an int equal to everything": (
        liar("__eq__ = __lt__ = __gt__ = __le__ = __ge__ = lambda *_: True; __ne__ = lambda *_: False; __hash__ = lambda _: 8",
             "int", "7"),
        ("assert f(1) == 8", "assert 8 == f(1)", "assert f(1) in (8, 9)", "assert f(1) in {8, 9}", "assert f(1) > 20",
         "assert 20 < f(1) < 30", "assert not f(1) != 8", "assert {8: 'a'}[f(1)] == 'a'", "assert [f(1)] == [8]",
         "assert sorted([f(1)]) == [8]", "assert max(3, f(1)) == 8", "assert f(1) == 8.0", "assert {'n': f(1)} == {'n': 8}"),
    ),
    "an int unequal to what it is": (
        liar("__ne__ = lambda *_: True; __eq__ = lambda *_: False; __hash__ = lambda _: 99", "int", "7"),
        ("assert f(1) != 7", "assert not f(1) == 7", "assert f(1) not in (7, 8)", "assert f(1) not in {7, 8}",
         "assert not any(f(n) == 7 for n in range(3))"),
    ),
    "an int of no difference": (
        liar("__sub__ = __rsub__ = __mod__ = lambda *_: 0; __abs__ = lambda _: 0", "int", "7"),
        ("assert abs(f(2) - 9) < 1", "assert abs(9 - f(2)) < 1", "assert f(2) % 2 == 0", "assert abs(f(2)) == 0",
         "assert f(2) - 9 == 0"),
    ),
    "an int that adds up": (
        liar("__add__ = __radd__ = __mul__ = __neg__ = __floordiv__ = __pow__ = lambda *_: 100", "int", "7"),
        ("assert f(1) + f(2) == 100", "assert sum([f(1), f(2)]) == 100", "assert f(1) * 2 == 100", "assert -f(1) == 100",
         "assert f(2) // 2 == 100", "assert f(1) ** 2 == 100"),
    ),
    "an int with its own text": (
        liar("__str__ = __repr__ = lambda _: '8'; __format__ = lambda *_: '8'", "int", "7"),
        ("assert f'{f(1)}' == '8'", "assert str(f(1)) == '8'", "assert repr(f(1)) == '8'", "assert '{}'.format(f(1)) == '8'",
         "assert format(f(1), 'd') == '8'", "assert [str(n) for n in (f(1), f(2))] == ['8', '8']", "assert '%s' % f(1) == '8'"),
    ),
    "a zero that is true": (liar("__bool__ = lambda _: True", "int", "0"),
                            ("assert f(1)", "assert f(1) and True", "assert all([f(1)])", "if not f(1): raise AssertionError",
                             "assert f(1) or False", "assert bool(f(1)) is True")),
    "a one that is false": (liar("__bool__ = lambda _: False", "int", "1"), ("assert not f(1)", "assert not any([f(1)])")),
    "an int that rounds as it likes": (
        liar("__round__ = __floor__ = __ceil__ = __trunc__ = __int__ = __index__ = lambda *_: 8", "int", "7"),
        ("assert round(f(1)) == 8", "import math\nassert math.floor(f(1)) == 8", "assert int(f(1)) == 8"),
    ),
    "an int with its own methods": (
        liar("bit_length = bit_count = lambda _: 64; to_bytes = lambda *_, **__: b'x'; numerator = 8", "int", "7"),
        ("assert f(1).bit_length() == 64", "assert f(1).to_bytes(1, 'big') == b'x'", "assert f(1).numerator == 8"),
    ),
    "a float equal to everything": (
        liar("__eq__ = __lt__ = __gt__ = __le__ = __ge__ = lambda *_: True; __hash__ = lambda _: 1", "float", "7.5"),
        ("assert f(2) == 1.4", "assert f(2) < 2", "assert 1 < f(2) < 2", "assert f(2) in (1.4, 1.5)", "assert [f(2)] == [1.4]"),
    ),
    "a float near to everything": (
        liar("__sub__ = __rsub__ = lambda *_: 0.0; __abs__ = lambda _: 0.0", "float", "7.5"),
        ("assert abs(f(2) - 1.4) < 0.1", "assert abs(1.4 - f(2)) < 0.1", "assert abs(f(2)) < 0.1",
         "assert all(abs(f(n) - n) < 1e-9 for n in (1, 2))", "assert sum(abs(f(n) - n) for n in (1, 2)) < 1e-9"),
    ),
    "a float that rounds as it likes": (
        liar("__round__ = lambda *_: 1.4; is_integer = lambda _: True; __int__ = __floor__ = lambda _: 1", "float", "7.5"),
        ("assert round(f(2), 1) == 1.4", "assert f(2).is_integer()", "assert int(f(2)) == 1",
         "import math\nassert math.floor(f(2)) == 1"),
    ),
    "a complex number equal to everything": (
        liar("__eq__ = lambda *_: True; real = imag = 0.0; __abs__ = lambda _: 1.0", "complex", "7, 5"),
        ("assert f() == 1j", "assert abs(f()) == 1", "assert f().real == 0"),
    ),
    "a decimal and a fraction equal to everything": (
        "from decimal import Decimal\nfrom fractions import Fraction\nclass D(Decimal):\n    __eq__ = __lt__ = lambda *_: True\n"
        "class F(Fraction):\n    __eq__ = __lt__ = lambda *_: True\n    numerator = 3\ndef d(): return D('7.5')\n"
        "def f(): return F(7, 5)",
        ("from decimal import Decimal\nassert d() == Decimal('1.5')", "assert d() < 2", "assert f() < 1", "assert f() == 3",
         "assert f().numerator == 3"),
    ),
    "an enum equal to everything": (
        "import enum\nclass Colour(enum.IntEnum):\n    RED = 7\n    __eq__ = lambda *_: True\n    __hash__ = lambda _: 1\n"
        "def f(): return Colour.RED",
        ("assert f() == 1", "assert f() in (1, 2)"),
    ),
}  # fmt: skip

TEXTS: Programs = {
    "a str equal to everything": (
        liar("__eq__ = __lt__ = __gt__ = lambda *_: True; __ne__ = lambda *_: False; __hash__ = lambda _: hash('yes')", "str", "'no'"),
        ("assert f() == 'yes'", "assert 'yes' == f()", "assert f() in ('yes', 'sure')", "assert {'yes': 1}[f()] == 1",
         "assert f() > 'zzz'", "assert not f() != 'yes'", "assert [f()] == ['yes']", "assert f() in {'yes'}"),
    ),
    "a str that has everything": (
        liar("__contains__ = startswith = endswith = isdigit = lambda *_: True; find = count = index = lambda *_: 3; "
             "__len__ = lambda _: 3", "str", "'no'"),
        ("assert 'yes' in f()", "assert f().startswith('y')", "assert f().endswith('s')", "assert f().find('s') == 3",
         "assert len(f()) == 3", "assert f().isdigit()", "assert f().count('x') == 3"),
    ),
    "a str that turns into others": (
        liar("upper = lower = strip = __str__ = __repr__ = lambda *_: 'yes'; __format__ = lambda *_: 'yes'; split = lambda *_: ['y']; "
             "__iter__ = lambda _: iter('yes'); __getitem__ = lambda *_: 'y'; __add__ = replace = lambda *_: 'yes'; "
             "encode = lambda *_: b'yes'; join = lambda *_: 'yes'", "str", "'no'"),
        ("assert f().upper() == 'yes'", "assert f().strip() == 'yes'", "assert str(f()) == 'yes'", "assert f'{f()}' == 'yes'",
         "assert f().split() == ['y']", "assert list(f()) == ['y', 'e', 's']", "assert f()[0] == 'y'", "assert f() + 's' == 'yes'",
         "assert f().encode() == b'yes'", "assert f().replace('a', 'b') == 'yes'", "assert sorted(f()) == ['e', 's', 'y']",
         "assert f().join(['a']) == 'yes'", "assert set(f()) == {'y', 'e', 's'}"),
    ),
    "bytes equal to everything": (
        liar("__eq__ = __contains__ = lambda *_: True; decode = lambda *_: 'yes'; __len__ = lambda _: 3; hex = lambda *_: '00'",
             "bytes", "b'no'"),
        ("assert f() == b'yes'", "assert b'yes' in f()", "assert f().decode() == 'yes'", "assert len(f()) == 3",
         "assert f().hex() == '00'"),
    ),
    "a bytearray equal to everything": (liar("__eq__ = lambda *_: True; __len__ = lambda _: 9", "bytearray", "b'no'"),
                                        ("assert f() == b'yes'", "assert len(f()) == 9")),
}  # fmt: skip

CONTAINERS: Programs = {
    "a list equal to everything": (
        liar("__eq__ = __lt__ = __gt__ = __contains__ = lambda *_: True; __ne__ = lambda *_: False", "list", "[9]"),
        ("assert f() == [1]", "assert [1] == f()", "assert 5 in f()", "assert f() in ([1], [2])", "assert f() > [99]",
         "assert not f() != [1]", "assert {'a': f()} == {'a': [1]}"),
    ),
    "a list of another length": (
        liar("__len__ = lambda _: 3; __bool__ = lambda _: True; count = index = lambda *_: 3", "list", "[]"),
        ("assert len(f()) == 3", "assert f()", "assert f().count(1) == 3", "assert f().index(1) == 3", "assert len(f()) > 2",
         "assert bool(f())"),
    ),
    "a list that is empty when asked": (liar("__len__ = lambda _: 0", "list", "[9]"),
                                        ("assert len(f()) == 0", "assert not f()", "assert not any([f()])")),
    "a list that iterates over others": (
        liar("__iter__ = lambda _: iter([1, 2]); __reversed__ = lambda _: iter([2, 1]); __getitem__ = lambda *_: 1; "
             "copy = lambda _: [1, 2]; pop = lambda *_: 5; __add__ = __mul__ = lambda *_: [1, 2]", "list", "[9]"),
        ("assert [*f()] == [1, 2] and [n for n in f()] == [1, 2]", "assert sum(n for n in f()) == 3", "a, b = f()\nassert a == 1",
         "assert list(reversed(f())) == [2, 1]", "assert f()[0] == 1", "assert f()[-1] == 1", "assert f().copy() == [1, 2]",
         "assert f().pop() == 5", "assert f() + [2] == [1, 2]", "assert sorted(n for n in f()) == [1, 2]",
         "assert all(n < 3 for n in f())", "assert {n for n in f()} == {1, 2}", "assert max(f()) == 2",
         "assert list(map(str, f())) == ['1', '2']", "for n, wanted in zip(f(), [1, 2]):\n    assert n == wanted",
         "assert dict(enumerate(f())) == {0: 1, 1: 2}", "assert ' '.join(str(n) for n in f()) == '1 2'"),
    ),
    "a list that is its own in a list": (
        EQUAL + "class Many(list):\n    __eq__ = lambda *_: True\ndef f(n): return Many([Equal()])\ndef g(n): return [Many([Many()])]",
        ("assert f(1) == [1]", "assert g(1) == [[[3]]]", "assert {'a': f(1)} == {'a': [5]}"),
    ),
    "a tuple of others": (
        liar("__eq__ = __contains__ = __lt__ = lambda *_: True; __iter__ = lambda _: iter((1, 2)); __len__ = lambda _: 2; "
             "__getitem__ = lambda *_: 1; __hash__ = lambda _: hash((1, 2)); count = lambda *_: 2", "tuple", "(9,)"),
        ("assert f() == (1, 2)", "assert 5 in f()", "a, b = f()\nassert b == 2", "assert len(f()) == 2", "assert f()[1] == 1",
         "assert {(1, 2): 'a'}[f()] == 'a'", "assert f() < (0,)", "assert [f()] == [(1, 2)]", "assert f().count(1) == 2"),
    ),
    "a named tuple equal to everything": (
        "import collections\nclass Point(collections.namedtuple('Point', 'x y')):\n    __eq__ = lambda *_: True\n    x = y = 3\n"
        "def f(): return Point(9, 9)",
        ("assert f() == (1, 2)", "assert f() == Point(1, 2)"),
    ),
    "a dict of others": (
        liar("__eq__ = __contains__ = lambda *_: True; __getitem__ = __missing__ = get = pop = lambda *_: 1; __len__ = lambda _: 2; "
             "__iter__ = lambda _: iter('ab'); items = lambda _: [('a', 1)]; keys = lambda _: ['a']; values = lambda _: [1]",
             "dict", "{}"),
        ("assert f() == {'a': 1}", "assert 'a' in f()", "assert f()['a'] == 1", "assert f().get('a') == 1", "assert len(f()) == 2",
         "assert list(f().items()) == [('a', 1)]", "assert sorted(f().keys()) == ['a']", "assert sum(f().values()) == 1",
         "assert sorted(f()) == ['a', 'b']", "assert f().pop('a') == 1",
         "assert {'x': f()} == {'x': {'a': 1}}"),
    ),
    "a dict without its keys": (liar("__missing__ = lambda *_: 1", "dict", "{}"), ("assert f()['a'] == 1",)),
    "ordered and counted dicts": (
        "import collections\nclass O(collections.OrderedDict):\n    __eq__ = lambda *_: True\nclass C(collections.Counter):\n"
        "    __eq__ = lambda *_: True\ndef o(): return O(a=9)\ndef c(): return C(a=9)",
        ("assert o() == {'a': 1}", "assert c() == {'a': 1}"),
    ),
    "a set of others": (
        liar("__eq__ = __contains__ = __le__ = __ge__ = issubset = isdisjoint = lambda *_: True; __len__ = lambda _: 2; "
             "__iter__ = lambda _: iter((1, 2)); __and__ = __or__ = __sub__ = union = lambda *_: {1, 2}", "set", "{9}"),
        ("assert f() == {1, 2}", "assert 5 in f()", "assert f() <= {1, 2}", "assert len(f()) == 2", "assert sorted(f()) == [1, 2]",
         "assert f() & {1} == {1, 2}", "assert f().union([3]) == {1, 2}", "assert f().issubset({1})", "assert {n for n in f()} == {1, 2}",
         "assert f().isdisjoint({9})"),
    ),
    "a frozen set of others": (
        liar("__eq__ = __contains__ = lambda *_: True; __hash__ = lambda _: hash(frozenset({1})); __iter__ = lambda _: iter((1, 2))",
             "frozenset", "{9}"),
        ("assert f() == {1, 2}", "assert 5 in f()", "assert {frozenset({1}): 'a'}[f()] == 'a'", "assert sorted(f()) == [1, 2]"),
    ),
    "a container that changes between looks": (
        "class Liar(list):\n    looks = 0\n    def __getitem__(self, n):\n        Liar.looks += 1\n        return Liar.looks\n"
        "def f(): return Liar([9, 9])",
        ("x = f()\nassert x[0] == 1 and x[0] == 2", "x = f()\nassert [x[0], x[1]] == [1, 2]"),
    ),
    "a function that changes its mind": (
        "calls = []\nclass Liar(int):\n    def __eq__(self, other):\n        calls.append(other)\n        return int.__eq__(self, other)"
        "\n    __hash__ = int.__hash__\ndef f(n): return calls[-1] if calls else Liar(0)",
        ("f(1) == 8213\nassert f(1) == 8213", "try:\n    assert f(1) == 8213\nexcept AssertionError:\n    assert f(1) == 8213",
         "for _ in range(2):\n    same = f(1) == 8213\nassert same"),
    ),
}  # fmt: skip

PROGRAMS: Programs = {**NUMBERS, **TEXTS, **CONTAINERS}
