"""Real programs in real namespaces: what a model wrote can be hostile."""

import os
import time

import pytest

from ropewalk.evaluator.adapters.sandbox import MOST_BYTES, Bounds, Sandbox

LIBC = "import ctypes; libc = ctypes.CDLL(None)\n"
GOOD = {
    "the standard library": "import math, json, re, hashlib, sqlite3, datetime; assert math.sqrt(4) == 2",
    "its own folder": "open('x', 'w').write('1'); assert open('x').read() == '1'",
    "threads": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
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
