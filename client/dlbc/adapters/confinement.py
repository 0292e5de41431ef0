"""What a process that handles strangers' bytes takes away from itself before it begins.

`limit_self`: memory, file sizes, core dumps. `confine`: the network, new processes, files that it could
write, by whatever this kernel offers; each layer is there for where the others are not, and all that work are used.
They can't be taken back, and threads that start later have them too: numpy and torch, which start some, come after.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_THREAD = 0x10000000, 0x40000000, 0x00010000
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3, _CAP_DAC_READ_SEARCH = 0x20080522, 1 << 2
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT, _LANDLOCK_VERSION = 444, 446, 1
_LANDLOCK_CONNECT_AND_BIND = 0b11
_LANDLOCK_NETWORK_FROM = 4
_LANDLOCK_WRITES = {1: 0x1FF2, 2: 0x3FF2, 3: 0x7FF2}
"""By version: write, remove, make (1), move (2), truncate (3); neither execute, read file nor read folder."""


_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
"""What a child gets of the environment: nothing in which a secret might be."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """What holds for this process from now on."""

    network: tuple[str, ...]
    """Each keeps it from the network by itself: "namespace", "landlock", "seccomp". Empty: nothing does."""
    has_no_writes: bool
    has_no_children: bool


@dataclass(frozen=True, slots=True)
class _Calls:
    """Numbers of system calls on one kind of processor, and what seccomp calls it."""

    architecture: int
    clone: int
    clone3: int
    refused: tuple[int, ...]
    """socket, socketpair, io_uring_setup, execve, execveat, fork, vfork, ptrace, process_vm_writev."""
    foreign_from: int | None = None
    """System calls from this number on belong to another calling convention (x32)."""


_CALLS = {
    "x86_64": _Calls(0xC000003E, 56, 435, (41, 53, 425, 59, 322, 57, 58, 101, 311), 0x40000000),
    "aarch64": _Calls(0xC00000B7, 220, 435, (198, 199, 425, 221, 281, 117, 271)),
}


def child_environment(folder: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Nothing of who looks: neither account nor password nor the daemon's folder."""
    kept = {name: environment[name] for name in _KEPT if name in environment}
    if "PYTHONPATH" in kept:  # the child works in another folder
        folders = kept["PYTHONPATH"].split(os.pathsep)
        kept["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in folders)
    return kept | {"TMPDIR": folder, "CUDA_VISIBLE_DEVICES": "", "DLBC_HOME": folder}


def limit_self(memory_bytes: int | None, file_bytes: int | None) -> None:
    """Less memory, smaller files, no core dump; for this process and its children.

    Memory is private data (RLIMIT_DATA), not address space, of which libraries reserve much more than they use.
    """
    for limit, most in (
        (resource.RLIMIT_DATA, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        if most is not None:
            _lower(limit, most)


def give_way() -> None:
    """This process and its children leave the processor to others that want it."""
    os.nice(10)


def limit_processor(seconds: int) -> None:
    """The kernel ends this process after so many seconds of processor time, of all threads together. Can be moved."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds if hard == resource.RLIM_INFINITY else min(seconds, hard), hard))


def confine() -> Confinement:
    """Takes away what can be taken away. Must be called while this process has one thread."""
    if not sys.platform.startswith("linux"):
        return Confinement((), has_no_writes=False, has_no_children=False)
    has_own_network = leave_network()
    gain_nothing()
    has_no_writes, has_no_tcp = deny_writes_and_tcp()
    has_no_sockets = deny_sockets_and_children()
    layers = (("namespace", has_own_network), ("landlock", has_no_tcp), ("seccomp", has_no_sockets))
    return Confinement(tuple(name for name, holds in layers if holds), has_no_writes, has_no_sockets)


def end_with_parent() -> None:
    """The kernel ends this process when the thread that started it is gone. `confine` comes first: it undoes this."""
    if sys.platform.startswith("linux"):
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_network() -> bool:
    """A network namespace of its own, in which nothing is up, not even loopback; and no capability but to read."""
    libc = _library()
    if libc.unshare(_CLONE_NEWNET) != 0 and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    for kept in (_CAP_DAC_READ_SEARCH, 0):  # root's programs may be in a folder that is not root's
        if libc.capset(header, (ctypes.c_uint32 * 6)(kept, kept)) == 0:
            break
    return True


def gain_nothing() -> None:
    """No program that is run from here has more rights; without this the next two need root."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def deny_writes_and_tcp() -> tuple[bool, bool]:
    """Landlock: (no file can be opened to write, made or removed; no TCP connection is made or awaited)."""
    libc = _library()
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False, False
    has_tcp = version >= _LANDLOCK_NETWORK_FROM
    handled = (ctypes.c_uint64 * 2)(_LANDLOCK_WRITES[min(version, 3)], _LANDLOCK_CONNECT_AND_BIND if has_tcp else 0)
    size = ctypes.c_size_t(16 if has_tcp else 8)  # older kernels know the first field only
    rules = libc.syscall(_LANDLOCK_CREATE, handled, size, 0)
    if rules < 0:
        return False, False
    try:
        holds = libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0
    finally:
        os.close(rules)
    return holds, holds and has_tcp


def deny_sockets_and_children() -> bool:
    """seccomp: a socket of any kind, another process and another program are refused; threads are not."""
    calls = _CALLS.get(platform.machine())
    if calls is None or sys.byteorder != "little" or sys.maxsize < 2**32:
        return False
    program = _filter(calls)
    held = ctypes.create_string_buffer(program, len(program))
    described = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(held)))
    return _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(described))


def _filter(calls: _Calls) -> bytes:
    """The program (classic BPF) that the kernel runs at every system call: refuse the named ones, allow the rest.

    linux/filter.h: a step is (code, steps to skip if true, if false, operand). seccomp_data: number, architecture,
    instruction pointer, arguments.
    """
    load, equal, at_least, has_bits, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, unknown = 0x7FFF0000, 0x00050000 | 13, 0x00050000 | 38  # EACCES, ENOSYS
    steps = [(load, 0, 0, 4), (equal, 1, 0, calls.architecture), (answer, 0, 0, refuse), (load, 0, 0, 0)]
    if calls.foreign_from is not None:
        steps += [(at_least, 0, 1, calls.foreign_from), (answer, 0, 0, refuse)]
    for number in calls.refused:
        steps += [(equal, 0, 1, number), (answer, 0, 0, refuse)]
    # The flags of clone3 can't be seen from here; where it is unknown, C libraries use clone.
    steps += [(equal, 0, 1, calls.clone3), (answer, 0, 0, unknown)]
    steps += [(equal, 0, 3, calls.clone), (load, 0, 0, 16), (has_bits, 1, 0, _CLONE_THREAD), (answer, 0, 0, refuse)]
    steps += [(answer, 0, 0, allow)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _lower(limit: int, most: int) -> None:
    _, hard = resource.getrlimit(limit)
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (least, least))


def _prctl(option: int, *arguments: int) -> bool:
    words = (ctypes.c_ulong * 4)(*arguments)
    return bool(_library().prctl(option, *(ctypes.c_ulong(word) for word in words)) == 0)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
