"""Programs that use more than they may: memory, processes, files, output, and what is used before a limit applies.

Each check holds if the program was allowed too much, for limits of 256 MiB of memory, 16 processes, 64 open files and 16 MiB of files.
"""

from tests.sandbox.hostile.kinds import Programs

ONE = ("assert f(1) == 2",)
DEEP = 20
FINALLY = "".join(f"{' ' * n}try: pass\n{' ' * n}finally:\n" for n in range(DEEP)) + " " * DEEP + "pass\n"
SOURCES = {
    "nested finally": FINALLY,
    "nested finally with returns": "def g():\n" + "".join(f"{' ' * (n + 1)}try: return 1\n{' ' * (n + 1)}finally:\n" for n in range(18)) + " " * 19 + "pass\n",
    "nested with": "".join(f"{' ' * n}with x:\n" for n in range(19)) + " " * 19 + "pass\n",
    "constants that are folded": "x = " + "+".join(["('x' * 4000)"] * 2000),
    "tuples that are folded": "x = " + "(" * 60 + "1," + ") * 255" * 60,
    "shifts that are folded": "x = " + ", ".join(["1 << 127"] * 4000),
    "powers that are folded": "x = " + ", ".join(["(2 ** 63) ** 2"] * 4000),
    "a power of powers": "x = 9 ** 9 ** 9 ** 9",
    "a shift too far": "x = 1 << (1 << 40)",
    "a text times a number": "x = 'x' * 10 ** 11",
    "a bytes literal times a number": "x = (b'x' * 4096 * 4096 * 4096)",
    "deep parentheses": "x = " + "(" * 190 + "1" + ")" * 190,
    "too deep parentheses": "x = " + "(" * 90_000,
    "deep lists": "x = " + "[" * 90_000 + "]" * 9_000,
    "a long sum": "x = " + "+".join(["1"] * 49_000),
    "a long sum of names": "x = " + "+".join(["x"] * 49_000),
    "many signs": "x = " + "-" * 99_000 + "1",
    "many nots": "x = " + "not " * 24_000 + "1",
    "many attributes": "x = x" + ".a" * 49_000,
    "many calls": "x = f" + "()" * 49_000,
    "many subscripts": "x = f" + "[0]" * 33_000,
    "nested lambdas": "x = " + "lambda: " * 12_000 + "1",
    "nested conditions": "x = " + "1 if 1 else " * 8_000 + "1",
    "a chain of elif": "if 0: pass\n" + "elif 0: pass\n" * 7_000,
    "a chain of comparisons": "x = " + "<".join(["1"] * 49_000),
    "a chain of and": "x = " + " and ".join(["x"] * 16_000),
    "nested comprehensions": "x = " + "[" * 80 + "1" + " for _ in x]" * 80,
    "nested functions": "".join(f"{' ' * n}def f{n}():\n" for n in range(95)) + " " * 95 + "pass\n",
    "nested classes": "".join(f"{' ' * n}class C{n}:\n" for n in range(95)) + " " * 95 + "pass\n",
    "nested f-strings": "x = f'{f\"{1:{1:{1}}}\"}'" * 2_000,
    "many functions": "def f(): return 1\n" * 5_000,
    "many decorators": "@f\n" * 30_000 + "def f(): pass\n",
    "a long line": "x = 1;" * 16_000,
    "a long name": "x" * 99_000 + " = 1",
    "many names": ";".join(f"x{n}=1" for n in range(11_000)),
    "names that are normalized": "ﷺ" * 20_000 + " = 1",
    "a big number": "x = 0x" + "f" * 90_000,
    "a big decimal number": "x = " + "9" * 90_000,
    "a star expression": "x = [" + "*[" * 5_000 + "]" * 5_001,
    "a match of patterns": "match x:\n    case " + "[" * 5_000 + "]" * 5_000 + ": pass",
    "many strings side by side": "x = " + "'a' " * 24_000,
    "a coding that is none": "# -*- coding: unicode_escape -*-\nx = 1\\u000a" * 2_000,
    "a zip of NULs": "x = 1\n" + "\0" * 1_000,
    "half of a surrogate": "x = '\ud800'",
}  # fmt: skip
"""Texts that cost the parser, the compiler or their stack far more than their length; most are no programs at all."""
COMPILED: Programs = {f"an answer of {name}": (text + "\ndef f(*_): return 1\n", ONE) for name, text in SOURCES.items()}
COMPILED |= {
    f"a check of {name}": ("def f(*_): return 1\n", (text + "\nassert f(1) == 2\n",)) for name, text in SOURCES.items()
}
INSIDE: Programs = {
    f"compiles {name}": (f"def f(*_):\n    try: compile({source}, 'x', 'exec')\n    except (SyntaxError, RecursionError): pass\n    return 1", ONE)
    for name, source in {
        "nested finally": "''.join(f\"{' ' * n}try: pass\\n{' ' * n}finally:\\n\" for n in range(26)) + ' ' * 26 + 'pass'",
        "many signs": "'-' * 10_000_000 + '1'",
        "a big file": "'x = 1\\n' * 10_000_000",
        "a deep tree": "__import__('functools').reduce(lambda t, _: __import__('ast').UnaryOp(__import__('ast').USub(), t), range(10**6), __import__('ast').Constant(1))",
    }.items()
}  # fmt: skip

