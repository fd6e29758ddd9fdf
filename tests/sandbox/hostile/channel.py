"""Answers that find the channel to what judges them and speak there: forged, malformed, too much, too early or not at all."""

from tests.sandbox.hostile.kinds import Programs
from tests.sandbox.hostile.leaks import FRAMES

CHANNEL = (
    FRAMES
    + """
import fcntl, json, select, signal, socket, stat, struct

def descriptors(kind=stat.S_ISSOCK):
    "The open descriptors that are sockets, or of another kind."
    for fd in range(256):
        try:
            if kind(os.fstat(fd).st_mode): yield fd
        except OSError: pass

def prefixes(length):
    "What comes before a message: the sandbox's token if it has one, else nothing or every form of a length."
    found = {o.token for o in objects() if isinstance(getattr(type(o), "send", None), type(put)) and isinstance(getattr(o, "token", 0), str)}
    return [t.encode() for t in found] or [b"", *(struct.pack(form, length) for form in (">I", "<I", ">Q", "<Q"))]

def put(data, last=b"\\n"):
    "Write on every socket and pipe: as a line, and behind its length."
    for fd in [*descriptors(), *descriptors(stat.S_ISFIFO)]:
        os.set_blocking(fd, False)
        for before in prefixes(len(data)):
            try: os.write(fd, before + data + last)
            except OSError: pass

def tell(value, times=1):
    "Claim in every way that a message may have that this is the answer's value."
    for said in (["assert", 0, [value]], ["compared", 0, True], ["value", value], ["result", value], ["ok", value], ["return", value],
                 ["returned", value], {"value": value}, {"result": value}, {"ok": True, "value": value}, value):
        for _ in range(times): put(said.encode() if isinstance(said, str) else json.dumps(said).encode())

def speaks(make):
    "Let the sandbox itself say something else: every text that it makes of a value is changed first."
    real = json.dumps
    json.dumps = lambda *a, **k: make(real(*a, **k))
    frame, spaces = sys._getframe(), [vars(module) for module in list(sys.modules.values())]
    while frame:
        spaces.append(frame.f_globals)
        frame = frame.f_back
    for space in spaces:
        for name, found in list(space.items()):
            if name in ("dumps", "encode", "encoded", "pack", "to_plain") and type(found) is type(speaks) and space is not vars(json):
                space[name] = (lambda found: lambda *a, **k: change(found(*a, **k), make))(found)
def change(made, make):
    return make(made) if isinstance(made, str) else made
"""
)
"""How an answer finds and uses the channel; it knows no protocol but tries every form of it."""

LINES = {
    "nothing": "", "no JSON": "not json", "a brace": "{", "NaN": "NaN", "Infinity": "-Infinity", "null": "null", "true": "true", "a number": "5",
    "a huge number": "9" * 400_000, "a huge exponent": "1e999999999", "a text": '"text"', "an empty list": "[]", "an empty object": "{}",
    "a deep list": "[" * 200_000, "a closed deep list": "[" * 50_000 + "]" * 50_000, "a deep object": '{"a":' * 100_000, "half a surrogate": '"\\ud800"',
    "NUL": "\\0", "a repeated key": '{"a": 1, "a": 2}', "an unknown message": '["unknown", 1]', "too many fields": '["assert", 0, [], 1, 2, 3]',
    "a text for a number": '["assert", "0", []]', "a truth for a number": '["assert", true, []]', "a fraction for a number": '["assert", 0.5, []]',
    "a negative number": '["assert", -1, []]', "a number that is too large": '["assert", 99999999999999999999, []]', "ended": '["ended"]',
    "passed": '["passed"]', "an outcome": '{"outcome": "passed"}', "done": '["done"]', "over": '["over", 0]', "ready": '["ready"]',
    "an end": '["end", 0, "next", 0.1]', "a failed load": '["load failed", ""]', "a number for a reason": '["raised", false, 5]',
    "a list for a reason": '["raised", [], {}]', "a truth": '["compared", 0, true]', "many lists": "[[],[],[],[]]",
}  # fmt: skip
SAID: Programs = {
    f"says {name}": (
        CHANNEL + f"def f(*_):\n    put({text!r}.encode(errors='replace'))\n    time.sleep(0.02)\n    return 1",
        ("assert f(1) == 2",),
    )
    for name, text in {k: v for k, v in LINES.items() if len(v) < 1000}.items()
}
SAID |= {
    f"says {name}": (CHANNEL + f"def f(*_):\n    put({text[:40]!r}.encode() * {len(text) // 40})\n    return 1", ("assert f(1) == 2",))
    for name, text in LINES.items()
    if len(text) >= 1000
}  # fmt: skip

