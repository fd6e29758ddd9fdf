"""Programs that try to leave the sandbox, to read or change what is outside it, to reach other processes or to outlive their check.

Each check holds if the program could do it. Facts of the test replace names in braces: `{marker}`, `{secret}`, `{folder}`, `{port}`,
and `{host}`, the process that runs the sandboxes.
"""

import pwd

from tests.sandbox.hostile.kinds import Programs

CALLS = """
libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {}
def allowed(name, *arguments):
    "Whether Linux let a system call try: it worked, or failed for another reason than that it may not be used."
    ctypes.set_errno(0)
    number = NUMBERS[name][os.uname().machine == "aarch64"]
    return libc.syscall(number, *map(ctypes.c_void_p, arguments)) >= 0 or ctypes.get_errno() not in (1, 13, 38)
"""
SYSTEM_CALLS = {
    "bpf": (321, 280, "0, 0, 0"), "perf_event_open": (298, 241, "0, 0, -1, -1, 0"), "userfaultfd": (323, 282, "1"), "keyctl": (250, 219, "0, -3, 1"),
    "add_key": (248, 217, "0, 0, 0, 0, -2"), "request_key": (249, 218, "0, 0, 0, -2"), "io_uring_setup": (425, 425, "0, 0"),
    "memfd_create": (319, 279, "0, 0"), "memfd_secret": (447, 447, "0"), "ptrace": (101, 117, "16, 1, 0, 0"), "personality": (135, 92, "0x0400000"),
    "process_vm_readv": (310, 270, "os.getppid(), 0, 0, 0, 0, 0"), "process_vm_writev": (311, 271, "os.getppid(), 0, 0, 0, 0, 0"),
    "kcmp": (312, 272, "os.getpid(), os.getppid(), 2, 0, 0"), "pidfd_open": (434, 434, "os.getppid(), 0"), "pidfd_getfd": (438, 438, "3, 0, 0"),
    "pidfd_send_signal": (424, 424, "3, 0, 0, 0"), "process_madvise": (440, 440, "3, 0, 0, 0, 0"), "setns": (308, 268, "3, 0"),
    "unshare a user": (272, 97, "0x10000000"), "unshare mounts": (272, 97, "0x00020000"), "unshare a network": (272, 97, "0x40000000"),
    "unshare processes": (272, 97, "0x20000000"), "unshare names": (272, 97, "0x04000000"), "unshare control groups": (272, 97, "0x02000000"),
    "mount": (165, 40, "0, 0, 0, 0, 0"), "umount2": (166, 39, "0, 0"), "pivot_root": (155, 41, "0, 0"), "chroot": (161, 51, "b'.'"), "open_tree": (428, 428, "-100, 0, 0"),
    "move_mount": (429, 429, "-1, 0, -1, 0, 0"), "fsopen": (430, 430, "0, 0"), "fspick": (433, 433, "-100, 0, 0"), "mount_setattr": (442, 442, "-100, 0, 0, 0, 0"),
    "open_by_handle_at": (304, 265, "-100, 0, 0"), "fanotify_init": (300, 262, "0, 0"), "acct": (163, 89, "b'/nowhere'"),
    "swapon": (167, 224, "0, 0"), "reboot": (169, 142, "0, 0, 0, 0"), "kexec_load": (246, 104, "0, 0, 0, 0"), "init_module": (175, 105, "0, 0, 0"),
    "finit_module": (313, 273, "-1, 0, 0"), "delete_module": (176, 106, "0, 0"), "settimeofday": (164, 170, "0, 0"),
    "sethostname": (170, 161, "0, 0"), "setdomainname": (171, 162, "0, 0"), "syslog": (103, 116, "4, 0, 0"), "mq_open": (240, 180, "0, 0"),
    "shmget": (29, 194, "0, 4096, 0o1600"), "msgget": (68, 186, "0, 0o1600"), "semget": (64, 190, "0, 1, 0o1600"),
    "a new namespace by clone": (56, 220, "0x10000011, 0, 0, 0, 0"),
    "prlimit of its parent": (302, 261, "os.getppid(), 7, 0, 0"), "set a limit of its parent": (302, 261, "os.getppid(), 0, 0, 0"), "move_pages": (279, 239, "os.getppid(), 0, 0, 0, 0, 0"),
    "migrate_pages": (256, 238, "os.getppid(), 0, 0, 0"), "x32": (0x40000000 + 39, 0x40000000, ""),
}  # fmt: skip
CALLED: Programs = {
    f"calls {name}": (
        CALLS.replace("{}", repr({name: numbers})) + f"def f(*_):\n    if allowed({name!r}, {arguments}): return True\n    return False", ("assert f() is True",)
    )
    for name, (*numbers, arguments) in SYSTEM_CALLS.items()
}  # fmt: skip