CHILDREN = """
def children(count, work):
    "How many of so many children have done the work; all live until the last has."
    reading, writing = os.pipe()
    for _ in range(count):
        try:
            if os.fork() == 0:
                work()
                os.write(writing, b"x")
                time.sleep(600)
        except OSError: break
    done = 0
    while done < count: done += len(os.read(reading, count))
    return done
"""
MEMORY: Programs = {
    "memory": ("def f(size): return len(bytearray(size))", ("assert f(4 << 30) == 4 << 30", "assert f(300 << 20) == 300 << 20")),
    "memory in lists": ("def f(*_): return len([None] * (100 << 20))", ("assert f() == 100 << 20",)),
    "memory in pieces": ("def f(*_):\n    held = []\n    while len(held) < 400: held.append(bytearray(1 << 20))\n    return len(held)", ("assert f() == 400",)),
    "memory that is mapped": (
        "import mmap\ndef f(flags):\n    made = mmap.mmap(-1, 400 << 20, flags=flags)\n    for n in range(0, len(made), 4096): made[n] = 1\n    return len(made)",
        ("assert f(33) == 400 << 20", "assert f(34) == 400 << 20"),
    ),
    "memory of files that are mapped": (
        "import mmap\ndef f(*_):\n    held = []\n    for n in range(64):\n        with open(f'm{n}', 'wb+') as file:\n            file.truncate(8 << 20)\n"
        "            held.append(mmap.mmap(file.fileno(), 8 << 20))\n        held[-1][:] = b'x' * (8 << 20)\n    return len(held)",
        ("assert f() == 64",),
    ),
    "memory of many processes": (
        CHILDREN + "def f(count): return children(count, lambda: kept.append(b'x' * (60 << 20)))\nkept = []", ("assert f(8) == 8", "assert f(12) == 12")
    ),
    "memory that is shared by many": (
        CHILDREN + "import mmap\ndef work():\n    kept.append(mmap.mmap(-1, 60 << 20))\n    kept[-1].write(b'x' * (60 << 20))\nkept = []\n"
        "def f(*_): return children(8, work)", ("assert f() == 8",)
    ),
    "memory before the limit of a child": (
        CHILDREN + "import resource\ndef work():\n    hard = resource.getrlimit(resource.RLIMIT_AS)[1]\n    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))\n"
        "    kept.append(b'x' * (60 << 20))\nkept = []\ndef f(*_): return children(8, work)", ("assert f() == 8",)
    ),
    "memory of a file": ("def f(*_): return os.memfd_create('x')", ("assert f() > 0",)),
    "memory of the system": (
        "libc = ctypes.CDLL(None, use_errno=True)\ndef shm(): return libc.shmget(0, 1 << 20, 0o1666)\ndef msg(): return libc.msgget(0, 0o1666)\ndef sem(): return libc.semget(0, 1, 0o1666)",
        ("assert shm() >= 0", "assert msg() >= 0", "assert sem() >= 0"),
    ),
    "memory that is locked": (
        "libc = ctypes.CDLL(None)\ndef f(*_):\n    made = ctypes.create_string_buffer(32 << 20)\n    return libc.mlock(made, 32 << 20) or libc.mlockall(3)", ("assert f() == 0",)
    ),
    "memory of pipes": (
        CHILDREN + "import fcntl\ndef work():\n    held = []\n    for _ in range(25):\n        held.append(os.pipe())\n        try: fcntl.fcntl(held[-1][1], 1031, 1 << 20)\n"
        "        except OSError: os._exit(1)\n        os.set_blocking(held[-1][1], False)\n        try:\n            while True: os.write(held[-1][1], b'x' * 65536)\n"
        "        except OSError: pass\ndef f(*_): return children(12, work)", ("assert f() == 12",)
    ),
    "memory of sockets": (
        "import socket\ndef f(*_):\n    held = [socket.socketpair() for _ in range(200)]\n    return len(held)", ("assert f() == 200",)
    ),
    "memory of stacks": (
        "def f(*_):\n    threading.stack_size(64 << 20)\n    for _ in range(12): threading.Thread(target=time.sleep, args=(60,)).start()\n    return threading.active_count()",
        ("assert f() == 13",),
    ),
    "memory of the answer and the check": (
        "held = b'x' * (180 << 20)\ndef f(*_): return 1", ("other = b'x' * (180 << 20)\nassert f() == 1 and len(other) == 180 << 20",)
    ),
    "memory of a value": ("def f(*_): return [0] * 20_000_000", ("assert f() == [1]",)),
    "memory of many values": (
        "def f(*_): return 'x' * 900_000", ("held = [f() + str(n) for n in range(1000)]\nassert len(held) == 1000",)
    ),
    "memory of objects for the check": (
        "class Object: pass\ndef f(*_): return Object()", ("held = []\nwhile len(held) < 3_000_000: held.append(f())\nassert len(held) == 3_000_000",)
    ),
    "memory of an error": ("def f(*_): raise ValueError('x' * 150_000_000, 'y' * 50_000_000)", ONE),
    "memory while loading": ("held = b'x' * (400 << 20)\ndef f(*_): return len(held)", ("assert f() == 400 << 20",)),
    "memory in the check": ("def f(*_): return 400 << 20", ("assert len(b'x' * f()) == 400 << 20",)),
    "memory by raised limits": (
        "import resource\ndef f(*_):\n    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))\n    return 1", ("assert f() == 1",)
    ),
}  # fmt: skip