TOLD = {
    "a signalling NaN": '["Decimal", "sNaN"]', "a text for a number": '"1"', "a huge decimal": '["Decimal", "1e999999999999999999"]',
    "a huge fraction": '["Fraction", "1e999999999999999999"]', "a fraction by zero": '["Fraction", "1/0"]', "a number of too many digits": '["int", "' + "9" * 200_000 + '"]',
    "a float for an int": '["int", "1.5"]', "an int with an underscore": '["int", "1_0"]', "an infinite float": '["float", "inf"]', "a bare number": "3",
    "an unknown type": '["object", "x"]', "an exception": '["Exception", "x"]', "a type without content": '["int"]', "a type with too much": '["int", "1", "2"]',
    "a list of nothing": '["list"]', "a dict of odd pairs": '["dict", [[1]]]', "a dict with lists for keys": '["dict", [[["list", []], 1]]]',
    "a set of lists": '["set", [["list", []]]]', "a text that is no hexadecimal": '["bytes", "zz"]', "a complex of texts": '["complex", "x", "y"]',
    "a range of nothing": '["range", 0, 9, 0]', "a function": '["remote", 0]', "an object that is none": '["remote", 999999]', "a negative object": '["remote", -1]',
    "a tuple for a type": '[["int"], "1"]', "a null": "null", "a truth": "true", "an attribute": '["attribute", "__class__"]',
    "colliding numbers": '["set", [' + ",".join(f'["int", "{n * (2**61 - 1):x}"]' for n in range(3000)) + "]]",
}  # fmt: skip
FORGED: Programs = {
    f"tells {name}": (
        CHANNEL
        + f"TOLD = {text!r}\ndef f(*_):\n    tell(TOLD)\n    tell(json.loads(TOLD))\n    time.sleep(0.02)\n    return 1",
        ("assert f(1) == 2", "assert f(1) < 0"),
    )
    for name, text in TOLD.items()
}
FORGED |= {
    f"lets it say {name}": (
        CHANNEL + f"import re\nTOLD = {text!r}\nspeaks(lambda text: re.sub(r'\\[\"int\", \"1\"\\]|(?<![0-9.])1(?![0-9.])', TOLD.replace('\\\\', ''), text))\n"
        "def f(*_): return 1",
        ("assert f(1) == 2", "assert f(1) < 0", "assert abs(f(1) - 2) < 0.1"),
    )
    for name, text in TOLD.items()
    if len(text) < 1000
}  # fmt: skip

