"""A pass means that plain values satisfied the check: random answers with methods that lie, against random asserts."""

import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from warrior_dagster.sandbox.isolation import ISOLATING_LEVELS, IsolationError, Level, ResourceLimits
from warrior_dagster.sandbox.pool import Program, run_in
from warrior_dagster.sandbox.probing import best_level


class Opaque:
    """What an object without plain content is to the model: equal to itself only, and neither true nor false."""

    def __bool__(self) -> bool:
        raise TypeError("an object without plain content")


class Value(NamedTuple):
    """What an answer returns: the expression that makes it, what of it is plain, and what may speak for itself."""

    source: str
    plain: Any
    lies: bool = False
    opaque: bool = False
    """Whether it is, or holds, an object whose own text, length or items are all that there is of it."""


COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "contains", "bool")
ARITHMETIC = ("sub", "rsub", "add", "radd", "mul", "mod", "abs", "neg", "round", "float", "int", "index", "len", "hash")
OTHERS = ("iter", "getitem", "str", "repr", "format", "getattr", "call", "reversed", "next", "array", "missing")
ATTRIBUTES = ("__class__ = property(lambda self: int)", "__class__ = str", "count = index = get = lambda *_: 1")
VERDICTS = ("True", "True", "True", "False", "self", "NotImplemented")
NUMBERS = ("0", "0.0", "1", "2", "self", "{expected}", "{expected}", "hash({expected})")
RESULTS = ("self", "{expected}", "str({expected})", "iter([1, 2])", "iter([{expected}])", "1", "''", "NotImplemented")
ATOMS = st.sampled_from([None, True, False, 0, 1, 2, 3, -1, 0.5, 1.0, 1.5, "", "1", "a", "b", b"a"])
FLAT = (
    ATOMS
    | st.lists(ATOMS, max_size=2)
    | st.tuples(ATOMS, ATOMS)
    | st.dictionaries(ATOMS, ATOMS, max_size=2)
    | st.sets(ATOMS, max_size=2)
)
PLAIN = FLAT | st.lists(FLAT, max_size=2)
FORMS = (
    "assert f() == {e}",
    "assert {e} == f()",
    "assert f() != {e}",
    "assert not f() == {e}",
    "assert not f() != {e}",
    "assert f() < {e}",
    "assert {e} <= f()",
    "assert {n} < f() < {m}",
    "assert f() in ({e}, {d})",
    "assert f() not in [{e}, {d}]",
    "assert {e} in f()",
    "assert {e} not in f()",
    "assert f() is None",
    "assert f() is not None",
    "assert isinstance(f(), int)",
    "assert isinstance(f(), (str, list, dict))",
    "assert not isinstance(f(), int)",
    "assert abs(f() - {n}) < 0.6",
    "assert abs({n} - f()) < 0.6",
    "assert math.isclose(f(), {n})",
    "assert round(f()) == {n}",
    "assert sorted(f()) == {e}",
    "assert set(f()) == {e}",
    "assert list(f()) == {e}",
    "assert len(f()) == {n}",
    "assert all(x == {e} for x in f())",
    "assert any(x == {e} for x in f())",
    "assert sum(f()) == {n}",
    "assert f()",
    "assert not f()",
    "assert f() == {e} or f() == {d}",
    "assert f() == {e} and f() != {d}",
    "assert (f() if f() else 5) == {e}",
    "assert f'{{f()}}' == {t!r}",
    "assert str(f()) == {t!r}",
    "assert '{{}}'.format(f()) == {t!r}",
    "assert {{1: 1, 0: 2, 'a': 3}}[f()] == {n}",
    "assert f()[0] == {e}",
    "assert f()[-1] != {e}",
    "a, b = f()\nassert a == {e}",
    "assert max(f(), {n}) == {m}",
    "assert f() + {e} == {d}",
    "for x in f():\n    assert x == {e}\nassert len(f()) > 0",
    "assert f().count({e}) == {n}",
    "assert f() is True",
    "assert f() * 2 == {e}",
    "try:\n    assert f() == {e}\nexcept TypeError:\n    raise ValueError",
    "if f() != {e}:\n    raise AssertionError",
    "assert -f() == {n}",
    "got = f()\nassert got == {e}, f'{{got}}'",
    "assert {{'a': f(), 'b': 1}} == {{'a': {e}, 'b': 1}}",
    "assert [f()] == [{e}]",
    "assert {e} == f() == {e}",
    "assert f() == {e} if True else False",
    "assert int(f()) == {n}",
    "assert dict(f()) == {e}",
    "assert f() % 2 == {n}",
    "assert bool(f()) is True",
)
OWN_WORD = (
    *("str(", "f'", "format(", "len(", "sorted(", "set(", "list(", "dict(", "sum(", "for x in f()", "f()[", "a, b = f()"),
    *("int(", "count(", "round(", "isclose("),
)
"""The forms that ask an object without plain content for what it alone can tell, such as its text or its items."""


