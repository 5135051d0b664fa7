"""Functions that the tests of `child` run in a process of their own."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from ropewalk.stages.errors import StageError

Report = Callable[[object], None]


def count(upto: int, report: Report) -> int:
    for number in range(upto):
        report(number)
    return sum(range(upto))


def refuse(reason: str, _: Report) -> None:
    raise StageError(reason)


def crash(reason: str, _: Report) -> None:
    raise KeyError(reason)


def fill(_: None, __: Report) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def die(status: int, _: Report) -> None:
    os._exit(status)


def burn(seconds: float, _: Report) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def hang_with_grandchild(_: None, report: Report) -> None:
    grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report((os.getpid(), grandchild.pid))
    time.sleep(600)


def leave_in_good_order(_: None, report: Report) -> None:
    asked = threading.Event()  # a handler may not report: it can interrupt a report, whose lock it would wait for
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    report("began")
    asked.wait(600)
    report("saved")
    os._exit(0)