FAMILIES = {
    "INET": 2,
    "INET6": 10,
    "UNIX": 1,
    "NETLINK": 16,
    "PACKET": 17,
    "VSOCK": 40,
    "ALG": 38,
    "BLUETOOTH": 31,
    "CAN": 29,
    "TIPC": 30,
    "XDP": 44,
    "KEY": 15,
}
SOCKETS: Programs = {
    f"makes a socket of {name}": (
        "import socket\ndef f(kind):\n"
        f"    try: return socket.socket({number}, kind).fileno() > 0\n    except PermissionError: return False\n    except OSError as error: return error.errno not in (97, 94, 93, 22)",
        ("assert f(1) is True", "assert f(2) is True", "assert f(3) is True"),
    )
    for name, number in FAMILIES.items()
}
SOCKETS |= {
    "connects": (
        "import socket\ndef tcp(port): return socket.create_connection(('127.0.0.1', port), 1).fileno() > 0\n"
        "def udp(): return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))\n"
        "def named(): return socket.socket(socket.AF_UNIX).connect('\\0{marker}') is None\ndef name(): return socket.getaddrinfo('localhost', {port})[0][4][0]",
        ("assert tcp({port}) == True", "assert udp() == 1", "assert named() == True", "import socket\nassert socket.create_connection(('127.0.0.1', {port}), 1).fileno() > 0"),
    ),
    "connects one of a pair": (
        "import socket\ndef f(kind):\n    one, other = socket.socketpair(socket.AF_UNIX, kind)\n    return one.connect('\\0{marker}-pair') is None\n"
        "def send():\n    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\n    return one.sendto(b'x', '\\0{marker}-pair')",
        ("assert f(2) == True", "assert f(1) == True", "assert send() == 1"),
    ),
    "listens": (
        "import socket\ndef f(*_): return socket.create_server(('0.0.0.0', 0)).fileno() > 0\ndef g(*_):\n    one, other = socket.socketpair()\n    one.bind('\\0{marker}-own')\n    return 1",
        ("assert f() == True",),
    ),
    "forwards by a serving module": (
        "import http.client\ndef f(*_):\n    made = http.client.HTTPConnection('127.0.0.1', {port}, timeout=1)\n    made.connect()\n    return 1", ("assert f() == 1",)
    ),
}  # fmt: skip

