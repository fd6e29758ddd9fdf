"""Which names of a check mean the code under test, and what a check may ask of its objects."""

import pytest

from warrior_dagster.sandbox.host import Outcome
from warrior_dagster.sandbox.isolation import IsolationError, ResourceLimits
from warrior_dagster.sandbox.pool import Program, run_all

OBJECTS = """
import collections, enum
class Account:
    total = 0
    def __init__(self, name, start=0): self.name, self.total = name, start
    def add(self, amount): self.total += amount; return self
    def __getitem__(self, key): return self.name[key]
    def __setitem__(self, key, value): self.name = value
    def __len__(self): return len(self.name)
    def __iter__(self): return iter(self.name)
    def __str__(self): return f"{self.name}: {self.total}"
    def __repr__(self): return "Account"
    def __contains__(self, item): return True
    def __bool__(self): return True
    def __eq__(self, other): return True
    def __add__(self, other): return 0
    __radd__ = __sub__ = __rsub__ = __abs__ = __lt__ = __gt__ = __float__ = __round__ = lambda self, *_: 1.0
    __hash__ = lambda self: 1
    __class__ = property(lambda self: str)
def same(value): return value
def fill(items): items.append(1); return None
def drain(items):
    while items: yield items.pop()
def counts(): return {"b": {1, 2}, "a": [(1, 2)]}
account = Account("ann", 5)
LIMIT = 7
def call_twice(function): return [function(1), function(2)]
def total(numbers): return sum(numbers)
Pair = collections.namedtuple("Pair", "left right")
def pair(): return Pair(1, [2])
class Vector(list):
    def norm(self): return sum(n * n for n in self) ** 0.5
    def append(self, item): pass
    __len__ = lambda self: 9
def vector(*items): return Vector(items)
class Level(enum.IntEnum):
    LOW = 1
class Colour(enum.Enum):
    RED = "r"
def words(text): return collections.Counter(text.split())
def groups(): return collections.defaultdict(list, a=[1])
Everything = Exception
class Own(ValueError): pass
def refuse(): raise Own("no")
"""
USES: tuple[tuple[str, Outcome], ...] = (
    ("assert Account('bob').add(2).add(3).total == 5", "passed"),
    ("assert account.total == LIMIT - 2 and account.name == 'ann'", "passed"),
    ("assert len(account) == 3 and account[0] == 'a' and list(account) == ['a', 'n', 'n']", "passed"),
    ("assert str(account) == 'ann: 5' and f'{account!r}' == 'Account' and f'{account:>8}' == '  ann: 5'", "passed"),
    ("account.total = 9\naccount['x'] = 'bo'\nassert account.total == 9 and len(account) == 2", "passed"),
    ("assert [a.total for a in same([account, account])] == [5, 5]", "passed"),
    ("assert same(account) is account and account in [account]", "passed"),
    ("assert hasattr(account, 'name') and not hasattr(account, 'age')", "passed"),
    ("items = []\nfill(items)\nassert items == [1]", "passed"),
    ("items = [1, 2]\nassert list(drain(items)) == [2, 1]", "passed"),
    ("assert counts() == {'a': [(1, 2)], 'b': {2, 1}}", "passed"),
    ("assert call_twice(lambda n: n + LIMIT) == [8, 9] and call_twice(str) == ['1', '2']", "passed"),
    ("assert total(n for n in range(4)) == 6 and total(range(4)) == 6 and total({1: 2}.keys()) == 1", "passed"),
    ("assert total(n for n in range(4)) == 6 and total(iter([1, 2])) == 3 and total(range(4)) == 6", "passed"),
    ("seen = []\ncall_twice(lambda n: seen.append(n))\nassert seen == [1, 2]", "passed"),
    ("assert account", "abstained"),
    ("assert not account", "abstained"),
    ("assert account == account and account in [account]", "passed"),
    ("assert account == Account('ann')", "abstained"),
    ("import datetime\nassert account == datetime.date(2024, 1, 1)", "abstained"),
    ("assert account == 'ann'", "failed"),
    ("assert account != 'ann'", "abstained"),
    ("assert account in ('ann', 5)", "failed"),
    ("assert account not in ('ann', 5)", "abstained"),
    ("assert 'x' in account", "abstained"),
    ("assert account > 1", "abstained"),
    ("assert abs(account - 1.0) < 2", "abstained"),
    ("assert 1.0 - account == 1.0", "abstained"),
    ("assert round(account, 2) == 1.0", "abstained"),
    ("assert float(account) == 1.0", "abstained"),
    ("assert sum([account]) == 0", "abstained"),
    ("assert {account: 1}", "abstained"),
    ("assert isinstance(account, str)", "failed"),
    ("assert not isinstance(account, str)", "abstained"),
    ("assert isinstance(account, str | int)", "failed"),
    ("assert isinstance(account, Account)", "abstained"),
    ("assert isinstance(5, Account)", "abstained"),
    ("assert type(account) == type(Account('x'))", "abstained"),
    ("assert account.__class__ == str", "abstained"),
    ("assert sorted([account, account])", "abstained"),
    ("assert account or True", "abstained"),
    ("assert [account] == ['ann']", "failed"),
    ("assert [account] != ['ann']", "abstained"),
    ("assert {'a': account} == {'a': 'ann'}", "failed"),
    (
        "assert pair().left == 1 and pair() == (1, [2]) and pair() == Pair(1, [2]) and pair()._asdict()['right'] == [2]",
        "passed",
    ),
    ("assert type(pair()) is type(Pair(1, 2))", "abstained"),
    ("assert isinstance(pair(), tuple) and [p.left for p in same([pair()])] == [1]", "passed"),
    ("assert vector(3, 4) == [3, 4] and vector(3, 4).norm() == 5.0", "passed"),
    ("assert len(vector(3)) == 1", "abstained"),
    ("v = vector(3)\nv.append(4)\nassert v == [3]", "abstained"),
    ("v = vector(3)\nv.insert(1, 4)\nassert same(v) is v and v.norm() == 5.0", "passed"),
    ("assert Level.LOW == 1 and Level.LOW.name == 'LOW' and Level(1) < 2", "passed"),
    ("assert Colour.RED.value == 'r' and Colour('r').name == 'RED' and Colour('r') is Colour.RED", "passed"),
    ("assert words('a b a') == {'a': 2, 'b': 1} and words('a b a').most_common(1) == [('a', 2)]", "passed"),
    ("assert groups()['a'] == [1] and dict(groups()) == {'a': [1]}", "passed"),
    ("assert groups()['b'] == []", "abstained"),
    ("try:\n    total(None)\n    assert False\nexcept Everything:\n    pass", "abstained"),
    ("assert isinstance(total([1]), same(object))", "abstained"),
)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    """The outcome of each use, by its text."""
    return dict(zip([check for check, _ in USES], run(OBJECTS, *(check for check, _ in USES)), strict=True))


