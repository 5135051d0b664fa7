"""One rank's place: a process without torch that keeps a fork server warm and has it fork a worker for each attempt.

Under Ray it is an actor, else an object in a thread; it is the same code. It reads nothing from a worker's memory, so
that it can still tell of one that hangs: what a watch wants to know of a worker, it asks here.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

from ropewalk.runtime.addresses import own_address
from ropewalk.trainer.adapters.cpu_meter import Beat
from ropewalk.trainer.adapters.looking import is_stopped, look_at
from ropewalk.trainer.adapters.oom_kills import oom_kills
from ropewalk.trainer.adapters.rank_task import Ended, Exited, PassOn, RankTask, Where
from ropewalk.trainer.adapters.stacks import STACKS_SIGNAL, awaited_stacks
from ropewalk.trainer.adapters.stamps import stamp_file
from ropewalk.trainer.adapters.worker.job import WorkerReport
from ropewalk.trainer.domain.exits import symptom_of_exit
from ropewalk.trainer.domain.recovery import Symptom
from ropewalk.trainer.domain.sight import STOPPED, Sight

_CLOSE_S = 5.0
_LOOK_EVERY_S = 1.0
_ABANDONED_S = 60.0  # the head of a cluster is gone, say, and who led the group began anew elsewhere


class Host:
    """Runs the workers of one rank, one after the other. `run` blocks; all else may be called meanwhile."""

    def __init__(self, strategy: str, scratch: Path, *, own_device: bool = False) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._strategy, self._own_device = strategy, own_device
        self._folder = Path(tempfile.mkdtemp(prefix="rank-", dir=scratch))
        self._stop_file = self._folder / "stop"
        self._reports: deque[WorkerReport] = deque()
        self._sending = threading.Lock()
        self._rank = 0
        self._start()

    def where(self) -> Where:
        """For the meeting of the ranks."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        name = socket.gethostname()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return Where(
            machine=f"{name}/{boot}",
            address=own_address(),
            folder=self._folder,
            free_port=port,
            own_device=self._own_device,
        )

    def run(self, task: RankTask) -> Ended:
        """Run a worker to its end. A server that was lost is replaced first, which takes seconds of import."""
        if self._server.poll() is not None:
            self.close()
            self._start()
        symptom: Symptom | None = None
        self._rank, num_oom_kills = task.rank, oom_kills()
        stamp_file(self._folder, task.rank).unlink(missing_ok=True)
        self._stop_file.unlink(missing_ok=True)
        self._asked_at = time.monotonic()
        try:
            # Who leads the group may be on another machine, so the file that asks to stop is one of ours; see `stop`.
            stop_file = self._stop_file if task.job.stop_file is not None else None
            self._send(replace(task, job=replace(task.job, stamps=self._folder, stop_file=stop_file)))
            while not isinstance(item := self._next(), Exited):
                if isinstance(item, Symptom):
                    symptom = item
                else:
                    self._reports.append(item)
        except (EOFError, OSError):
            self._end_server()
            text = f"the fork server of worker {task.rank} was killed or crashed"
            lost = Symptom(kind="died", text=text, rank=task.rank)
            return Ended(symptom=lost, used=self._used(0.0))
        symptom = symptom or symptom_of_exit(task.rank, item.code, num_oom_kills=oom_kills() - num_oom_kills)
        return Ended(symptom=symptom, used=self._used(item.cpu_seconds))

    def drain(self) -> list[WorkerReport]:
        """What the worker has reported since the last time."""
        self._asked_at = time.monotonic()
        return [self._reports.popleft() for _ in range(len(self._reports))]

    def signal(self, number: int) -> None:
        """Send the worker a signal, if there is one."""
        with suppress(OSError):
            self._send(PassOn(number))

    def stop(self) -> None:
        """Have the worker save and finish early."""
        self._stop_file.touch()

    def sight(self) -> Sight | None:
        """What the worker does just now, seen from outside; None if it has not begun."""
        seen = look_at(self._folder, self._rank)
        if seen is not None and is_stopped(self._server.pid):
            return replace(seen, state=STOPPED[0])  # nobody hears a word of the worker then, nor can end it
        return seen

    def stacks(self) -> str:
        """What each thread of the worker does just now, or why that cannot be said. Waits for seconds."""
        if is_stopped(self._server.pid):
            return f"its fork server (process {self._server.pid}) is stopped"
        self.signal(STACKS_SIGNAL)
        return awaited_stacks(self._folder, self._rank)

    def close(self) -> None:
        """End the worker and the server."""
        self._end_server()
        for file in self._folder.iterdir():
            file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Close, and leave nothing behind."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self._control, theirs = Pipe()
        command = [sys.executable, "-m", "ropewalk.trainer.adapters.fork_server"]
        self._server = subprocess.Popen(
            [*command, str(theirs.fileno()), str(os.getpid()), self._strategy],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a signal for the whole group of a stage is not for a worker that can save
        )
        theirs.close()

    def _next(self) -> WorkerReport | Symptom | Exited:
        """What the server says next. Without anybody who asks for reports, nobody wants the worker any more."""
        while not self._control.poll(_LOOK_EVERY_S):
            if time.monotonic() - self._asked_at > _ABANDONED_S:
                self.signal(signal.SIGKILL)
        return self._control.recv()

    def _end_server(self) -> None:
        self._control.close()
        self._server.kill()
        self._server.wait(_CLOSE_S)

    def _send(self, item: RankTask | PassOn) -> None:
        with self._sending:
            self._control.send(item)

    def _used(self, cpu_seconds: float) -> Beat:
        return Beat(node=socket.gethostname(), pid=self._server.pid, cpu_seconds=cpu_seconds)
