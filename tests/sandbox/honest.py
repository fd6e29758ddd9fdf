"""Right answers with checks as models write them: what holds in plain Python passes, or the check abstains."""

HONEST: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    'a class with methods': (
        "class Stack:\n    def __init__(self): self._i=[]\n    def push(self,x): self._i.append(x)\n    def pop(self):\n        if not self._i: raise IndexError('empty')\n        return self._i.pop()\n    def is_empty(self): return not self._i\n    def size(self): return len(self._i)\n    def __len__(self): return len(self._i)\n    def __contains__(self,x): return x in self._i\n    def __iter__(self): return iter(self._i)\n    def __bool__(self): return bool(self._i)\n    @property\n    def top(self): return self._i[-1]",
        (
            's = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2\nassert s.size() == 1 and len(s) == 1\nassert not s.is_empty()',
            's = Stack()\ntry:\n    s.pop()\n    assert False\nexcept IndexError:\n    pass',
            "s = Stack()\ntry:\n    s.pop()\nexcept IndexError as e:\n    assert 'empty' in str(e)\nelse:\n    raise AssertionError('no error')",
            's=Stack(); s.push(1); s.push(2)\nassert list(s) == [1,2] and s.top == 2',
        ),
        (
            's=Stack()\ns.push(3)\nassert 3 in s',
            's=Stack()\nassert not s',
        ),
    ),
    'a subclass of OrderedDict': (
        'from collections import OrderedDict\nclass LRUCache(OrderedDict):\n    def __init__(self, cap):\n        super().__init__()\n        self.cap = cap\n    def get(self, k):\n        if k not in self: return -1\n        self.move_to_end(k)\n        return self[k]\n    def put(self, k, v):\n        self[k] = v\n        self.move_to_end(k)\n        if len(self) > self.cap: self.popitem(last=False)',
        (
            'c = LRUCache(2)\nc.put(1,1)\nassert len(c) == 1 and c == {1:1} and 1 in c and c.cap == 2',
        ),
        (
            'c = LRUCache(2)\nc.put(1, 1)\nc.put(2, 2)\nassert c.get(1) == 1\nc.put(3, 3)\nassert c.get(2) == -1\nassert c.get(3) == 3',
        ),
    ),
    'a subclass of list': (
        'class MyList(list):\n    def total(self): return sum(self)\n    def append(self, x):\n        super().append(x * 2)',
        (
            'm = MyList([1,2])\nassert m.total() == 3 and m == [1,2]',
        ),
        (
            'm = MyList()\nm.append(2)\nassert m == [4]\nassert m.total() == 4',
        ),
    ),
    'exceptions': (
        "class InsufficientFundsError(Exception):\n    def __init__(self, balance, amount):\n        super().__init__(f'need {amount}, have {balance}')\n        self.balance, self.amount = balance, amount\nclass SubErr(InsufficientFundsError): pass\nclass Account:\n    def __init__(self, balance=0): self.balance = balance\n    def withdraw(self, n):\n        if n > self.balance: raise InsufficientFundsError(self.balance, n)\n        self.balance -= n\n    def w2(self): raise SubErr(1,2)",
        (
            'a=Account(5); a.withdraw(3)\nassert a.balance == 2',
            "e = InsufficientFundsError(1, 2)\nassert e.balance == 1 and str(e) == 'need 2, have 1'",
        ),
        (
            "a = Account(10)\ntry:\n    a.withdraw(20)\n    assert False, 'expected'\nexcept InsufficientFundsError:\n    pass",
            "a = Account(10)\ntry:\n    a.withdraw(20)\n    assert False, 'expected'\nexcept InsufficientFundsError as e:\n    assert e.balance == 10 and 'need 20' in str(e)",
            "a = Account(10)\ntry:\n    a.withdraw(20)\nexcept Exception as e:\n    assert type(e).__name__ == 'InsufficientFundsError'\n    assert isinstance(e, InsufficientFundsError)",
            'a = Account(10)\nraised = False\ntry:\n    a.w2()\nexcept (ValueError, InsufficientFundsError):\n    raised = True\nassert raised',
            'assert issubclass(InsufficientFundsError, Exception)',
        ),
    ),
    'a named tuple': (
        "from collections import namedtuple\nPoint = namedtuple('Point', ['x', 'y'])\ndef mid(a, b): return Point((a.x+b.x)/2, (a.y+b.y)/2)",
        (
            'p = mid(Point(0,0), Point(2,4))\nassert p.x == 1 and p.y == 2',
            'assert mid(Point(0,0), Point(2,4)) == (1, 2)',
            'assert mid(Point(0,0), Point(2,4)) == Point(1, 2)',
            "assert Point(1,2)._asdict() == {'x': 1, 'y': 2}",
        ),
        (
        ),
    ),
    'a typed named tuple': (
        'from typing import NamedTuple\nclass R(NamedTuple):\n    name: str\n    score: float = 0.0\ndef best(rs): return max(rs, key=lambda r: r.score)',
        (
            "assert best([R('a', 1.0), R('b', 2.0)]).name == 'b'",
            "assert best([R('a')]) == R('a')",
        ),
        (
        ),
    ),
    'a counter': (
        'from collections import Counter\ndef count(t): return Counter(t.split())\ndef top(t, n): return Counter(t.split()).most_common(n)',
        (
            "assert count('a b a')['a'] == 2",
            "assert count('a b a').most_common(1) == [('a', 2)]",
            "assert count('a b a') == {'a': 2, 'b': 1}",
            "from collections import Counter\nassert count('a b a') == Counter({'a': 2, 'b': 1})",
            "assert isinstance(count('a'), dict)",
            "assert top('a b a', 1) == [('a', 2)]",
        ),
        (
            "assert count('a b a')['zzz'] == 0",
            "from collections import Counter\nassert isinstance(count('a'), Counter)",
        ),
    ),
    'a default dict': (
        'from collections import defaultdict\ndef group(ws):\n    d = defaultdict(list)\n    for w in ws: d[len(w)].append(w)\n    return d',
        (
            "assert group(['a','bb','c']) == {1: ['a','c'], 2: ['bb']}",
            "d = group(['a'])\nassert dict(d) == {1: ['a']} and sorted(d.keys()) == [1]",
        ),
        (
            "assert group(['a'])[5] == []",
        ),
    ),
    'data classes': (
        'from dataclasses import dataclass, field, asdict\n@dataclass\nclass Item:\n    name: str\n    price: float\n    tags: list = field(default_factory=list)\n    def total(self, n=1): return self.price * n\n@dataclass(order=True, frozen=True)\nclass V:\n    x: int\n    y: int\n    def __add__(self, o): return V(self.x+o.x, self.y+o.y)',
        (
            "i = Item('a', 2.5)\nassert i.name == 'a' and i.total(2) == 5.0 and i.tags == []",
            'assert repr(Item(\'a\', 1.0)) == "Item(name=\'a\', price=1.0, tags=[])"',
            "i = Item('a', 1.0)\ni.tags.append('x')\nassert i.tags == ['x'] and Item('b', 1).tags == []",
            'v = V(1,2)\ntry:\n    v.x = 5\n    assert False\nexcept AttributeError:\n    pass',
            'from dataclasses import FrozenInstanceError\nv = V(1,2)\ntry:\n    v.x = 5\n    assert False\nexcept FrozenInstanceError:\n    pass',
            'assert max([V(2,1), V(1,2)], key=lambda v: v.y).x == 1',
        ),
        (
            'v = V(1,2) + V(3,4)\nassert v.x == 4 and v.y == 6',
            "assert Item('a', 1.0) == Item('a', 1.0)",
            'assert V(1,2) < V(2,1)',
            'assert V(1,2) + V(3,4) == V(4,6)',
            'assert len({V(1,2), V(1,2)}) == 1',
            'assert sorted([V(2,1), V(1,2)])[0].x == 1',
        ),
    ),
    'enums': (
        "from enum import Enum, IntEnum\nclass Color(Enum):\n    RED = 1\n    GREEN = 'g'\nclass Level(IntEnum):\n    LOW = 1\n    HIGH = 2\ndef pick(n): return Color.RED if n else Color.GREEN\ndef lvl(n): return Level.HIGH",
        (
            'assert pick(1) is Color.RED',
            "assert pick(0).value == 'g' and pick(0).name == 'GREEN'",
            "assert [c.name for c in Color] == ['RED', 'GREEN']",
            "assert Color(1) is Color.RED and Color['RED'] is Color.RED",
            'assert lvl(1) == Level.HIGH and lvl(1) > Level.LOW',
            "assert lvl(1).name == 'HIGH'",
            'assert len(Color) == 2',
            'assert pick(1) in (Color.RED, Color.GREEN)',
            'assert pick(1) == Color.RED',
        ),
        (
            'assert pick(1) != Color.GREEN',
            'assert isinstance(pick(1), Color)',
            'assert pick(1) in Color',
        ),
    ),
    'dates': (
        "from datetime import datetime, date, timedelta\ndef parse(s): return datetime.strptime(s, '%Y-%m-%d')\ndef day(s): return parse(s).date()\ndef diff(a, b): return parse(b) - parse(a)\ndef add(d, n): return d + timedelta(days=n)",
        (
            "assert diff('2024-01-01', '2024-01-03').days == 2",
            "assert parse('2024-01-02').year == 2024",
            "assert parse('2024-01-02').isoformat() == '2024-01-02T00:00:00'",
        ),
        (
            "from datetime import datetime\nassert parse('2024-01-02') == datetime(2024, 1, 2)",
            "from datetime import date\nassert day('2024-01-02') == date(2024, 1, 2)",
            "from datetime import timedelta\nassert diff('2024-01-01', '2024-01-03') == timedelta(days=2)",
            'from datetime import date\nassert add(date(2024,1,31), 1) == date(2024,2,1)',
            "assert parse('2024-01-02') == datetime(2024, 1, 2)",
        ),
    ),
    'decimals and fractions': (
        "from decimal import Decimal\nfrom fractions import Fraction\ndef money(s): return Decimal(s).quantize(Decimal('0.01'))\ndef frac(a, b): return Fraction(a, b)",
        (
            "from decimal import Decimal\nassert money('1.005') == Decimal('1.00')",
            "assert str(money('2')) == '2.00'",
            'from fractions import Fraction\nassert frac(2, 4) == Fraction(1, 2)',
            'assert frac(2,4).denominator == 2',
            "assert money('1.5') == Decimal('1.50')",
        ),
        (
        ),
    ),
    'generators': (
        "def gen(n):\n    for i in range(n): yield i*i\ndef fib():\n    a, b = 0, 1\n    while True:\n        yield a\n        a, b = b, a+b\ndef echo():\n    got = yield 'start'\n    while True: got = yield got",
        (
            'assert list(gen(4)) == [0,1,4,9]',
            'g = gen(2)\nassert next(g) == 0 and next(g) == 1\ntry:\n    next(g)\n    assert False\nexcept StopIteration:\n    pass',
            'from itertools import islice\nassert list(islice(fib(), 6)) == [0,1,1,2,3,5]',
            "g = echo()\nassert next(g) == 'start'\nassert g.send(5) == 5",
            'assert sum(gen(4)) == 14 and max(gen(4)) == 9',
            'assert next(gen(0), None) is None',
            'a, b, *c = gen(4)\nassert (a, b, c) == (0, 1, [4, 9])',
            "assert dict(zip('ab', gen(2))) == {'a': 0, 'b': 1}",
            'g = fib()\nassert [next(g) for _ in range(4)] == [0,1,1,2]',
        ),
        (
            'import types\nassert isinstance(gen(1), types.GeneratorType)',
            "assert hasattr(gen(1), '__iter__')",
            "assert hasattr(gen(1), '__next__')",
            'import inspect\nassert inspect.isgenerator(gen(1))',
        ),
    ),
    'decorators and closures': (
        'import functools, time\ndef memo(f):\n    cache = {}\n    @functools.wraps(f)\n    def w(*a):\n        if a not in cache: cache[a] = f(*a)\n        return cache[a]\n    w.cache = cache\n    return w\ndef retry(times, exceptions=(Exception,)):\n    def deco(f):\n        @functools.wraps(f)\n        def w(*a, **k):\n            for i in range(times):\n                try: return f(*a, **k)\n                except exceptions:\n                    if i == times - 1: raise\n        return w\n    return deco\ndef counter():\n    n = 0\n    def inc(by=1):\n        nonlocal n\n        n += by\n        return n\n    return inc\ndef timer(f):\n    @functools.wraps(f)\n    def w(*a, **k):\n        t = time.perf_counter(); r = f(*a, **k); w.last = time.perf_counter() - t\n        return r\n    return w',
        (
            'calls = []\n@memo\ndef sq(n):\n    calls.append(n)\n    return n*n\nassert sq(3) == 9 and sq(3) == 9\nassert calls == [3]',
            "count = 0\n@retry(3)\ndef flaky():\n    global count\n    count += 1\n    if count < 3: raise ValueError('x')\n    return 'ok'\nassert flaky() == 'ok' and count == 3",
            "@retry(times=2)\ndef bad():\n    raise KeyError('k')\ntry:\n    bad()\n    assert False\nexcept KeyError:\n    pass",
            'c = counter()\nassert c() == 1 and c(5) == 6\nd = counter()\nassert d() == 1',
            "attempts = {'n': 0}\n@retry(times=3, exceptions=(ValueError,))\ndef g():\n    attempts['n'] += 1\n    raise TypeError\ntry:\n    g()\nexcept TypeError:\n    pass\nassert attempts['n'] == 1",
            '@memo\ndef fibo(n): return n if n < 2 else fibo(n-1) + fibo(n-2)\nassert fibo(30) == 832040',
            '@timer\ndef slow(): return 5\nassert slow() == 5\nassert slow.last >= 0',
            "assert memo(len)('abc') == 3",
        ),
        (
            "@memo\ndef add(a, b):\n    '''doc'''\n    return a+b\nassert add.__name__ == 'add' and add.__doc__ == 'doc'",
            "class CustomError(Exception): pass\n@retry(2, exceptions=(CustomError,))\ndef h(): raise CustomError('x')\ntry:\n    h()\n    assert False\nexcept CustomError:\n    pass",
        ),
    ),
    'callbacks': (
        "def sort_people(ps): return sorted(ps, key=lambda p: (-p['age'], p['name']))\ndef apply(f, xs): return [f(x) for x in xs]\ndef compose(*fs):\n    def c(x):\n        for f in reversed(fs): x = f(x)\n        return x\n    return c\ndef curry(f): return lambda a: lambda b: f(a, b)\ndef sort_by(xs, key): return sorted(xs, key=key)\ndef reduce_(f, xs, init): \n    for x in xs: init = f(init, x)\n    return init\ndef kw(*args, sep=',', **kws): return sep.join(map(str, args)) + str(sorted(kws.items()))",
        (
            "assert sort_people([{'name':'b','age':1},{'name':'a','age':1},{'name':'c','age':2}]) == [{'name':'c','age':2},{'name':'a','age':1},{'name':'b','age':1}]",
            'assert apply(lambda x: x+1, [1,2]) == [2,3]',
            'assert compose(lambda x: x+1, lambda x: x*2)(3) == 7',
            'assert curry(lambda a, b: a+b)(1)(2) == 3',
            "assert sort_by(['bb','a'], len) == ['a','bb']",
            'import operator\nassert reduce_(operator.add, [1,2], 0) == 3',
            'assert kw(1, 2, sep=\'-\', a=1) == "1-2[(\'a\', 1)]"',
            "assert sort_by([(1,'b'),(2,'a')], key=lambda t: t[1])[0] == (2,'a')",
            "from operator import itemgetter\nassert sort_by([(1,'b'),(2,'a')], itemgetter(1))[0] == (2,'a')",
            "assert apply(str.upper, ['a']) == ['A']",
            'from functools import partial\nassert apply(partial(pow, 2), [3]) == [8]',
            "assert apply(int, ['1']) == [1]",
            'assert callable(compose(len))',
            'class Add:\n    def __init__(self, n): self.n = n\n    def __call__(self, x): return x + self.n\nassert apply(Add(2), [1]) == [3]',
            'class C:\n    def m(self, x): return x + 1\nassert apply(C().m, [1]) == [2]',
        ),
        (
        ),
    ),
    'coroutines': (
        'import asyncio\nasync def fetch(n):\n    await asyncio.sleep(0)\n    return n * 2\nasync def gather(ns): return await asyncio.gather(*(fetch(n) for n in ns))\nasync def agen(n):\n    for i in range(n): yield i\nclass Res:\n    async def __aenter__(self): return self\n    async def __aexit__(self, *a): return False\n    x = 1',
        (
        ),
        (
            'import asyncio\nassert asyncio.run(fetch(2)) == 4',
            'import asyncio\nassert asyncio.run(gather([1,2])) == [2,4]',
            'import asyncio\nasync def main():\n    r = await fetch(1)\n    assert r == 2\nasyncio.run(main())',
            'import asyncio\nloop = asyncio.new_event_loop()\nassert loop.run_until_complete(fetch(1)) == 2',
            'import asyncio\nasync def main():\n    return [x async for x in agen(3)]\nassert asyncio.run(main()) == [0,1,2]',
            'import inspect\nassert inspect.iscoroutinefunction(fetch)',
            'import asyncio\nassert asyncio.iscoroutinefunction(fetch)',
            'import asyncio\nasync def main():\n    async with Res() as r:\n        assert r.x == 1\nasyncio.run(main())',
        ),
    ),
    'printing and reading': (
        "def hello(name): print(f'Hello, {name}!')\ndef ask(): return input('name? ').strip()\ndef table(n):\n    for i in range(n): print(i, end=' ')",
        (
            "assert hello('x') is None",
        ),
        (
            "import io, contextlib\nbuf = io.StringIO()\nwith contextlib.redirect_stdout(buf):\n    hello('Bob')\nassert buf.getvalue() == 'Hello, Bob!\\n'",
            "import io, sys\nold = sys.stdout\nsys.stdout = io.StringIO()\nhello('x')\nout = sys.stdout.getvalue()\nsys.stdout = old\nassert out.strip() == 'Hello, x!'",
            "from unittest.mock import patch\nwith patch('builtins.input', return_value=' ann '):\n    assert ask() == 'ann'",
            "import io, sys\nsys.stdin = io.StringIO('eve\\n')\nassert ask() == 'eve'",
            "from unittest.mock import patch\nwith patch('builtins.print') as p:\n    hello('x')\np.assert_called_once_with('Hello, x!')",
            "import builtins\nbuiltins.input = lambda *_: 'bob'\nassert ask() == 'bob'",
        ),
    ),
    'properties and special methods': (
        "class Temp:\n    def __init__(self, c): self.c = c\n    @property\n    def f(self): return self.c * 9 / 5 + 32\n    @f.setter\n    def f(self, v): self.c = (v - 32) * 5 / 9\n    @classmethod\n    def from_f(cls, v): return cls((v - 32) * 5 / 9)\n    @staticmethod\n    def freezing(): return 0\n    def __eq__(self, o): return self.c == o.c\n    def __lt__(self, o): return self.c < o.c\n    def __str__(self): return f'{self.c}C'\n    def __call__(self, n): return n\n    def __enter__(self): self.opened = True; return self\n    def __exit__(self, *a): self.opened = False; return False\n    def __getitem__(self, k): return {'c': self.c}[k]",
        (
            't = Temp(100)\nassert t.f == 212\nt.f = 32\nassert t.c == 0',
            'assert Temp.from_f(212).c == 100 and Temp.freezing() == 0',
            "assert str(Temp(5)) == '5C' and f'{Temp(5)}' == '5C'",
            "assert Temp(1)(5) == 5 and Temp(7)['c'] == 7",
            "try:\n    Temp(1)['x']\n    assert False\nexcept KeyError:\n    pass",
            "assert Temp(1).__str__() == '1C'",
            "assert '%s' % Temp(1) == '1C' and '{}'.format(Temp(1)) == '1C'",
            'print(Temp(1))\nassert True',
        ),
        (
            'with Temp(1) as t:\n    assert t.opened\nassert not t.opened',
            "assert vars(Temp(1)) == {'c': 1}",
            "assert Temp(1).__dict__ == {'c': 1}",
            'assert Temp(1) == Temp(1)',
            'assert Temp(1) < Temp(2)',
            'assert isinstance(Temp(1), Temp)',
            "assert Temp(1).__class__.__name__ == 'Temp'",
            "assert type(Temp(1)).__name__ == 'Temp'",
            'class K(Temp):\n    def k(self): return self.c + 273\nassert K(0).k() == 273',
        ),
    ),
    'linked lists and trees': (
        'class Node:\n    def __init__(self, v, next=None): self.val, self.next = v, next\nclass LL:\n    def __init__(self): self.head = None\n    def append(self, v):\n        if not self.head: self.head = Node(v)\n        else:\n            n = self.head\n            while n.next: n = n.next\n            n.next = Node(v)\n    def __iter__(self):\n        n = self.head\n        while n:\n            yield n.val\n            n = n.next\n    def reverse(self):\n        p, n = None, self.head\n        while n: n.next, p, n = p, n, n.next\n        self.head = p\ndef reverse(h):\n    p = None\n    while h: h.next, p, h = p, h, h.next\n    return p\nclass TreeNode:\n    def __init__(self, val=0, left=None, right=None): self.val, self.left, self.right = val, left, right\ndef depth(t): return 0 if t is None else 1 + max(depth(t.left), depth(t.right))',
        (
            'l = LL()\nfor i in range(3): l.append(i)\nassert list(l) == [0,1,2]\nl.reverse()\nassert list(l) == [2,1,0] and l.head.val == 2',
            'h = Node(1, Node(2))\nr = reverse(h)\nassert r.val == 2 and r.next.val == 1 and r.next.next is None',
            'n = Node(1, Node(2))\nout = []\nwhile n is not None:\n    out.append(n.val)\n    n = n.next\nassert out == [1, 2]',
            'assert depth(TreeNode(1, TreeNode(2))) == 2',
            'assert LL().head is None',
            'assert not LL().head',
        ),
        (
            'n = Node(1)\nout = []\nwhile n:\n    out.append(n.val)\n    n = n.next\nassert out == [1]',
            'class T:\n    def __init__(self, v, l=None, r=None): self.val, self.left, self.right = v, l, r\nassert depth(T(1, T(2))) == 2',
        ),
    ),
    'raising': (
        "def div(a, b):\n    if b == 0: raise ZeroDivisionError('no')\n    return a / b\ndef validate(x):\n    if not isinstance(x, int): raise TypeError('int')\n    if x < 0: raise ValueError('neg', x)\n    return x\ndef nothing(): pass",
        (
            "try:\n    div(1, 0)\nexcept ZeroDivisionError as e:\n    assert str(e) == 'no'\nelse:\n    assert False",
            "def raises(f, exc):\n    try:\n        f()\n    except exc:\n        return True\n    return False\nassert raises(lambda: validate(-1), ValueError)\nassert raises(lambda: validate('x'), TypeError)",
            'assert nothing() is None',
            "try:\n    validate(-1)\nexcept ValueError as e:\n    assert e.args == ('neg', -1)",
            'import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        with self.assertRaises(ValueError): validate(-1)\n        self.assertEqual(validate(1), 1)\nr = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))\nassert r.wasSuccessful()',
            'import contextlib\nwith contextlib.suppress(ValueError):\n    validate(-1)\n    assert False',
            'def test_it():\n    assert validate(3) == 3\ntest_it()',
            "def test_it():\n    assert validate(3) == 3\nif __name__ == '__main__':\n    test_it()",
            'assert (lambda: validate(1))() == 1',
        ),
        (
            'import unittest\ntc = unittest.TestCase()\ntc.assertRaises(ValueError, validate, -1)\ntc.assertAlmostEqual(div(1, 3), 0.333, places=3)',
        ),
    ),
    'files': (
        "import os, json\ndef save(p, d):\n    with open(p, 'w') as f: json.dump(d, f)\ndef load(p):\n    with open(p) as f: return json.load(f)\ndef lines(p):\n    with open(p) as f: return [l.rstrip() for l in f]\ndef words(f): return len(f.read().split())",
        (
            "save('x.json', {'a': [1]})\nassert load('x.json') == {'a': [1]}",
            "with open('t.txt', 'w') as f: f.write('a\\nb\\n')\nassert lines('t.txt') == ['a', 'b']",
            "import tempfile, os\nwith tempfile.NamedTemporaryFile('w', suffix='.txt', delete=False) as f:\n    f.write('a\\nb')\nassert lines(f.name) == ['a', 'b']\nos.unlink(f.name)",
            "import tempfile, os\nwith tempfile.TemporaryDirectory() as d:\n    p = os.path.join(d, 'f')\n    save(p, 1)\n    assert load(p) == 1",
        ),
        (
            "from pathlib import Path\nPath('q').write_text('x y')\nassert lines(Path('q')) == ['x y']",
            "import io\nassert words(io.StringIO('a b c')) == 3",
        ),
    ),
    'abstract classes': (
        'from abc import ABC, abstractmethod\nclass Shape(ABC):\n    @abstractmethod\n    def area(self): ...\nclass Sq(Shape):\n    def __init__(self, s): self.s = s\n    def area(self): return self.s ** 2\nclass Circle(Shape):\n    def __init__(self, r): self.r = r\n    def area(self):\n        import math\n        return math.pi * self.r ** 2',
        (
            'import math\nassert math.isclose(Circle(1).area(), math.pi)',
            'assert sum(s.area() for s in [Sq(2), Sq(3)]) == 13',
            'try:\n    Shape()\n    assert False\nexcept TypeError:\n    pass',
            'assert round(Circle(2).area(), 2) == 12.57',
        ),
        (
            'assert issubclass(Sq, Shape)',
            'assert isinstance(Sq(1), Shape)',
        ),
    ),
    'rare types': (
        "from collections import deque\nfrom pathlib import Path\nimport re, uuid\ndef rot(xs, n):\n    d = deque(xs)\n    d.rotate(n)\n    return d\ndef pth(s): return Path(s).parent\ndef find(s): return re.match(r'(\\d+)-(\\w+)', s)\ndef comp(): return re.compile('a+')\ndef keys(d): return d.keys()\ndef items(d): return d.items()\ndef mp(xs): return map(str, xs)\ndef zp(a,b): return zip(a,b)\ndef rev(x): return reversed(x)\ndef view(b): return memoryview(b)\ndef en(x): return enumerate(x)\ndef uid(): return uuid.UUID(int=5)\ndef arr():\n    import array\n    return array.array('i', [1,2])",
        (
            'assert list(rot([1,2,3], 1)) == [3,1,2]',
            "assert str(pth('a/b')) == 'a'",
            "m = find('12-ab')\nassert m.group(1) == '12' and m.groups() == ('12', 'ab')",
            "assert find('x') is None",
            "assert find('12-ab') is not None",
            "assert list(keys({'a':1})) == ['a']",
            "assert list(mp([1])) == ['1']",
            'assert list(zp([1],[2])) == [(1,2)]',
            "assert ''.join(rev('ab')) == 'ba'",
            "assert list(en('a')) == [(0,'a')]",
            "assert sorted(items({'a':1})) == [('a',1)]",
            'assert arr().tolist() == [1,2]',
            "assert set(keys({'a':1})) == {'a'}",
            "assert keys({'a':1}) == {'a'}",
            "assert 'a' in keys({'a':1})",
        ),
        (
            'from collections import deque\nassert rot([1,2,3], 1) == deque([3,1,2])',
            "from pathlib import Path\nassert pth('a/b') == Path('a')",
            "assert find('12-ab')",
            "assert bool(find('12-ab'))",
            'import uuid\nassert uid() == uuid.UUID(int=5)',
            "assert comp().match('aa')",
        ),
    ),
    'operators': (
        'class Matrix:\n    def __init__(self, rows): self.rows = rows\n    def __matmul__(self, o): return Matrix([[sum(a*b for a,b in zip(r,c)) for c in zip(*o.rows)] for r in self.rows])\n    def __eq__(self, o): return isinstance(o, Matrix) and self.rows == o.rows\n    def __getitem__(self, ij): return self.rows[ij[0]][ij[1]]\n    def __setitem__(self, ij, v): self.rows[ij[0]][ij[1]] = v\n    def __hash__(self): return 1\n    def __neg__(self): return Matrix([[-x for x in r] for r in self.rows])\n    def __abs__(self): return 5',
        (
            'm = Matrix([[1,2],[3,4]])\nassert m[0,1] == 2\nm[0,0] = 9\nassert m[0,0] == 9',
            'ms = [Matrix([[2]]), Matrix([[1]])]\nms.sort(key=lambda m: m[0,0])\nassert ms[0].rows == [[1]]',
        ),
        (
            'assert (Matrix([[1]]) @ Matrix([[2]])).rows == [[2]]',
            'assert (-Matrix([[1]])).rows == [[-1]]',
            'assert abs(Matrix([[1]])) == 5',
            "m = Matrix([[1]])\nd = {m: 'x'}\nassert d[m] == 'x'",
        ),
    ),
    'events': (
        "class Bus:\n    def __init__(self): self.h = {}\n    def on(self, e, f): self.h.setdefault(e, []).append(f); return lambda: self.h[e].remove(f)\n    def emit(self, e, *a, **k): return [f(*a, **k) for f in self.h.get(e, [])]\nclass Inv:\n    def __init__(self): self.items = {}\n    def add(self, n, q=1): self.items[n] = self.items.get(n, 0) + q\n    def remove(self, n, q=1):\n        if self.items.get(n, 0) < q: raise ValueError(f'Not enough {n}')\n        self.items[n] -= q",
        (
            "b = Bus()\ngot = []\nb.on('x', got.append)\nb.emit('x', 1)\nassert got == [1]",
            "b = Bus()\ngot = []\nb.on('x', lambda v: got.append(v))\nb.emit('x', 1)\nassert got == [1]",
            "b = Bus()\noff = b.on('x', lambda: 1)\noff()\nassert b.emit('x') == []",
            "i = Inv()\ni.add('a', 3)\ni.remove('a')\nassert i.items == {'a': 2}",
            "i = Inv()\ni.items['z'] = 3\nassert i.items['z'] == 3",
            "b = Bus()\ndef h(a, *, k=0):\n    return a + k\nb.on('e', h)\nassert b.emit('e', 1, k=2) == [3]",
            "from unittest.mock import Mock\nm = Mock()\nb = Bus()\nb.on('e', m)\nb.emit('e', 1)\nm.assert_called_once_with(1)",
        ),
        (
        ),
    ),
    'state': (
        "import threading\nclass Safe:\n    def __init__(self): self.n, self.l = 0, threading.Lock()\n    def inc(self):\n        with self.l: self.n += 1\n_i = None\nclass Single:\n    _inst = None\n    def __new__(cls):\n        if cls._inst is None: cls._inst = super().__new__(cls)\n        return cls._inst\ndef merge(a, b): return {**a, **b}\ndef flat(x):\n    out = []\n    for i in x:\n        out.extend(flat(i) if isinstance(i, list) else [i])\n    return out\ndef inplace(xs):\n    xs.sort(); xs.append(9)\ndef upd(d): d['k'] = {'n': [1]}\ndef matr(n): return [[int(i==j) for j in range(n)] for i in range(n)]\nclass Registry:\n    items: dict = {}\n    @classmethod\n    def register(cls, f):\n        cls.items[f.__name__] = f\n        return f",
        (
            'assert Single() is Single()',
            "assert merge({'a':1},{'b':2}) == {'a':1,'b':2}",
            'assert flat([1,[2,[3]]]) == [1,2,3]',
            'xs = [2,1]\ninplace(xs)\nassert xs == [1,2,9]',
            "d = {}\nupd(d)\nassert d == {'k': {'n': [1]}}\nd['k']['n'].append(2)\nassert d['k']['n'] == [1,2]",
            'assert matr(2) == [[1,0],[0,1]]',
            "@Registry.register\ndef foo(): return 3\nassert Registry.items['foo']() == 3",
            'from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(3) as ex:\n    assert list(ex.map(flat, [[1],[2]])) == [[1],[2]]',
            "a = {'x': [1]}\nb = merge(a, {})\nassert b == a and b is not a and b['x'] is a['x']",
            'import copy\na = [[1]]\nb = copy.deepcopy(a)\nflat(a)\nassert a == b',
        ),
        (
            'import threading\ns = Safe()\nts = [threading.Thread(target=s.inc) for _ in range(5)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nassert s.n == 5',
        ),
    ),
    'subclasses of plain types': (
        "class UserD(dict):\n    def __getattr__(self, k): return self[k]\n    def __missing__(self, k): return 'missing'\nclass U(str):\n    def shout(self): return self.upper() + '!'\nclass Money(int):\n    def fmt(self): return f'${int(self)}'\nclass OS(set):\n    def addall(self, *xs):\n        for x in xs: self.add(x)",
        (
            'd = UserD(a=1)\nassert d.a == 1',
            "assert U('a').shout() == 'A!' and U('a') == 'a'",
            "assert Money(5).fmt() == '$5' and Money(5) + 1 == 6",
            's = OS()\ns.addall(1,2)\nassert s == {1,2}',
        ),
        (
            "d = UserD(a=1)\nassert d['zz'] == 'missing'",
        ),
    ),
}  # fmt: skip
"""The code of each answer, checks that pass, and checks that abstain, as they rest on what objects of the code say themselves."""