SIGNAL = """
import signal
def sent(pid, numbers=range(1, 65), send=os.kill):
    "Sends signals. 1 if all of them were sent."
    for number in numbers:
        if number in (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH, 32, 33): continue
        send(pid, number)
    return 1
"""
SIGNALS: Programs = {
    "signals its parent": (SIGNAL + "def f(*_): return sent(os.getppid()) + 1", ("assert f() == 1", "import os, time\nf()\ntime.sleep(0.05)\nassert False")),
    "signals the first process": (SIGNAL + "def f(*_): return sent(1) + 1", ("assert f() == 1",)),
    "signals its group": (SIGNAL + "def f(*_): return sent(0)", ("assert f() == 2",)),
    "signals everyone": (SIGNAL + "def f(*_): return sent(-1)", ("assert f() == 2",)),
    "signals the host": (SIGNAL + "def f(*_): return sent({host}, [15]) and sent({host})", ("assert f() == 1",)),
    "signals the group of the host": (SIGNAL + "def f(*_): return sent(os.getpgid({host}), send=os.killpg)", ("assert f() == 1",)),
    "signals the neighbours": (
        SIGNAL + "def f(*_):\n    for pid in range(2, 64):\n        if pid != os.getpid():\n            for number in (2, 15, 9, 19):\n"
        "                try: os.kill(pid, number)\n                except OSError: pass\n    return 0", ("assert f() == 1",)
    ),
    **{
        f"sends its parent signal {number}": (f"def f(*_):\n    os.kill(os.getppid(), {number})\n    time.sleep(0.05)\n    return 0", ("assert f() == 1",))
        for number in (1, 2, 3, 6, 9, 10, 12, 13, 14, 15, 18, 19, 20, 23, 24, 25, 34)
    },
    "queues a signal for its parent": (
        "def f(*_):\n    libc = ctypes.CDLL(None)\n    return libc.sigqueue(os.getppid(), 9, 0) + libc.sigqueue(os.getppid(), 2, 0) + libc.sigqueue({host}, 15, 0)", ("assert f() == 5",)
    ),
    "signals a thread of its parent": (
        "def f(*_):\n    libc = ctypes.CDLL(None)\n    numbers = (234, 200) if os.uname().machine == 'x86_64' else (131, 130)\n"
        "    return libc.syscall(numbers[0], os.getppid(), os.getppid(), 2) + libc.syscall(numbers[1], os.getppid(), 9)", ("assert f() == 5",)
    ),
    "signals the check": (
        "def f(*_):\n    for pid in range(os.getpid() - 3, os.getpid() + 4):\n        if pid not in (os.getpid(), os.getppid()):\n"
        "            try: os.kill(pid, 9)\n            except OSError: pass\n    return 0", ("assert f() == 1",)
    ),
    "signals by a pipe": (
        "import fcntl\ndef f(pid):\n    reading, writing = os.pipe()\n    fcntl.fcntl(reading, 8, pid)\n    fcntl.fcntl(reading, 10, 15)\n"
        "    fcntl.fcntl(reading, fcntl.F_SETFL, os.O_ASYNC)\n    os.write(writing, b'x')\n    time.sleep(0.05)\n    return 0",
        ("assert f(__import__('os').getppid()) == 1", "assert f({host}) == 1", "assert f(1) == 1"),
    ),
    "starves its parent": ("import resource\ndef f():\n    resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))\n    return 1", ("assert f() == 1",)),
    "slows its parent": (
        "def f(*_):\n    os.setpriority(os.PRIO_PROCESS, {host}, 19)\n    return 1\ndef g(*_):\n    os.sched_setscheduler({host}, os.SCHED_IDLE, os.sched_param(0))\n    return 1\n"
        "def h(*_):\n    os.sched_setaffinity({host}, [0])\n    return 1", ("assert f() == 1", "assert g() == 1", "assert h() == 1"),
    ),
    "hurries": ("def f(*_): return os.nice(-5)", ("assert f() < 0",)),
    "moves to another group": ("def f(*_):\n    os.setpgid(0, os.getpgid(os.getppid()))\n    return 1", ("assert f() == 1",)),
    "traces": ("def f(): return ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)", ("assert f() == 0",)),
    "lets others trace it": ("def f(*_): return ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0) + ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)",
                             ("assert f() == 0 and open('/proc/self/mem', 'rb')",)),
}  # fmt: skip

SURVIVE = "def last():\n    try: os.setsid()\n    except OSError: pass\n    libc = ctypes.CDLL(None)\n    libc.prctl(1, 0)\n    import signal\n" \
    "    for number in range(1, 65):\n        try: signal.signal(number, signal.SIG_IGN)\n        except (OSError, ValueError): pass\n    time.sleep(600)\n"  # fmt: skip