ONE = ("assert f(1) == 2",)
FLOWS: Programs = {
    "answers in advance": (CHANNEL + "def f(*_):\n    tell(2, 500)\n    return 1", ONE),
    "answers in advance while loading": (CHANNEL + "def f(*_): return 1\ntell(2, 50)\ntell('[\"int\", \"2\"]', 50)", ONE),
    "a line without end": (CHANNEL + "def f(*_):\n    while True: put(b'x' * 65536, b'')", ONE),
    "lines without end": (CHANNEL + "def f(*_):\n    while True: put(b'[]')", ONE),
    "empty lines without end": (CHANNEL + "def f(*_):\n    while True: put(b'\\n' * 65536)", ONE),
    "half a message": (CHANNEL + "def f(*_):\n    put(b'[\"assert\", 0, [', b'')\n    time.sleep(1e6)", ONE),
    "half a length": (CHANNEL + "def f(*_):\n    for fd in descriptors(): os.write(fd, b'\\0\\0')\n    time.sleep(1e6)", ONE),
    "a huge length before a message": (CHANNEL + "def f(*_):\n    for fd in descriptors(): os.write(fd, b'\\xff' * 8 + b'x')\n    time.sleep(1e6)", ONE),
    "a negative length": (CHANNEL + "def f(*_):\n    for fd in descriptors(): os.write(fd, struct.pack('>q', -5) + b'x')\n    return 1", ONE),
    "drips": (CHANNEL + "def f(*_):\n    while True:\n        put(b'[', b'')\n        time.sleep(0.01)", ONE),
    "drips lines": (CHANNEL + "def f(*_):\n    while True:\n        put(b'[\"assert\", 0, [\"1\"]]')\n        time.sleep(0.05)", ONE),
    "garbage": (CHANNEL + "def f(*_):\n    for _ in range(50): put(os.urandom(200))\n    return 1", ONE),
    "text that is not UTF-8": (CHANNEL + "def f(*_):\n    put(b'\\xff\\xfe[\\x80\\x81]')\n    return 1", ONE),
    "reads what is for others": (CHANNEL + "def f(*_):\n    for fd in descriptors():\n        os.set_blocking(fd, False)\n        try: os.read(fd, 1 << 20)\n"
                                 "        except OSError: pass\n    return 1", ONE),
    "reads without end": (CHANNEL + "def reads(fd):\n    os.set_blocking(fd, True)\n    while True: os.read(fd, 1 << 16)\nfor fd in descriptors():\n"
                          "    threading.Thread(target=reads, args=(fd,), daemon=True).start()\ndef f(*_): return 1", ONE),
    "closes everything": (CHANNEL + "def f(*_):\n    os.closerange(0, 256)\n    return 1", ONE),
    "closes everything while loading": ("os.closerange(0, 256)", ONE),
    "closes everything and stays": (CHANNEL + "def f(*_):\n    os.closerange(0, 256)\n    time.sleep(1e6)", ONE),
    "shuts it down": (CHANNEL + "def f(*_):\n    for fd in descriptors(): socket.socket(fileno=os.dup(fd)).shutdown(socket.SHUT_RDWR)\n    time.sleep(1e6)", ONE),
    "shuts half of it down": (CHANNEL + "def f(*_):\n    for fd in descriptors(): socket.socket(fileno=os.dup(fd)).shutdown(socket.SHUT_WR)\n    return 1", ONE),
    "puts a file in its place": (
        CHANNEL + "def f(*_):\n    file = os.open('said', os.O_RDWR | os.O_CREAT)\n    os.write(file, b'[\"ended\"]\\n' * 100)\n    os.lseek(file, 0, 0)\n"
        "    for fd in range(256):\n        if fd != file: os.dup2(file, fd)\n    return 1", ONE,
    ),
    "puts its own socket in its place": (
        CHANNEL + "def f(*_):\n    mine, other = socket.socketpair()\n    other.send(b'[\"passed\"]\\ntrue\\nnext\\n' * 100)\n"
        "    for fd in list(descriptors()):\n        if fd not in (mine.fileno(), other.fileno()): os.dup2(mine.fileno(), fd)\n    return 1", ONE,
    ),
    "talks to itself": (CHANNEL + "def f(*_):\n    for fd in descriptors():\n        os.dup2(os.pipe()[1], fd)\n    return 1", ONE),
    "lets a child answer": (CHANNEL + "def f(*_):\n    if os.fork(): os._exit(0)\n    tell(2)\n    return 1", ONE),
    "answers twice": (CHANNEL + "def f(*_):\n    os.fork()\n    os.fork()\n    return 1", ("assert f(1) == 2", "assert f(1) == 1 and f(1) == 2")),
    "lets a child hold it open": (CHANNEL + "def f(*_):\n    if os.fork() == 0: time.sleep(1e6)\n    os._exit(0)", ONE),
    "does not wait": (CHANNEL + "def f(*_):\n    for fd in [*descriptors(), *descriptors(stat.S_ISFIFO)]: os.set_blocking(fd, False)\n    return 'x' * 900_000", ONE),
    "sends descriptors": (
        CHANNEL + "def f(*_):\n    null = os.open('/dev/null', os.O_RDONLY)\n    for fd in descriptors():\n        mine = socket.socket(fileno=os.dup(fd))\n"
        "        for _ in range(30): socket.send_fds(mine, [b'[]\\n'], [null] * 200)\n    return 1", ONE,
    ),
    "sends out of band": (CHANNEL + "def f(*_):\n    for fd in descriptors():\n        try: socket.socket(fileno=os.dup(fd)).send(b'x', socket.MSG_OOB)\n"
                          "        except OSError: pass\n    return 1", ONE),
    "makes the buffer small": (CHANNEL + "def f(*_):\n    for fd in descriptors():\n        mine = socket.socket(fileno=os.dup(fd))\n"
                               "        mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)\n        mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)\n"
                               "    return 'x' * 900_000", ONE),
    "signals by its socket": (
        CHANNEL + "def f(number):\n    for fd in descriptors():\n        fcntl.fcntl(fd, 8, os.getppid())\n        fcntl.fcntl(fd, 10, number)\n"
        "        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)\n    return 1",
        ("assert f(2) == 5 or f(2) == 6", "assert f(9) == 5 or f(9) == 6", "assert f(15) == 5 or f(15) == 6", "assert f(19) == 5 or f(19) == 6"),
    ),
    "writes to every descriptor": (
        "def f():\n    for fd in range(256):\n        try: os.write(fd, b'[\"ended\"]\\n')\n        except OSError: pass\n    time.sleep(9)", ("assert f() == 1",)
    ),
    "uses the sandbox's own objects": (
        FRAMES + "def f():\n    for found in objects():\n        for name in ('send', 'sendall', 'write', 'reply', 'put', 'report', 'finish', 'request'):\n"
        "            method = getattr(found, name, None)\n            if type(method).__name__ == 'method' or type(found).__module__ in ('socket', '_io'):\n"
        "                for said in (b'[\"ended\"]\\n', '[\"ended\"]', 'passed', ['passed'], True):\n"
        "                    try: method(said)\n                    except BaseException: pass\n    return 0",
        ("assert f() == 1",),
    ),
    "calls the sandbox's own functions": (
        FRAMES + "def f():\n    import gc\n    for found in gc.get_objects():\n        if type(found).__name__ == 'function' and 'sandbox' in str(found.__module__):\n"
        "            for arguments in ((), (1,), ('passed',), (0, 'passed')):\n                try: found(*arguments)\n                except BaseException: pass\n    return 0",
        ("assert f() == 1",),
    ),
    "patches json": ("import json\njson.dumps = lambda *_, **__: '[\"ended\"]'\njson.loads = lambda *_, **__: True\ndef f(): return 1", ("assert f() == 2",)),
    "patches what encodes": (
        "import json\njson.encoder.encode_basestring_ascii = json.encoder.c_make_encoder = json.encoder.ESCAPE_ASCII = None\n"
        "json.JSONEncoder.encode = json.JSONEncoder.iterencode = lambda *_: '[\"ended\"]'\ndef f(): return 1", ("assert f() == 2",)
    ),
    "patches system calls": (
        "import os, socket\nreal = os.write\nos.write = lambda fd, data: real(fd, b'[\"ended\"]\\n') and len(data)\nos.read = lambda *_: b'true\\n'\n"
        "socket.socket.send = socket.socket.sendall = lambda self, data, *_: real(self.fileno(), b'[\"ended\"]\\n') and len(data)\n"
        "socket.socket.recv = lambda *_: b'true\\n'\ndef f(): return 1", ("assert f() == 2",)
    ),
    "patches the names that judge": (
        "import builtins, operator\noperator.eq = lambda *_: True\nbuiltins.exec = builtins.compile = builtins.eval = lambda *_, **__: None\n"
        "for module in list(sys.modules.values()):\n    for key, value in list(vars(module).items()):\n"
        "        if callable(value) and any(w in key for w in ('assert', 'compare', 'encode', 'dumps', 'judge', 'OPERATORS', 'check')):\n"
        "            try: setattr(module, key, lambda *_, **__: True)\n            except BaseException: pass\n"
        "__judge__ = lambda *_: None\ndef f(n): return 1.0",
        ("assert abs(f(2) - 9.0) < 0.1", "assert f(1) == 2"),
    ),
}  # fmt: skip

PROGRAMS: Programs = {**SAID, **FORGED, **FLOWS}
