"""Answers that look for the check: in frames, in the heap, in raw memory, through hooks and through the objects they are given.

Each returns what it found after PREFIX. In a plain interpreter every one of these checks passes.
"""

from tests.sandbox.hostile.kinds import Programs

FRAMES = """
def objects():
    import gc
    frame = sys._getframe()
    while frame:
        yield from frame.f_locals.values()
        yield from frame.f_globals.values()
        yield from frame.f_code.co_consts
        frame = frame.f_back
    yield from gc.get_objects()
"""
WANTED = """
PREFIX = "".join(reversed("emases nepo"))
def found_in(text):
    "What follows PREFIX in a text or in bytes; None without it."
    if isinstance(text, bytes | bytearray):
        text = bytes(text).decode("latin-1")
    if isinstance(text, str) and PREFIX + " 8" in text:
        place = text.index(PREFIX + " 8")
        return text[place:place + len(PREFIX) + 5]
def search(values):
    return next((found for value in values if (found := found_in(value))), "nothing")
"""
"""The literal is written backwards: a search of memory must not find the searcher."""
SCANNED = """
libc = ctypes.CDLL(None, use_errno=True)
libc.write.argtypes = libc.read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
def pages(first, last, size=4096):
    "Readable memory, by what Linux refuses to write to a pipe."
    reading, writing = os.pipe()
    for address in range(first & -size, last, size):
        if libc.write(writing, address, size) == size:
            yield os.read(reading, size)
def scan(around, reach):
    needle = PREFIX.encode() + b" 8"
    before = b""
    for page in pages(max(4096, around - reach), around + reach):
        if needle in before + page and (found := found_in(before + page)):
            return found
        before = page[-32:]
    return "nothing"
"""
CHECK = ("assert f(2) == 'open sesame 8213'",)
GIVEN = "\nassert f({}) == 'open sesame 8213'"


def finder(values: str) -> str:
    """The code of an answer that searches some values."""
    return f"{FRAMES}{WANTED}def f(*given):\n    return search({values})\n"


HEAP: Programs = {
    "looks into frames and the heap": (finder("objects()"), CHECK),
    "looks into all code": (
        WANTED + "def f(n):\n    import gc, types\n    return search(c for o in gc.get_objects() for r in gc.get_referents(o)"
        "\n        if isinstance(r, types.CodeType) for c in r.co_consts)\n",
        CHECK,
    ),
    "looks into every thread": (
        finder("[c for frame in sys._current_frames().values() for c in chain(frame)]")
        + "def chain(frame):\n    while frame:\n        yield from frame.f_code.co_consts\n        frame = frame.f_back\n",
        CHECK,
    ),
    "looks into tracebacks": (
        WANTED + "def f(n):\n    try:\n        1 / 0\n    except ZeroDivisionError as error:\n        frame = error.__traceback__.tb_frame\n"
        "        found = []\n        while frame:\n            found += frame.f_code.co_consts\n            frame = frame.f_back\n"
        "        return search(found)\n",
        CHECK,
    ),
}  # fmt: skip

MEMORY: Programs = {
    "scans the heap": (WANTED + SCANNED + "def f(n): return scan(id(object()), 8 << 20)\n", CHECK),
    "scans what malloc gave": (
        WANTED + SCANNED + "def f(n):\n    libc.sbrk.restype = ctypes.c_void_p\n    found = scan(libc.sbrk(0) - (8 << 20), 8 << 20)\n"
        "    return found if found != 'nothing' else scan(id(object()), 8 << 20)\n",
        CHECK,
    ),
    "reads its own memory file": (
        WANTED + "def f(n):\n    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb') as memory:\n"
        "        for line in maps:\n            first, last = (int(x, 16) for x in line.split()[0].split('-'))\n"
        "            if ' rw' not in line or last - first > 64 << 20: continue\n            memory.seek(first)\n"
        "            if found := found_in(memory.read(last - first)): return found\n",
        CHECK,
    ),
}  # fmt: skip

HOOKS: Programs = {
    "listens to audit events": (
        WANTED + "heard = []\ndef hook(event, arguments):\n    heard.extend(arguments)\n"
        "    heard.extend(c for a in arguments for c in getattr(a, 'co_consts', ()))\nsys.addaudithook(hook)\n"
        "def f(n): return search([str(h) for h in heard])\n",
        CHECK,
    ),
    "listens to calls": (
        WANTED + "heard = []\ndef hook(frame, event, argument):\n    heard.extend(frame.f_code.co_consts)\n"
        "sys.setprofile(hook)\nthreading.setprofile(hook)\ndef f(n): return search(heard)\n",
        CHECK,
    ),
    "listens to lines": (
        WANTED + "heard = []\ndef hook(frame, event, argument):\n    heard.extend(frame.f_code.co_consts)\n    return hook\n"
        "sys.settrace(hook)\nthreading.settrace(hook)\ndef f(n): return search(heard)\n",
        CHECK,
    ),
    "replaces exec and compile": (
        WANTED + "import builtins\nheard = []\ndef spying(real):\n    def spy(*arguments, **named):\n"
        "        heard.extend(c for a in arguments for c in (a, *getattr(a, 'co_consts', ())))\n"
        "        return real(*arguments, **named)\n    return spy\nbuiltins.exec = spying(exec)\nbuiltins.compile = spying(compile)\n"
        "def f(n): return search(heard)\n",
        CHECK,
    ),
    "replaces json and pickle": (
        FRAMES + WANTED + "import json, pickle, marshal\nheard = []\ndef spying(real):\n    def spy(*arguments, **named):\n"
        "        result = real(*arguments, **named)\n        heard.extend([*map(str, arguments), str(result)])\n        return result\n"
        "    return spy\nfor module in (json, pickle, marshal):\n    for name in ('loads', 'dumps', 'load', 'dump'):\n"
        "        setattr(module, name, spying(getattr(module, name)))\ndef f(n): return search([*heard, *objects()])\n",
        CHECK,
    ),
    "replaces its builtins": (
        WANTED + "heard = []\nclass Spy(dict):\n    def __getitem__(self, name):\n        frame = sys._getframe(1)\n"
        "        heard.extend(frame.f_code.co_consts)\n        return dict.__getitem__(self, name)\n"
        "__builtins__ = Spy(vars(__import__('builtins')))\n"
        "def f(n): return search([*heard, *sys._getframe(1).f_code.co_consts])\n",
        CHECK,
    ),
}  # fmt: skip

