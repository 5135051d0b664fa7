"""The process in which a stranger's program runs: it gives up what it must not have, then runs what stands on stdin.

Started by `sandbox` with namespaces of its own, without site-packages; imports the standard library only. It says on
stdout what came last on stdin, once the program has run to its end.
"""

import ctypes
import io
import os
import platform
import resource
import struct
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_SHARED = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")  # what modules of the standard library are linked with
_NO_SETUID, _NO_DEVICES = 2, 4  # of a mount
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2  # of prctl
_RULESET, _ADD_RULE, _RESTRICT = 444, 445, 446  # Landlock's system calls
_BENEATH = 1
_READ = 1 << 2 | 1 << 3  # read a file, list a folder
_WRITE = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 14  # write, remove and make files and folders, truncate
_EVERYTHING = (1 << 15) - 1  # whatever can be done to files, as of ABI 3
_ARCHITECTURE = 0xC000003E  # x86-64: the numbers below are its own
_ALLOWED = (
    *(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),  # files, memory, handlers of signals: read … rt_sigreturn
    *(17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 32, 33, 35, 36, 37, 38, 39),  # pread … pipe, mremap, dup, timers
    *(60, 63, 72, 74, 75, 76, 77, 79, 80, 81, 82, 83, 84, 87, 89, 95),  # exit, uname, fcntl … rename, mkdir, unlink
    *(96, 97, 98, 99, 100, 102, 104, 107, 108, 110, 127, 131, 158, 186),  # what time it is, who one is, gettid
    *(201, 202, 204, 217, 218, 219, 228, 229, 230, 231, 232, 233, 234),  # futex, getdents, clocks, exit_group, epoll
    *(257, 258, 262, 263, 264, 267, 269, 270, 271, 273, 290, 291, 292, 293),  # openat … readlinkat, ppoll, pipe2
    *(302, 318, 324, 332, 334, 439),  # prlimit, getrandom, membarrier, statx, rseq, faccessat2
)
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # the last one says EPERM


def _check(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _keep_to_files(readable: tuple[str, ...], own: str) -> None:
    """Landlock: the standard library can be read, the own folder can be written, the rest is not there."""
    handled = ctypes.create_string_buffer(struct.pack("=Q", _EVERYTHING), 8)
    ruleset = _check(_libc.syscall(_RULESET, handled, 8, 0))
    for path, rights in [(path, _READ) for path in readable] + [(own, _READ | _WRITE)]:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, parent), 12)
        _check(_libc.syscall(_ADD_RULE, ruleset, _BENEATH, rule, 0))
        os.close(parent)
    _check(_libc.syscall(_RESTRICT, ruleset, 0))


def _keep_to_calls() -> None:
    """Seccomp: what a program needs that computes and reads its own files, and nothing else.

    No process, no thread, no socket, no signal to another, no mode, owner or time of a file. A list of what is allowed
    knows nothing of what kernels learn later, so that is refused, too.
    """
    code = [(_LOAD, 0, 0, 4), (_EQUALS, 1, 0, _ARCHITECTURE), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    for number in _ALLOWED:
        code += [(_EQUALS, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    code.append((_RETURN, 0, 0, _REFUSE))
    steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(steps)))
    _check(_libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0))


def _own_disk() -> str:
    """A small one in memory in the place of the folder, which goes with the namespace and whatever is in it."""
    own = os.getcwd()
    _check(_libc.mount(b"none", own.encode(), b"tmpfs", _NO_SETUID | _NO_DEVICES, b"size=16m,nr_inodes=1000"))
    os.chdir(own)
    return own


def main() -> None:
    """`sandboxed.py CPU_SECONDS MEMORY_MB`, in the folder that is the program's own."""
    if platform.machine() != "x86_64":
        raise OSError("the list of system calls is for x86-64")
    cpu_seconds, memory = int(sys.argv[1]), int(sys.argv[2]) << 20
    size = int(sys.stdin.buffer.readline())
    source, proof = sys.stdin.buffer.read(size), sys.stdin.buffer.readline()
    own, answer, write = _own_disk(), os.dup(1), os.write
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 1 << 20),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    _check(_libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
    _keep_to_files(tuple(path for path in (*sys.path, *_SHARED) if os.path.exists(path)), own)
    _keep_to_calls()
    # The program is the main module, as its tests expect, and has nothing to read.
    module = type(sys)("__main__")
    sys.modules["__main__"], sys.argv, sys.stdin = module, ["program"], io.StringIO()
    exec(compile(source, "<program>", "exec", dont_inherit=True), module.__dict__)
    write(answer, proof)


main()
