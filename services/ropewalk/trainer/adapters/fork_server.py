"""`python -m ropewalk.trainer.adapters.fork_server FD PARENT STRATEGY`: imports what a worker needs once, then forks.

A fork has torch and transformers for nothing, where a new process needs seconds of CPU. So this process must stay what
can be forked: one thread, no CUDA context, no group, no file of a run. It sees the end of a worker at once (a pidfd
wakes it), and no worker outlives it: it dies with its host, and they die with it.
"""

import gc
import os
import resource
import signal
import sys
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import NoReturn

from ropewalk.stages.child import die_with
from ropewalk.trainer.adapters.rank_task import Exited, PassOn, RankTask

_SURROUNDINGS = {
    "OMP_NUM_THREADS": "1",  # threads would be lost in a fork; and spinning ones made a step four times slower
    "OPENBLAS_NUM_THREADS": "1",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # else counting the cards makes a context, after which no fork can have one
    "DS_BUILD_OPS": "0",
}


def main() -> None:
    """Serve until the host closes its end."""
    control = Connection(int(sys.argv[1]))
    die_with(int(sys.argv[2]))
    os.environ.update(_SURROUNDINGS)
    _import(sys.argv[3])
    gc.freeze()  # the collector would write into every page that is shared with the workers
    with suppress(EOFError, OSError):
        while True:
            item = control.recv()
            if isinstance(item, RankTask):  # a signal for a worker that is gone is for nobody
                _run(item, control)


def _import(strategy: str) -> None:
    """Only now, because some of it looks at the surroundings when it is imported."""
    from ropewalk.trainer.adapters import rank_process  # noqa: F401
    from ropewalk.trainer.adapters.worker.strategies import import_strategy

    import_strategy(strategy)


def _run(task: RankTask, control: Connection) -> None:
    """Fork a worker, hand its mail on until it ends, and say how. Raises EOFError, OSError if the host is gone."""
    ours, theirs = Pipe(duplex=False)
    server, pid = os.getpid(), os.fork()
    if pid == 0:
        _be_worker(task, theirs, server)
    theirs.close()
    with suppress(OSError):  # it does the same; whoever is first
        os.setpgid(pid, pid)
    end = os.pidfd_open(pid)
    try:
        _serve(pid, end, ours, control)
    finally:
        os.killpg(pid, signal.SIGKILL)  # also what it started; its own number is not free before the wait
        _, status, _ = os.wait4(pid, 0)
        os.close(end)
        ours.close()
    control.send(Exited(code=os.waitstatus_to_exitcode(status), cpu_seconds=_cpu_seconds()))


def _serve(pid: int, end: int, mail: Connection, control: Connection) -> None:
    """Until the worker has ended and its mail is handed on."""
    sources: list[Connection | int] = [control, mail, end]
    while end in sources:
        for source in wait(sources):
            if source is control:
                order = control.recv()
                assert isinstance(order, PassOn), "one worker at a time"
                os.kill(pid, order.signal_number)
            elif source is mail and not _hand_on(mail, control):
                sources.remove(mail)
            elif source == end:
                sources.remove(end)
    while mail in sources and mail.poll() and _hand_on(mail, control):
        pass


def _hand_on(mail: Connection, control: Connection) -> bool:
    """False when the worker will send no more."""
    try:
        letter = mail.recv_bytes()
    except (EOFError, OSError):  # an OSError: it died in the middle of a letter
        return False
    control.send_bytes(letter)
    return True


def _be_worker(task: RankTask, mail: Connection, server: int) -> NoReturn:
    from ropewalk.trainer.adapters.rank_process import work

    code = 1
    try:
        die_with(server)
        os.setpgid(0, 0)
        work(task, mail.send)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)  # what the server would do at its own exit is not ours to do


def _cpu_seconds() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