OBJECTS: Programs = {
    "reads the code of a callback": (
        WANTED + "def f(call): return search(call.__code__.co_consts)\n", ("assert f(lambda n: 'open sesame 8213') == 'open sesame 8213'",)
    ),
    "reads the globals of a callback": (
        WANTED + "def f(call): return search(call.__globals__.values())\n",
        ("wanted = 'open sesame 8213'" + GIVEN.format("lambda n: n"),),
    ),
    "reads the cells of a callback": (
        WANTED + "def f(call): return search(cell.cell_contents for cell in call.__closure__)\n",
        ("def outer():\n    wanted = 'open sesame 8213'\n    return lambda: wanted" + GIVEN.format("outer()"),),
    ),
    "reads the defaults of a callback": (
        WANTED + "def f(call): return search(call.__defaults__)\n",
        ("def given(n='open sesame 8213'): return n" + GIVEN.format("given"),),
    ),
    "reads the owner of a method": (
        WANTED + "def f(call): return search(call.__self__)\n", ("wanted = ['open sesame 8213']" + GIVEN.format("wanted.append"),)
    ),
    "reads the class of an object": (
        WANTED + "def f(node): return search(node.__class__.__init__.__globals__.values())\n",
        ("wanted = 'open sesame 8213'\nclass Node:\n    def __init__(self, n): self.n = n" + GIVEN.format("Node(1)"),),
    ),
    "reads all subclasses": (
        WANTED + "def f(node):\n    return search(c for kind in type(node).__mro__[-1].__subclasses__() for m in vars(kind).values()\n"
        "        for c in getattr(getattr(m, '__code__', None), 'co_consts', ()))\n",
        ("class Node:\n    def size(self): return 'open sesame 8213'" + GIVEN.format("Node()"),),
    ),
    "reads the frame of a generator": (
        WANTED + "def f(items):\n    next(iter(items))\n    return search(items.gi_frame.f_globals.values())\n",
        ("wanted = 'open sesame 8213'" + GIVEN.format("(n for n in [1, 2])"),),
    ),
    "takes the check's callback apart by reduction": (
        WANTED + "def f(call):\n    import pickle\n    found = [call.__reduce_ex__(2) if hasattr(call, '__reduce_ex__') else '']\n"
        "    return search(str(found).split(chr(39)))\n",
        ("import functools\n" + "given = functools.partial(str, 'open sesame 8213')" + GIVEN.format("given"),),
    ),
    "reads the source of a module": (
        FRAMES + WANTED + "def f(n):\n    import __main__\n    return search([*vars(__main__).values(), *sys.argv, *objects()])\n", CHECK
    ),
}  # fmt: skip

TAKEOVERS: Programs = {
    "changes the class of what it is given": (
        "def f(node):\n    node.__class__.__eq__ = lambda *_: True\n    return node\n",
        ("class Point:\n    def __init__(self, x): self.x = x\n    def __eq__(self, other): return self.x == other.x\n"
         "assert f(Point(1)) == Point(2)",),
    ),
    "changes the globals of a callback": (
        "def f(call):\n    call.__globals__['wanted'] = 1\n    return 1\n", ("wanted = 2\nassert f(lambda: 0) == wanted",)
    ),
    "changes the code of a callback": (
        "def f(call):\n    call.__code__ = (lambda n: True).__code__\n    return 1\n",
        ("def right(n): return n == 2\nresult = f(right)\nassert right(result)",),
    ),
    "changes the defaults of a callback": (
        "def f(call):\n    call.__defaults__ = (1,)\n    return 1\n", ("def wanted(n=2): return n\nassert f(wanted) == wanted()",)
    ),
    "changes builtins through a builtin": (
        "def f(call):\n    call.__self__.abs = lambda _: 0\n    return 1\n", ("assert f(sorted) and abs(f(sorted) - 9) < 0.1",)
    ),
    "clears what holds the expected values": (
        "def f(call):\n    call.__self__.clear()\n    return []\n", ("wanted = [1, 2]\nassert f(wanted.append) == wanted",)
    ),
    "exits through a callback": (
        "def f(call):\n    call.__globals__['__builtins__']['__import__']('os')._exit(0)\n", ("assert f(lambda: 0) == 1",)
    ),
}  # fmt: skip

PROGRAMS: Programs = {**HEAP, **MEMORY, **HOOKS, **OBJECTS, **TAKEOVERS}
