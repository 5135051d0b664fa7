"""Real programs in real namespaces: what a model wrote can be hostile."""

import os
import time

import pytest

from ropewalk.evaluator.adapters.sandbox import MOST_BYTES, Bounds, Sandbox

LIBC = "import ctypes; libc = ctypes.CDLL(None)\n"
GOOD = {
    "the standard library": "import math, json, re, hashlib, sqlite3, datetime; assert math.sqrt(4) == 2",
    "its own folder": "open('x', 'w').write('1'); assert open('x').read() == '1'",
    "standard input that is empty": "import sys; assert sys.stdin.read() == ''; sys.stdin.close()",
    "the main module as its own": "import pickle\nclass A: pass\nassert type(pickle.loads(pickle.dumps(A()))) is A",
    "the same order of a set": "assert list({'a', 'b', 'c', 'd'}) == list({'a', 'b', 'c', 'd'})",
    "much output": "print('x' * 10**6)",
    "half of a character": "x = '\ud800'",
}
BAD = {
    "a test that fails": "assert 1 == 2",
    "an early end": "import sys; sys.exit(0)",
    "a hard end": "import os; os._exit(0)",
    "no Python": "def (",
    "a NUL": "x = '\0'",
    "deep brackets": "(" * 100_000,
    "a stranger's file": "open('/etc/passwd')",
    "our own source": f"open({__file__!r})",
    "a folder": "import os; os.listdir('/')",
    "the process table": "open('/proc/self/environ')",
    "a file elsewhere": "open('/tmp/ropewalk-sandbox', 'w')",
    "a large file": "open('x', 'wb').write(bytes(2 << 20))",
    "memory": "x = bytearray(1 << 30)",
    "a network": "import socket; socket.create_connection(('127.0.0.1', 22), 1)",
    "a socket with a name": "import socket; socket.socket(socket.AF_UNIX)",
    "a mode": "import os, sys; os.chmod(sys.executable, 0o755)",
    "a time": "import os, sys; os.utime(sys.executable)",
    "a thread": "import threading; threading.Thread(target=print).start()",
    "its parent's group": "import os; os.kill(0, 9)",
    "a session of its own": "import os; os.setsid()",
    "shared memory": LIBC + "assert libc.shmget(0, 1 << 20, 0o1600) >= 0",
    "io_uring": LIBC + "assert libc.syscall(425, 1, bytes(120)) >= 0",
    "a full disk": "for n in range(20): open(str(n), 'wb').write(bytes(1 << 20))",
    "deep folders": "import os\nfor n in range(2000): os.mkdir('a'); os.chdir('a')",
    "what it is not asked": "import os\nfor n in range(3, 9):\n try: os.write(n, bytes(9 << 20))\n except OSError: 1",
    "a fork": "import os; os.fork()",
    "a program": "import subprocess; subprocess.run(['true'])",
    "a signal": f"import os; os.kill({os.getpid()}, 15)",
    "a mount": LIBC + "assert libc.mount(b't', b'/tmp', b'tmpfs', 0, None) == 0",
    "namespaces": LIBC + "assert libc.unshare(0x10000000) == 0; open('/etc/passwd')",
    "too long": "#" * MOST_BYTES + "\n1",
}


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    made = Sandbox(Bounds(cpu_seconds=1, memory_mb=256))
    if made.fault:
        pytest.skip(made.fault)
    return made


@pytest.mark.parametrize("what", GOOD)
def test_a_program_may_use(sandbox, what) -> None:
    assert sandbox.passes(GOOD[what])


@pytest.mark.parametrize("what", BAD)
def test_a_program_fails_for(sandbox, what) -> None:
    assert not sandbox.passes(BAD[what])


@pytest.mark.parametrize("program", ["while True: pass", "import time; time.sleep(60)"])
def test_a_program_without_end_is_ended(sandbox, program) -> None:
    began = time.monotonic()
    assert sandbox.all_pass([program, "assert True"]) == [False, True]
    assert time.monotonic() - began < 15


def test_where_programs_cannot_be_kept_apart_none_is_run(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "cannot be kept apart on this machine" in Sandbox().fault