@st.composite
def liars(draw: st.DrawFn, content: Value, expected: Any) -> Value:
    """A value whose class has random methods: a subclass of the type of its plain content, or of none."""
    base = type(content.plain).__name__
    if not isinstance(content.plain, int | float | str | bytes | list | tuple | dict | set) or draw(st.booleans()):
        base, content = "object", Value("", Opaque(), opaque=True)
    if base == "bool":
        base, content = "int", Value(content.source, int(content.plain))
    members = []
    for names, results in ((COMPARISONS, VERDICTS), (ARITHMETIC, NUMBERS), (OTHERS, RESULTS)):
        for name in draw(st.just(names) | st.lists(st.sampled_from(names), max_size=6, unique=True)):
            members.append(f"__{name}__ = lambda self, *_: {draw(st.sampled_from(results)).format(expected=repr(expected))}")
    members += draw(st.lists(st.sampled_from(ATTRIBUTES), max_size=1))
    made = f"made({base}, {'; '.join(members)!r})({content.source})"
    return Value(made, content.plain, lies=True, opaque=content.opaque)


@st.composite
def values(draw: st.DrawFn, expected: Any) -> Value:
    """A value that lies, or not, alone or in containers. Its plain content is often near to what is expected."""
    plain = draw(st.just(expected) | PLAIN | PLAIN | PLAIN)
    value = Value(repr(plain), plain)
    kind = draw(st.sampled_from(["plain", "liar", "liar", "liar", "list", "tuple", "dict"]))
    if kind == "plain":
        return value
    value = draw(liars(value, expected))
    if kind == "list":
        return Value(f"[{value.source}]", [value.plain], True, value.opaque)
    if kind == "tuple":
        return Value(f"(1, {value.source})", (1, value.plain), True, value.opaque)
    if kind == "dict":
        return Value(f"{{'a': {value.source}}}", {"a": value.plain}, True, value.opaque)
    return value


class Case(NamedTuple):
    """An answer's value and a check."""

    value: Value
    check: str


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A random value and a random assert about it."""
    expected, other = draw(PLAIN), draw(ATOMS)
    form = draw(st.sampled_from(FORMS))
    number, more = draw(st.integers(-1, 3)), draw(st.integers(1, 5))
    text = form.format(e=repr(expected), d=repr(other), n=number, m=more, t=str(expected))
    return Case(draw(values(expected)), ("import math\n" if "math" in form else "") + text)


CODE = """
def made(base, members):
    names = {}
    for member in members.split("; "):
        try: exec(member, names)
        except Exception: pass
    names.pop("__builtins__", None)
    return type("Liar", (base,), names)
def f(): return %s
"""


def holds(case: Case) -> bool:
    """Whether the check passes in plain Python when `f` returns the plain content."""
    try:
        exec(case.check, {"f": lambda: copy.deepcopy(case.value.plain), "math": math})
    except Exception:
        return False
    return True


def speaks_for_itself(case: Case) -> bool:
    """Whether the check asks an object for its own text, length or items, so that its class may answer."""
    iterates = " in f()" in case.check and ("__iter__" in case.value.source or "__getitem__" in case.value.source)
    return case.value.opaque and (iterates or any(form in case.check for form in OWN_WORD))


def outcomes(level: Level, batch: list[Case]) -> Iterator[tuple[Case, str]]:
    """Each case with what the sandbox says."""
    programs = [Program(str(number), CODE % case.value.source, (case.check,)) for number, case in enumerate(batch)]
    for result in run_in(level, programs, ResourceLimits(seconds=0.4), 2):
        yield batch[int(result.key)], result.outcomes[0]


@pytest.fixture(scope="module")
def level() -> Level:
    """The best level of this machine."""
    try:
        return best_level(ISOLATING_LEVELS)
    except IsolationError as error:
        pytest.skip(str(error))


@settings(max_examples=12, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(cases(), min_size=25, max_size=25))
def test_what_passes_holds_for_plain_values_and_plain_values_pass_where_it_holds(level: Level, batch: list[Case]) -> None:
    wrong = []
    for case, outcome in outcomes(level, batch):
        if outcome == "passed" and not holds(case) and not speaks_for_itself(case):
            wrong.append((case, outcome))
        if outcome != "passed" and not case.value.lies and holds(case):
            wrong.append((case, outcome))
    assert wrong == []