FILES: Programs = {
    "too many files at once": ("def f(*_): return len([os.open('/dev/null', 0) for _ in range(200)])", ("assert f() == 200",)),
    "too many processes at once": (CHILDREN + "def f(*_): return children(40, lambda: None)", ("assert f() == 40",)),
    "too many threads at once": (
        "def f(*_):\n    for _ in range(40): threading.Thread(target=time.sleep, args=(60,)).start()\n    return 1", ("assert f() == 1",)
    ),
    "processes in the check": (
        "def f(*_): return 40", ("import os, time\nfor _ in range(f()):\n    if os.fork() == 0: time.sleep(60)\nassert True",)
    ),
    "processor time of many": (
        CHILDREN + "def work():\n    while time.process_time() < 0.15: pass\ndef f(*_): return children(14, work)", ("assert f() == 14",)
    ),
    "processor time of short lives": (
        "def f(*_):\n    while True:\n        try: child = os.fork()\n        except OSError: continue\n        if child == 0:\n            sum(range(1000))\n            os._exit(0)\n"
        "        os.waitpid(child, 0)", ONE,
    ),
    "output": (
        "def f():\n    for _ in range(64): os.write(1, b'x' * 1_000_000); sys.stderr.write('x' * 1_000_000)\n    return 0", ("assert f() == 1",)
    ),
    "output while loading": ("for _ in range(200): print('x' * 1_000_000)\ndef f(*_): return 1", ONE),
    "output without end": ("def f(*_):\n    while True: print('x' * 1_000_000); sys.stderr.write('x' * 1_000_000)", ONE),
    "output of the check": ("def f(*_): return 1", ("while True: print('x' * 1_000_000 * f())",)),
    "output of warnings": ("import warnings\ndef f(*_):\n    while True: warnings.warn('x' * 100_000, stacklevel=1)", ONE),
}  # fmt: skip
DISK: Programs = {
    "a big file": (
        "def f(*_):\n    with open('big', 'wb') as file:\n        for _ in range(40): file.write(b'x' * (1 << 20))\n    return os.path.getsize('big')", ("assert f() > 17_000_000",)
    ),
    "a file that is allocated": (
        "def f(*_):\n    file = os.open('big', os.O_RDWR | os.O_CREAT)\n    os.posix_fallocate(file, 0, 40 << 20)\n    return os.fstat(file).st_blocks * 512", ("assert f() > 17_000_000",)
    ),
    "a file with holes": (
        "def f(*_):\n    file = os.open('holes', os.O_RDWR | os.O_CREAT)\n    os.ftruncate(file, 1 << 40)\n    return os.fstat(file).st_size", ("assert f() == 1 << 40",)
    ),
    "many files": (
        "def f(*_):\n    done = 0\n    try:\n        for number in range(1_000_000):\n            with open(f'file-{number}', 'wb') as file: done += file.write(b'x' * 4_000_000)\n"
        "    except OSError: pass\n    return done",
        ("assert f() > 17_000_000",),
    ),
    "many empty files": (
        "def f(*_):\n    try:\n        for n in range(6_000): open(f'e{n}', 'w').close()\n    except OSError: pass\n    return n", ("assert f() > 5000",)
    ),
    "many folders": ("def f(*_):\n    for n in range(6_000): os.mkdir(f'd{n}')\n    return n", ("assert f() > 5000",)),
    "many links": (
        "def f(*_):\n    for n in range(20_000): os.symlink('x' * 1000, f's{n}')\n    return n", ("assert f() > 5000",)
    ),
    "files of many processes": (
        CHILDREN + "def work():\n    with open(f'own{os.getpid()}', 'wb') as file: file.write(b'x' * (4 << 20))\ndef f(*_): return children(10, work)", ("assert f() == 10",)
    ),
    "files that are open and gone": (
        "def f(*_):\n    held = []\n    for n in range(40):\n        held.append(open('gone', 'wb'))\n        held[-1].write(b'x' * (1 << 20))\n        held[-1].flush()\n        os.unlink('gone')\n"
        "    return len(held)", ("assert f() == 40",)
    ),
    "files in the check": (
        "def f(*_): return 40", ("with open('big', 'wb') as file:\n    file.write(b'x' * (f() << 20))\nassert True",)
    ),
    "files of the answer and the check": (
        "def f(*_):\n    with open('mine', 'wb') as file: return file.write(b'x' * (12 << 20))", ("with open('other', 'wb') as file:\n    file.write(b'x' * f())\nassert f() > 0",)
    ),
    "deep folders": (
        "def f(*_):\n    for n in range(6_000):\n        os.mkdir('d')\n        os.chdir('d')\n    return n", ("assert f() > 5000",)
    ),
}  # fmt: skip

EVERYWHERE: Programs = {**COMPILED, **INSIDE, **MEMORY, **FILES}
CONTAINED: Programs = DISK
"""Only with namespaces: without them the folder is in a file system of the machine."""