SURVIVORS: Programs = {
    "a daemon": (
        "def f():\n    if os.fork() == 0:\n        try: os.setsid()\n        except OSError: pass\n        if os.fork() == 0: time.sleep(1e6)\n        os._exit(0)\n    os._exit(0)",
        ("assert f() == 1",),
    ),
    "a deaf daemon": (SURVIVE + "def f(*_):\n    if os.fork() == 0: last()\n    return 1", ("assert f() == 2",)),
    "a daemon while loading": (SURVIVE + "if os.fork() == 0: last()\ndef f(*_): return 1", ("assert f() == 2",)),
    "a daemon of the check": ("def f(*_): return 1", ("import os, time\nif os.fork() == 0:\n    try: os.setsid()\n    except OSError: pass\n    time.sleep(600)\nassert f() == 2",)),
    "daemons of daemons": (SURVIVE + "def f(*_):\n    for _ in range(6):\n        if os.fork() == 0: os.fork() or last()\n    os._exit(0)", ("assert f() == 2",)),
    "a daemon that adopts": ("def f(*_):\n    ctypes.CDLL(None).prctl(36, 1)\n    if os.fork() == 0:\n        if os.fork() == 0: time.sleep(600)\n        os._exit(0)\n    return 1", ("assert f() == 2",)),
    "a daemon that forks on": (
        SURVIVE + "def f(*_):\n    while True:\n        if os.fork(): os._exit(0)\n        time.sleep(0.001)", ("assert f() == 2",)
    ),
    "a daemon that stops": ("def f(*_):\n    if os.fork() == 0: os.kill(os.getpid(), 19)\n    return 1", ("assert f() == 2",)),
    "a daemon that ends its parent": (SURVIVE + "def f(*_):\n    if os.fork() == 0:\n        os.kill(os.getppid(), 9)\n        last()\n    time.sleep(9)", ("assert f() == 2",)),
    "a daemon that is another program": (
        "def f(*_):\n    if os.fork() == 0: os.execv('/proc/self/exe', ['python', '-c', 'import time; time.sleep(600)'])\n    return 1", ("assert f() == 2",)
    ),
    "a thread that stays": ("def f(*_):\n    threading.Thread(target=time.sleep, args=(600,)).start()\n    return 1", ("assert f() == 2",)),
    "multiprocessing": (
        "import multiprocessing\ndef f(*_):\n    made = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,))\n    made.start()\n    return 1", ("assert f() == 2",)
    ),
}  # fmt: skip

STATE: Programs = {
    "becomes root": (
        "libc = ctypes.CDLL(None)\ndef f(call, *arguments): return getattr(libc, call)(*arguments)",
        ("assert f('setuid', 0) == 0", "assert f('setgid', 0) == 0", "assert f('setresuid', 0, 0, 0) == 0", "assert f('setgroups', 1, b'\\0' * 4) == 0"),
    ),
    "is root": ("def f(*_): return os.getuid()\ndef g(*_): return os.getgroups()", ("assert f() == 0", "assert 0 in g()", "import os\nassert os.getuid() == 0")),
    "has capabilities": (
        "def f(kind):\n    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n    ctypes.CDLL(None).capget(header, data)\n    return data[kind] | data[kind + 3]\n"
        "def bounding(*_): return ctypes.CDLL(None).prctl(23, 21, 0, 0, 0)",
        ("assert f(0) > 0", "assert f(1) > 0", "assert f(2) > 0"),
    ),
    "may gain privileges": ("libc = ctypes.CDLL(None)\ndef f(*_): return libc.prctl(39, 0, 0, 0, 0)\ndef g(*_): return libc.prctl(21, 0, 0, 0, 0)", ("assert f() == 0", "assert g() == 0")),
    "has an environment": (
        "def f(name): return os.environ.get(name)\ndef g(*_): return len(os.environ)",
        ("assert f('PLANTED') == 'secret'", "import os\nassert os.environ.get('PLANTED') == 'secret'", "assert f('PATH')", "assert g() > 0", "import os\nassert 'PATH' in os.environ"),
    ),
    "has open descriptors": (
        "def f(*_):\n    import stat\n    found = []\n    for fd in range(256):\n        try: kind = os.fstat(fd).st_mode\n        except OSError: continue\n"
        "        if not stat.S_ISSOCK(kind) and not stat.S_ISCHR(kind): found.append(fd)\n    return len(found)",
        ("assert f() > 2",),
    ),
    "reads what the host says": (
        "def f(*_):\n    found = b''\n    for fd in range(256):\n        try:\n            os.set_blocking(fd, False)\n            found += os.read(fd, 1 << 20)\n        except OSError: pass\n    return found != b''",
        ("assert f() is True",),
    ),
    "finds the project": ("def f(name):\n    try: return __import__(name) is not None\n    except ImportError: return False",
                          ("assert f('pytest')", "assert f('torch') or f('pandas')", "assert f('warrior_dagster.config.arena')")),
    "dumps its core": ("import resource\ndef f(*_):\n    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))\n    return 1", ("assert f() == 1",)),
    "makes a device": ("import stat\ndef f(kind, device):\n    os.mknod('device', kind | 0o600, device)\n    return 1",
                       ("assert f(0o060000, 2048) == 1", "assert f(0o020000, 257) == 1")),
    "gives files away": ("def f(*_):\n    open('own', 'w').close()\n    os.chown('own', 0, 0)\n    return 1\ndef g(*_):\n    open('owned', 'w').close()\n    os.chown('owned', 65534, 1)\n    return 1",
                         ("assert f() == 1", "assert g() == 1")),
    "becomes root by a file": (
        "def f(*_):\n    import shutil\n    shutil.copy('/proc/self/exe', 'own')\n    os.chmod('own', 0o6755)\n    child = os.fork()\n"
        "    if child == 0: os.execv('own', ['own', '-c', 'import os; os._exit(os.geteuid() == 0)'])\n    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])", ("assert f() == 1",)
    ),
}  # fmt: skip

