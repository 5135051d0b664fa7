"""One supervised process: started, watched, started again after a while, stopped with its descendants."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ropewalk.local.errors import StackStartError
from ropewalk.local.layout import Layout
from ropewalk.local.logfiles import open_log, tail_lines
from ropewalk.local.supervision.processes import die_with_parent, kill_leftovers
from ropewalk.local.supervision.spec import ProcessSpec, RestartPolicy
from ropewalk.status.seen import ProcessState

_PROBE_INTERVAL_S = 0.15  # while it starts, and people wait
_WATCH_INTERVAL_S = 3.0  # afterwards: each probe costs both sides some CPU
_MOST_FAILED_STARTS = 8  # before it was ready once: about 25 s with the usual back-off


class SupervisedProcess:
    """Keeps one process alive until `stop`. `state` is replaced on every change, then `changed` is called."""

    def __init__(
        self, spec: ProcessSpec, layout: Layout, changed: Callable[[], None], policy: RestartPolicy | None = None
    ) -> None:
        self.spec = spec
        self.renew: Callable[[ProcessSpec], ProcessSpec] = lambda spec: spec  # asked before every start
        self.state = ProcessState(service=spec.name)
        self._layout = layout
        self._changed = changed
        self._policy = policy or RestartPolicy()
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._verdict = ""  # why we killed it, where we did

    def start(self) -> None:
        """Begin to keep the process alive. Returns at once."""
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.spec.name}")

    async def wait_ready(self, timeout_s: float) -> None:
        """Return when the process answered its probe. Raises StackStartError."""
        deadline = time.monotonic() + timeout_s
        while not self._ready.is_set() and time.monotonic() < deadline and not self._hopeless():
            await asyncio.sleep(_PROBE_INTERVAL_S)
        if self._keeper is not None and self._keeper.done() and (error := self._keeper.exception()):
            raise StackStartError(f"{self.spec.name} cannot be started: {error}")
        if not self._ready.is_set():
            raise StackStartError(self._why_not_ready())

    async def stop(self) -> None:
        """SIGTERM, after the grace SIGKILL, then whatever it left behind."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._process is not None and self._process.returncode is None:
            await self._end(self._process)
        await self._sweep()
        self._set(pid=0, status="stopped")

    async def _keep(self) -> None:
        failures = 0
        while True:
            await self._sweep()  # a predecessor's descendants hold its ports
            self.spec, self._verdict = self.renew(self.spec), ""
            started = time.monotonic()
            process = await self._spawn()
            watcher = asyncio.create_task(self._watch(process))
            try:
                code = await process.wait()
            finally:
                watcher.cancel()
            self._ready.clear()
            failures = self._policy.failures_after(failures, time.monotonic() - started)
            delay_s = self._policy.delay_s(failures)
            said, restarts = self._verdict or _ending(code), self.state.restarts + 1
            self._set(pid=0, status="backing off", restarts=restarts, detail=said, last_ending=said)
            await asyncio.sleep(delay_s)

    async def _spawn(self) -> asyncio.subprocess.Process:
        with open_log(self._layout.log_of(self.spec.name)) as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                env=dict(self.spec.environment),
                cwd=self._layout.logs,  # `python -m` imports from here: no folder of ours may be named as a library
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for the command line, not for the stack
                preexec_fn=die_with_parent,
            )
        self._set(pid=self._process.pid, status="starting", started_at=time.time())
        return self._process

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Say when it is ready; kill it when it will not be, or will not work again."""
        spec = self.spec
        try:
            async with asyncio.timeout(spec.ready_within_s):
                while not await spec.ready():
                    await asyncio.sleep(_PROBE_INTERVAL_S)
        except TimeoutError:
            self._kill(process, f"was not ready in {spec.ready_within_s:.0f} s, so it was killed")
            return
        self._ready.set()
        self._set(status="ready", detail="")
        self._kill(process, await self._why_useless(spec))

    async def _why_useless(self, spec: ProcessSpec) -> str:
        """Returns when it must be killed."""
        answered = time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            if spec.stuck is not None and await spec.stuck():
                return "could not go on after its disk was full, so it was killed"
            if spec.silent is None or not await spec.silent():
                answered = time.monotonic()
            elif time.monotonic() - answered >= spec.hung_after_s:
                return f"did not answer for {spec.hung_after_s:.0f} s, so it was killed"

    def _kill(self, process: asyncio.subprocess.Process, verdict: str) -> None:
        self._verdict = verdict
        if process.returncode is None:
            process.kill()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self.spec.stop_grace_s)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    async def _sweep(self) -> None:
        await asyncio.to_thread(kill_leftovers, self._layout.state_dir, self.spec.name)

    def _set(self, **changes: object) -> None:
        if changes.get("status", self.state.status) != self.state.status:
            changes["changed_at"] = time.time()
        self.state = self.state.model_copy(update=changes)
        self._changed()

    def _hopeless(self) -> bool:
        """It cannot be started at all, or has never lived long enough to answer."""
        cannot_start = self._keeper is not None and self._keeper.done()
        return cannot_start or self.state.restarts >= _MOST_FAILED_STARTS

    def _why_not_ready(self) -> str:
        log = self._layout.log_of(self.spec.name)
        last = next((line.strip() for line in reversed(tail_lines(log, 20)) if line.strip()), "")
        said = f" and last said: {last[:300]}" if last else ""
        ended = f"; it {self.state.detail}" if self.state.detail else ""
        return f"{self.spec.name} did not become ready{ended}{said} (whole log: {_short(log)})"


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _short(path: Path) -> str:
    home = str(Path.home())
    return str(path).replace(home, "~", 1) if str(path).startswith(home + "/") else str(path)
