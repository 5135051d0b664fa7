"""The process in which a stranger's program runs: it gives up what it must not have, then runs what stands on stdin.

Started by `sandbox` with namespaces of its own, without site-packages; imports the standard library only. It says on
stdout what came last on stdin, once the program has run to its end.
"""

import ctypes
import os
import platform
import resource
import struct
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2  # of prctl
_RULESET, _ADD_RULE, _RESTRICT = 444, 445, 446  # Landlock's system calls, alike on all machines
_BENEATH = 1
_READ = 1 << 2 | 1 << 3  # read a file, list a folder
_WRITE = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 14  # write, remove and make files and folders, truncate
_EVERYTHING = (1 << 15) - 1  # whatever can be done to files, as of ABI 3
_CALLS = {  # fork, vfork, execve, execveat; and clone
    "x86_64": (0xC000003E, (57, 58, 59, 322), 56),
    "aarch64": (0xC00000B7, (221, 281), 220),
}
_CLONE3, _CLONE_THREAD, _X32 = 435, 0x10000, 0x40000000
_LOAD, _EQUALS, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000  # the last with an errno
_EPERM, _ENOSYS = 1, 38
_SHARED = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")  # what modules of the standard library are linked with


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
    _check(_libc.syscall(_RESTRICT, ruleset, 0))


def _start_no_process() -> None:
    """Seccomp: threads are made, processes and other programs are not. RLIMIT_NPROC knows no bound for root."""
    architecture, refused, clone = _CALLS[platform.machine()]
    code = [(_LOAD, 0, 0, 4), (_EQUALS, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    for number, error in [(number, _EPERM) for number in refused] + [(_CLONE3, _ENOSYS)]:  # glibc falls back to clone
        code += [(_EQUALS, 0, 1, number), (_RETURN, 0, 0, _REFUSE | error)]
    code += [
        (_EQUALS, 0, 3, clone),
        (_LOAD, 0, 0, 16),
        (_HAS_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _REFUSE | _EPERM),
    ]
    code += [(_RETURN, 0, 0, _ALLOW)]
    steps = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(steps)))
    _check(_libc.prctl(_SECCOMP, _FILTER, ctypes.byref(program), 0, 0))


def main() -> None:
    """`sandboxed.py CPU_SECONDS MEMORY_MB`, in the folder that is the program's own."""
    cpu_seconds, memory = int(sys.argv[1]), int(sys.argv[2]) << 20
    size = int(sys.stdin.buffer.readline())
    program = compile(sys.stdin.buffer.read(size), "<program>", "exec", dont_inherit=True)
    answer = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
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
    readable = tuple(path for path in (*sys.path, *_SHARED) if os.path.exists(path))
    _keep_to_files(readable, os.getcwd())
    _start_no_process()
    exec(program, {"__name__": "__main__"})
    os.write(answer, sys.stdin.buffer.readline())


main()