READ = """
def read(path):
    with open(path, "rb") as file: return len(file.read(1 << 16)) > 0
def listed(path): return len(os.listdir(path)) > 0
def many(path): return len(os.listdir(path)) > 3
def shown(path): return os.path.lexists(path)
def linked(path, target="link"):
    os.symlink(path, target)
    return read(target)
def hard(path):
    os.link(path, "hard")
    return read("hard")
def up(path): return read("../" * 20 + path)
def inside(root, path): return read(root + path)
def wrote(path):
    with open(path, "a") as file: return file.write("x")
"""
PATHS = ("{secret}", "/etc/passwd", "/etc/shadow", "/etc/hostname", "/proc/1/environ", "/proc/{host}/environ", "/proc/{host}/cmdline", "/proc/self/environ",
         "/proc/net/tcp", "/proc/kallsyms", "/proc/keys", "/proc/mounts", "/proc/version", "/sys/kernel/uevent_seqnum", "/dev/kmsg", "/dev/mem", "/bin/sh", "/usr/bin/env", "/var/lib/dpkg/status",
         *(f"{pwd.getpwuid(0).pw_dir}/{name}" for name in (".profile", ".bashrc")))  # fmt: skip
FOLDERS = (
    "/home",
    "{folder}",
    "/proc/self/fd",
    "/proc/1/fd",
    "/sys",
    "/dev/shm",
    "/run",
    "/var/log",
    "/etc/ssl",
    "/opt",
    "/mnt",
    "/proc/1/root",
    "/proc/{host}/cwd",
)
OUTSIDE = ("/written", "/usr/written", "/usr/lib/written", "/etc/written", "/dev/written", "/dev/shm/written", "/var/tmp/written", "/run/written", "/proc/sys/kernel/hostname",
           "/proc/self/oom_score_adj", "/proc/self/uid_map", "/sys/fs/cgroup/cgroup.procs", "{secret}", "{folder}/written")  # fmt: skip
