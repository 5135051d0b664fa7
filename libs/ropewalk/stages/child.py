"""Heavy work in a process of its own, so that a service stays small, answers, and survives what the work does.

The child is told to die with its parent (PR_SET_PDEATHSIG), leads its own process group so that killing it takes
its descendants along, and sends messages over a pipe. Everything that crosses is pickled between two processes
of the same installation.
"""

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from ropewalk.stages.errors import ChildDiedError, StageError, WorkRaisedError
from ropewalk.stages.faults import in_one_line, is_of_the_work

A = TypeVar("A")
R = TypeVar("R")
OnReport = Callable[[object], None]

_PR_SET_PDEATHSIG = 1  # of prctl(2): the signal that the kernel sends when the parent dies
KILL_GRACE_S = 5.0  # between SIGTERM and SIGKILL, unless somebody allows more


@dataclass(frozen=True)
class _Message:
    value: object


@dataclass(frozen=True)
class _Result:
    value: object
    cpu_seconds: float


@dataclass(frozen=True)
class _Failure:
    """`kind` is the error that the parent raises with the text."""

    kind: type[Exception]
    text: str
    cpu_seconds: float


async def run_child(
    function: Callable[[A, OnReport], R],
    argument: A,
    on_message: Callable[[Any], Awaitable[None]] | None = None,
    on_cpu: Callable[[float], None] | None = None,
    grace_s: Callable[[], float] = lambda: KILL_GRACE_S,
) -> R:
    """Run `function(argument, report)` in a fresh process and return its result.

    What it reports is awaited in order by `on_message`. Cancelling this coroutine sends SIGTERM, still hears what the
    child has to say within `grace_s`, which is asked only then, and kills the process group.
    Raises StageError if the function did, WorkRaisedError for an error that the same work brings about again,
    ChildDiedError for any other end without a result.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(theirs, os.getpid(), function, argument), daemon=False)
    process.start()
    theirs.close()
    listening = asyncio.ensure_future(_listen(ours, process, on_message))
    try:
        ending = await asyncio.shield(listening)
    finally:
        await asyncio.shield(_stop(process, ours, listening, grace_s()))
    if on_cpu is not None and ending is not None:
        on_cpu(ending.cpu_seconds)
    match ending:
        case _Result(value):
            return value  # type: ignore[return-value]  # pickled: what `function` returned
        case _Failure(kind, text):
            raise kind(text)
        case None:
            raise ChildDiedError(f"{function.__name__} {_exit(process)}")


async def _listen(
    pipe: Connection, process: BaseProcess, on_message: Callable[[Any], Awaitable[None]] | None
) -> _Result | _Failure | None:
    """Hand over messages in order until the child sends its ending; None if the pipe closes before that."""
    loop = asyncio.get_running_loop()
    inbox: asyncio.Queue[object] = asyncio.Queue()

    def receive() -> None:
        try:
            while True:
                loop.call_soon_threadsafe(inbox.put_nowait, pipe.recv())
        except (EOFError, OSError, RuntimeError):
            with contextlib.suppress(RuntimeError):  # the loop may be closed already
                loop.call_soon_threadsafe(inbox.put_nowait, None)

    threading.Thread(target=receive, name=f"child-{process.pid}", daemon=True).start()
    while True:
        item = await inbox.get()
        match item:
            case _Message(value):
                if on_message is not None:
                    await on_message(value)
            case _Result() | _Failure():
                return item
            case _:
                return None


async def _stop(process: BaseProcess, pipe: Connection, listening: asyncio.Future[Any], grace_s: float) -> None:
    """Let a child that has ended go; end one that has not.

    SIGTERM is for the child alone, which may need its descendants to leave in good order.
    """
    if not listening.done():
        process.terminate()
        await asyncio.wait([listening], timeout=grace_s)
        listening.cancel()
    await asyncio.wait([listening])  # nobody else asks how it ended
    await asyncio.to_thread(process.join, 1.0)
    if process.is_alive():
        process.terminate()
        await asyncio.to_thread(process.join, KILL_GRACE_S)
    _signal_group(process, signal.SIGKILL)
    await asyncio.to_thread(process.join, KILL_GRACE_S)
    pipe.close()


def _signal_group(process: BaseProcess, number: signal.Signals) -> None:
    assert process.pid is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _exit(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code} and no result"


def die_with(parent: int) -> None:
    """Let the kernel kill this process when the thread of `parent` that started it ends; exit if it is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def _main(pipe: Connection, parent: int, function: Callable[[A, OnReport], R], argument: A) -> None:
    os.setpgid(0, 0)
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which decides
    lock = threading.Lock()

    def send(item: object) -> None:
        with lock:
            pipe.send(item)

    try:
        result = function(argument, lambda value: send(_Message(value)))
        send(_Result(result, _cpu_seconds()))
    except StageError as error:
        send(_Failure(StageError, str(error), _cpu_seconds()))
    except BaseException as error:
        kind = WorkRaisedError if is_of_the_work(error) else ChildDiedError
        send(_Failure(kind, in_one_line(error), _cpu_seconds()))
        raise  # the whole traceback is for the log of the service


def _cpu_seconds() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