def run(code: str, *checks: str) -> tuple[Outcome, ...]:
    """The outcomes of some checks of some code."""
    try:
        (result,) = run_all([Program("key", code, checks)], ResourceLimits(5.0), workers=1)
    except IsolationError as error:
        pytest.skip(str(error))
    assert result.error == ""
    return result.outcomes


@pytest.mark.parametrize(("check", "outcome"), USES, ids=[check for check, _ in USES])
def test_objects_can_be_used_but_decide_nothing(outcomes: dict[str, Outcome], check: str, outcome: Outcome) -> None:
    assert outcomes[check] == outcome


@pytest.mark.parametrize(
    ("code", "check", "outcome"),
    [
        ("import math\ndef f(): return 1.4000000001", "assert math.isclose(f(), 1.4)", "passed"),
        ("def f(): return 1.4000000001", "assert math.isclose(f(), 1.4)", "passed"),
        ("import math as m\ndef f(): return 9.0", "assert m.floor(f()) == 9", "passed"),
        ("from math import isclose\ndef f(): return 2.0\nisclose = lambda *_: True", "assert isclose(f(), 1.4)", "failed"),
        ("from math import isclose as near\ndef near(*_): return True\ndef f(): return 2.0", "assert near(f(), 1.4)", "failed"),
        ("import math\nmath.isclose = lambda *_: True\ndef f(): return 2.0", "assert math.isclose(f(), 1.4)", "failed"),
        ("class math:\n    isclose = lambda *_: True\ndef f(): return 2.0", "assert math.isclose(f(), 1.4)", "failed"),
        ("from unittest.mock import ANY\nLIMIT = ANY", "assert LIMIT == 3", "failed"),
        ("from unittest.mock import ANY as LIMIT", "assert LIMIT == 3", "failed"),
        ("def abs(n): return 0\ndef f(): return 5", "assert abs(f() - 1) < 2", "failed"),
        ("def abs(n): return -n if n < 0 else n", "assert abs(-3) == 3", "passed"),
        ("def sorted(items): return items[::-1]", "assert sorted([1, 2]) == [2, 1]", "passed"),
        ("def isinstance(*_): return True\ndef f(): return 5", "assert isinstance(f(), str)", "failed"),
        ("def f(): return int", "assert f() is int and f() == int", "passed"),
        ("def f(): return [1]\ntrue = True", "assert f() == [True] and f()[0] is not true", "passed"),
        ("import collections\ndef f(t): return collections.Counter(t)", "assert f('aab') == Counter('aab')", "error"),
        ("from collections import Counter\ndef f(t): return Counter(t)", "assert f('aab') == Counter('aab')", "passed"),
    ],
)
def test_modules_and_builtins_of_a_check_are_its_own(code: str, check: str, outcome: Outcome) -> None:
    assert run(code, check) == (outcome,)


@pytest.mark.parametrize(
    "check",
    [
        "assert call_twice(lambda *a: a)[0] == (1,)",
        "assert call_twice([].append) == [None, None]",
        "import collections\nassert same(collections.deque([1])) == 1",
    ],
)
def test_what_a_check_cannot_give_to_the_code_makes_it_abstain_at_most(check: str) -> None:
    assert run(OBJECTS, check)[0] in ("passed", "abstained")


def test_the_code_reaches_nothing_of_the_check_through_a_function_that_it_gets() -> None:
    code = (
        "def f(function):\n    try:\n        return function.__globals__, function.__code__\n"
        "    except AttributeError:\n        return dir(function)"
    )
    check = "expected = 'a secret'\nassert expected not in str(f(lambda: expected))"
    assert run(code, check) == ("passed",)
