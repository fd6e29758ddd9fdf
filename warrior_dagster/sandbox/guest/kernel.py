"""Linux confinement through libc: namespaces, mounts, capabilities, a seccomp filter, resource limits.

Runs inside the sandbox before the tested code, with the standard library only. Functions raise OSError where Linux refuses.
"""

import ctypes
import os
import resource
import signal
import struct

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
ANY_NAMESPACE = 0x7E020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MS_RELATIME = 1 << 21
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 4, 22, 24, 36
PR_SET_NO_NEW_PRIVS = 38
EPERM, ENOSYS = 1, 38

TMP = "/tmp"  # the folder in which a check runs
MODULES = "/modules"  # the folder of installed modules that the caller names
# Each system call has its numbers on x86-64 and on 64-bit ARM.
BLOCKED_CALLS = {
    "socket": (41, 198), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "kexec_load": (246, 104), "open_by_handle_at": (304, 265), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "setsid": (112, 157), "setpgid": (109, 154), "personality": (135, 92), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "kcmp": (312, 272), "process_mrelease": (448, 448),
    "connect": (42, 203), "bind": (49, 200), "sendmsg": (46, 211), "sendmmsg": (307, 269),
}  # fmt: skip
SIGNAL_CALLS = {
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsig": (297, 240),
}  # fmt: skip
OWN_PROCESS_CALLS = {
    "prlimit": (302, 261), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
}  # fmt: skip
CLONE, CLONE3, FCNTL, IOCTL, SENDTO = (56, 220), (435, 435), (72, 25), (16, 29), (44, 206)
# With these, a descriptor sends signals to a process, or a pipe grows.
DENIED_COMMANDS = {FCNTL: (8, 15, 1031), IOCTL: (0x8901, 0x8902)}
# Column in these tables and audit architecture of each machine.
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
# Instructions of the filter program (classic BPF), and its results.
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, DENY, NOT_IMPLEMENTED = 0x7FFF0000, 0x00050000 | EPERM, 0x00050000 | ENOSYS

libc = ctypes.CDLL(None, use_errno=True)


def write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def check_result(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    check_result(libc.unshare(flags), f"unshare {flags:#x}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    arguments = [word.encode() if word else None for word in (source, target, kind)]
    check_result(libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None), f"mount {source} on {target}")


def unmount(target: str) -> None:
    """Detach a mount at once, even if it is busy."""
    check_result(libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def bind_mount(source: str, target: str, *, read_only: bool = True) -> None:
    mount(source, target, "", MS_BIND | MS_REC)
    # Repeat the restrictions of the mount: an unprivileged user may not drop them in a remount.
    current = os.statvfs(target).f_flag
    flags = MS_NOSUID | (current & (MS_NOEXEC | 1024 | 2048)) | (MS_RELATIME if current & 4096 else 0)
    flags |= MS_RDONLY | MS_NODEV if read_only else current & (MS_RDONLY | MS_NODEV)
    mount("", target, "", MS_BIND | MS_REMOUNT | flags)


def mount_tmp(size: int) -> None:
    mount("tmpfs", TMP, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},nr_inodes=4096,mode=1777")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root folder, with the old root at `old`, a folder in it."""
    check_result(libc.syscall({"x86_64": 155, "aarch64": 41}[os.uname().machine], new.encode(), old.encode()), "pivot_root")


def prctl(option: int, value: int) -> None:
    check_result(libc.prctl(option, *(ctypes.c_ulong(number) for number in (value, 0, 0, 0))), f"prctl {option}")


def die_with_parent() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def drop_capabilities() -> None:
    """Give up every privilege, including those that a set-user-id program would bring."""
    for number in range(64):
        if libc.prctl(PR_CAPBSET_DROP, *(ctypes.c_ulong(n) for n in (number, 0, 0, 0))) != 0:
            break  # past the last capability, or this process holds none
    check_result(libc.capset(struct.pack("=Ii", 0x20080522, 0), bytes(24)), "capset")
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_DUMPABLE, 0)  # other processes may not trace it


def filter_system_calls(*, own_signals_only: bool) -> None:
    """Deny sockets, tracing, namespaces, other process groups, and memory that RLIMIT_AS does not count. Does nothing on
    machines that are not in MACHINES.

    own_signals_only: also deny signals to all processes but this one, for where no namespace does.
    """
    if os.uname().machine not in MACHINES:
        return
    column, machine = MACHINES[os.uname().machine]

    def argument(
        numbers: tuple[int, ...], *tests: tuple[int, int, int, int], offset: int = 16
    ) -> list[tuple[int, int, int, int]]:
        """Tests of an argument of a call, the first unless an offset is given; other calls jump over them."""
        return [(JUMP_EQUAL, 0, len(tests) + 1, numbers[column]), (LOAD, 0, 0, offset), *tests]

    itself = os.getpid() if own_signals_only else 0  # otherwise this process is another than the code's
    own = [(JUMP_EQUAL, 2, 0, 0), (JUMP_EQUAL, 1, 0, itself), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW)]
    code = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, machine), (RETURN, 0, 0, DENY), (LOAD, 0, 0, 0)]
    if column == 0:  # the calls of the x32 ABI
        code += [(JUMP_AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, DENY)]
    for numbers in BLOCKED_CALLS.values():
        code += [(JUMP_EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, DENY)]
    for numbers in (*OWN_PROCESS_CALLS.values(), *(SIGNAL_CALLS.values() if own_signals_only else ())):
        code += argument(numbers, *own)
    for numbers, commands in DENIED_COMMANDS.items():
        denied = [step for command in commands for step in ((JUMP_EQUAL, 0, 1, command), (RETURN, 0, 0, DENY))]
        code += argument(numbers, *denied, (RETURN, 0, 0, ALLOW), offset=24)
    # To the other end of a pair only, not to an address.
    code += argument(SENDTO, (JUMP_EQUAL, 1, 0, 0), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW), offset=48)
    code += argument(CLONE, (JUMP_ANY_BIT, 0, 1, ANY_NAMESPACE), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW))
    # A filter cannot read the flags of clone3, which lie in memory; libc falls back to clone.
    code += [(JUMP_EQUAL, 0, 1, CLONE3[column]), (RETURN, 0, 0, NOT_IMPLEMENTED), (RETURN, 0, 0, ALLOW)]
    packed = b"".join(struct.pack("=HBBI", *step) for step in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("@HP", len(packed) // 8, ctypes.addressof(buffer))
    check_result(libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(2), program, ctypes.c_ulong(0), ctypes.c_ulong(0)), "seccomp")


def set_limits(memory: int, file_bytes: int, files: int, processes: int) -> None:
    """Limit for good this process and its children: memory and file size in bytes, processes with threads."""
    limits = dict.fromkeys((resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE), 0)
    limits |= {resource.RLIMIT_AS: memory, resource.RLIMIT_FSIZE: file_bytes}
    limits |= {resource.RLIMIT_NOFILE: files, resource.RLIMIT_NPROC: processes}
    for name, wanted in limits.items():
        hard = resource.getrlimit(name)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(name, (limit, limit))


def limit_cpu(seconds: int) -> None:
    """Limit the CPU time of this process; each of its children may use as much."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