CONTAINED: Programs = {
    "subprocesses": (
        "import subprocess\ndef f(*_): return subprocess.check_output(['/bin/sh', '-c', 'echo x'])\ndef g(*_): return os.system('true')\n"
        "def h(*_): return os.popen('echo x').read()", ("assert f() == b'x\\n'", "assert g() == 0", "assert h() == 'x\\n'"),
    ),
    "reads files": (READ, tuple(f"assert read('{path}') == True" for path in PATHS)),
    "reads folders": (READ, tuple(f"assert listed('{path}') == True" for path in FOLDERS)),
    "reads by a detour": (
        READ,
        ("assert linked('{secret}') == True", "assert hard('{secret}') == True", "assert up('{secret}') == True", "assert up('etc/passwd') == True",
         "assert inside('/proc/self/root', '{secret}') == True", "assert inside('/proc/1/root', '{secret}') == True", "assert inside('/old', '{secret}') == True",
         "assert linked('/proc/1/environ') == True", "assert linked('/etc/passwd') == True"),
    ),
    "reads in the check": (
        READ, ("assert open('{secret}').read()", "import os\nassert os.listdir('/home') or os.listdir('/root')", "import os\nassert os.path.exists('{secret}')",
               "import os\nos.symlink('/', 'root')\nassert open('root/etc/passwd').read()", "import subprocess\nassert subprocess.check_output(['id'])"),
    ),
    "writes outside": (READ, tuple(f"assert wrote('{path}') == 1" for path in OUTSIDE)),
    "changes the interpreter": (
        READ,
        ("import os\nassert wrote(os.__file__) == 1", "import os\nassert wrote(os.path.dirname(os.__file__) + '/planted.py') == 1", "import sys\nassert wrote(sys.executable) == 1",
         "import os\nassert wrote(os.path.dirname(os.__file__) + '/__pycache__/planted.pyc') == 1", "import sys\nassert wrote(sys.prefix + '/planted.pth') == 1"),
    ),
    "looks at the interpreter's neighbours": (
        READ, ("import sys, os\nassert many(os.path.dirname(sys.executable) or '/usr/bin') == True", "import os\nassert listed(os.path.dirname(os.__file__) + '/site-packages') == True",
               "assert shown('{secret}') == True", "assert shown('{folder}') == True"),
    ),
    "leaves by an open folder": (
        "def f(*_):\n    for fd in range(256):\n        try:\n            os.fchdir(fd)\n            return os.listdir('.') != []\n        except OSError: pass\n    return False\n"
        "def g(*_):\n    os.mkdir('in')\n    fd = os.open('.', os.O_RDONLY)\n    os.chroot('in')\n    os.fchdir(fd)\n    os.chdir('../' * 30)\n    os.chroot('.')\n    return read('{secret}')\n" + READ,
        ("assert f() is True", "assert g() is True"),
    ),
    "sees other processes": (
        "def f(*_): return [pid for pid in range(2, 70000) if exists(pid)]\ndef exists(pid):\n    try: os.kill(pid, 0)\n    except ProcessLookupError: return False\n    except PermissionError: return True\n"
        "    return pid not in (os.getpid(), os.getppid())\ndef g(*_): return [name for name in os.listdir('/proc') if name.isdigit()]\ndef h(*_): return os.getpriority(os.PRIO_PROCESS, {host})",
        ("assert len(f()) > 3", "assert len(g()) > 0", "assert h() > -30"),
    ),
    "leaves what another could find": (
        "def f(*_):\n    found = os.path.exists('planted') or os.path.exists('/tmp/planted')\n    for path in ('planted', '/tmp/planted', '/dev/shm/planted', '/var/tmp/planted'):\n"
        "        try: open(path, 'w').close()\n        except OSError: pass\n    return found", ("f()\nassert f() == 5", "assert f() == True", "assert f() == True"),
    ),
    "leaves a folder that cannot be removed": (
        "def f(*_):\n    os.makedirs('a/b/c')\n    open('a/b/file', 'w').close()\n    os.symlink('{folder}', 'a/b/link')\n    os.chmod('a/b', 0)\n    os.chmod('a', 0)\n    return 1", ("assert f() == 2",)
    ),
    "mounts": (
        "def f(*_): return ctypes.CDLL(None).mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)\ndef g(*_): return ctypes.CDLL(None).umount2(b'/tmp', 2)\n"
        "def h(*_): return ctypes.CDLL(None).mount(None, b'/', None, 32 | 4096, None)", ("assert f() == 0", "assert g() == 0", "assert h() == 0"),
    ),
}  # fmt: skip

EVERYWHERE: Programs = {**CALLED, **SOCKETS, **SIGNALS, **SURVIVORS, **STATE}
