"""The shell of a service: a FastStream app whose subscribers settle messages by our rules.

FastStream gives the lifespan and answers what is asked on `ctl.*` (`broker`). It does not consume streams: its default
policy drops a message on any exception, and its pull loop takes one message after the other. Streams are consumed by
`consumer`, settled in `delivery`, and declared by the owner of the topology.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

from faststream import FastStream

from ropewalk.bus.bus import Bus
from ropewalk.bus.incoming import Incoming
from ropewalk.delivery.consumer import WORKERS, Consumer
from ropewalk.delivery.delivery import Failures, Handler, TimerHandler, deliver, deliver_due, set_aside
from ropewalk.delivery.hazards import Hazards, is_suspicious
from ropewalk.delivery.outcome import Done, Outcome, Retry, outcome_or_error
from ropewalk.errors import RopewalkError
from ropewalk.events import consumers
from ropewalk.events.base import Message
from ropewalk.events.consumers import ConsumerSpec
from ropewalk.events.contract import Reaction, Stage
from ropewalk.events.resources import Resources
from ropewalk.events.run import PoolEntry, RunCancelled, RunPaused, RunResumed
from ropewalk.recipes.recipe import Recipe
from ropewalk.runtime.broker import SharedBroker
from ropewalk.runtime.draining import Draining
from ropewalk.runtime.gauges import export_gauges
from ropewalk.runtime.health import Health, Pong, serve_probes
from ropewalk.runtime.logs import configure_logs
from ropewalk.runtime.needs import Needs, why_no_room
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.stages.context import StageContext, StageSpec
from ropewalk.stages.leases import MARKER, LeaseKeeper
from ropewalk.stages.pool import Pool
from ropewalk.stages.runner import StageRunner, Surroundings
from ropewalk.storage.objects import ObjectStore
from ropewalk.storage.probing import why_unwell
from ropewalk.telemetry.metrics import is_exporting
from ropewalk.telemetry.setup import configure
from ropewalk.telemetry.setup import shutdown as shut_down_telemetry

logger = logging.getLogger(__name__)
_TO_END_S = 1.0  # of the grace of a stop: to give leases back once the children of stages are gone

M = TypeVar("M", bound=Message)
Settle = Callable[[Incoming], Awaitable[None]]


class Service:
    """One of the seven. Build it in `app.py`, then `run()`."""

    def __init__(self, name: str, settings: RuntimeSettings) -> None:
        self.name = name
        self.settings = settings
        self.objects: ObjectStore = settings.store.connect()
        self.health = Health(name)
        self.version = version("ropewalk")
        self.needs = Needs()
        self.needs.add("disk", lambda: why_no_room(settings.state_dir))
        self.needs.add("objects", lambda: why_unwell(settings.store, write=False))
        self._bus: Bus | None = None
        self._bound = False
        self._draining = Draining(settings.stop_grace_s)
        self._linger_s = 0.0
        self._hazards = Hazards(settings.state_dir / "in-hand" / name)
        self._exit: Callable[[], None] = lambda: None
        self.broker = SharedBroker(lambda: self.bus.connection)
        self.broker.subscriber(f"ctl.ping.{name}", title=f"ctl.ping.{name}")(self._pong)
        self._declared: list[ConsumerSpec] = []  # every consumer, for the owner of the topology
        # And those that are bound at the start, with their workers.
        self._settlers: list[tuple[ConsumerSpec, Settle, int]] = []
        self._consumers: list[Consumer] = []
        self._specs: list[StageSpec] = []
        self._runners: list[StageRunner] = []
        self._tasks: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._measures: list[Callable[[], None]] = []
        self._watchers: list[asyncio.Task[None]] = []  # run beside the consumers and are cancelled after them

    @property
    def bus(self) -> Bus:
        """The bus; only while the service runs."""
        assert self._bus is not None, "the service is not running"
        return self._bus

    def on(self, row: Reaction[M], handler: Callable[[M], Awaitable[Outcome]], *, workers: int = WORKERS) -> None:
        """React to a message. The handler takes at most 20 s; longer work is a stage.

        Messages of one run come one after the other, those of `workers` runs at the same time.
        """
        (spec,) = row.consumers(self.name)
        self._declared.append(spec)
        self._subscribe(row.kind, lambda message, _: handler(message), spec, workers)

    def stage(
        self,
        row: Stage[M],
        work: Callable[[StageContext, M], Awaitable[tuple[Message, ...]]],
        *,
        when: Callable[[M], bool] = lambda _: True,
        needs: Callable[[Recipe], Resources] = lambda _: Resources(cpus=1.0),
        stall_s: float = 1800.0,
    ) -> None:
        """Run `work` under a lease for every message of the row that satisfies `when`, once the pool has the `needs`.

        What the work returns is committed together with the stage's end. A stage that needs nothing never waits.
        """
        spec = StageSpec(name=row.name, trigger=row.kind, work=work, when=when, needs=needs, stall_s=stall_s)
        self._specs.append(spec)
        self._declared += row.consumers(self.name)

    def reads(self, *specs: ConsumerSpec) -> None:
        """Declare consumers that a background task takes batches from."""
        self._declared += specs

    def consumers(self) -> tuple[ConsumerSpec, ...]:
        """Every durable consumer this service binds to; the owner of the topology creates them."""
        return tuple(self._declared)

    def background(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a server or a sink beside the handlers; if it ends with an error, the service ends."""
        self._tasks.append(task)

    def lingers(self, seconds: float) -> None:
        """Go on with the background for so long after SIGTERM, so that who asks here learns to ask elsewhere."""
        self._linger_s = seconds

    def is_stopping(self) -> bool:
        """Whether it was told to end."""
        return self._draining.has_begun()

    def measures(self, measure: Callable[[], None]) -> None:
        """Call this before metrics are sent, to set gauges."""
        self._measures.append(measure)

    def run(self) -> None:
        """Block until SIGTERM or SIGINT. Raises RopewalkError where it cannot run here, which `start` tells."""
        configure_logs()
        configure(self.name, self.settings.telemetry, self.settings.instance)
        if self.settings.health.port:
            serve_probes(self.health, self.settings.health)
        try:
            asyncio.run(self._main())
        finally:
            shut_down_telemetry()

    async def _main(self) -> None:
        settings = self.settings
        self.leases = LeaseKeeper(settings.nats, f"{self.name}/{settings.instance}", settings.lease_ttl_s)
        self.health.pulse.start()
        self.needs.start()
        for check in (self._not_connected, self._not_permitted, self._not_bound, self.leases.why_not_renewing):
            self.health.add(check)
        self._bus = await Bus.connect(settings.nats, self.name)
        self._prepare_stages()
        app = FastStream(
            self.broker,
            logger=None,
            lifespan=self._lifespan,
            after_startup=[self._started],
            on_shutdown=[self._stop_work],
        )
        self._exit = app.exit
        try:
            # FastStream looks every `sleep_time` seconds whether it was asked to exit.
            await app.run(log_level=logging.WARNING, sleep_time=0.25)
        finally:
            await self._bus.close()
            self.needs.stop()
            self.health.pulse.stop()

    def _not_connected(self) -> str:
        connected = self._bus is not None and self._bus.connection.is_connected
        return "" if connected else f"it has no connection to the bus at {self.settings.nats.address}"

    def _not_permitted(self) -> str:
        ours = self._bus.connection.denied.reason() if self._bus is not None else ""
        return ours or self.leases.why_refused()

    def _not_bound(self) -> str:
        waits_for = [consumer for consumer in self._consumers if not consumer.is_bound]
        if missing := ", ".join(consumer.name for consumer in waits_for if consumer.is_missing):
            return f"it waits for consumers ({missing}): `ropewalk bus apply` makes them"
        if waits_for:
            names = ", ".join(consumer.name for consumer in waits_for)
            return f"nobody answers for its consumers ({names}): the bus starts, elects, or has too few servers"
        return "" if self._bound else "it does not take messages: it starts or stops"

    def _prepare_stages(self) -> None:
        self._pool = Pool(self.bus, self.settings.pool_name, self.settings.pool_room)
        surroundings = Surroundings(
            pool=self._pool,
            bus=self.bus,
            leases=self.leases,
            objects=self.objects,
            scratch_root=self.settings.state_dir / "scratch",
            stop_grace_s=max(1.0, self.settings.stop_grace_s - _TO_END_S),
        )
        for spec in self._specs:
            runner = StageRunner(spec, surroundings)
            self._runners.append(runner)
            triggers, leases, stalls, deadlines = consumers.stage(self.name, spec.name, spec.trigger)
            self._subscribe(spec.trigger, runner.on_trigger, triggers)
            self._subscribe_to_leases(runner, leases)
            self.on_due(stalls, runner.on_silence)
            self.on_due(deadlines, runner.on_deadline)

    @contextlib.asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        await self.leases.start()
        tasks = [asyncio.create_task(self._guard(start)) for start in self._tasks]
        try:
            yield
        finally:
            await self._stop_work()
            for task in (*tasks, *self._watchers):
                task.cancel()
            await asyncio.gather(*tasks, *self._watchers, return_exceptions=True)
            await self.leases.stop()

    async def _stop_work(self) -> None:
        """Give the leases back at once, while handlers end: another instance goes on with the stages meanwhile."""
        self._bound = False
        consumers, self._consumers = self._consumers, []
        await asyncio.gather(
            *(runner.stop() for runner in self._runners),
            *(consumer.stop(self._draining.over) for consumer in consumers),
            self._draining.linger(self._linger_s),
        )

    async def _started(self) -> None:
        self._draining.listen(self._exit)
        self._consumers = [
            Consumer(self.bus.connection, spec, settle, workers=workers) for spec, settle, workers in self._settlers
        ]
        if is_exporting():
            state_dir = self.settings.state_dir
            self._watch(export_gauges(self.bus, self.consumers(), self.health, state_dir, self._measures))
        self._watch(self._guard(self._begin))

    def _watch(self, work: Coroutine[Any, Any, None]) -> None:
        self._watchers.append(asyncio.create_task(work))

    async def _begin(self) -> None:
        """Take up stages and messages."""
        if self._runners:
            for spec in self._specs:
                await self._pool.declare(spec.name)
            # Taken before any stage begins: a cancellation that comes in between must not be missed.
            before_any_stage = await self.bus.end()
            for kind in (RunCancelled, RunPaused, RunResumed):
                self._watch(self._watch_wishes(kind, before_any_stage))
            self._watch(self._pool.watch(self._on_turn))
            for runner in self._runners:
                self._watch(runner.resume_orphans())
        await asyncio.gather(*(consumer.bind() for consumer in self._consumers))
        self._bound = True
        logger.info("%s is ready", self.name)

    async def _pong(self) -> Pong:
        """How this instance is, and what it would have sent and could not."""
        report, waiting = asdict(self.health.report()), self.bus.waiting.summary()
        return Pong(
            **report,
            pid=os.getpid(),
            bound=self._bound,
            waiting=waiting,
            version=self.version,
            instance=self.settings.instance,
            missing=self.needs.missing(),
        )

    async def _guard(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A background task that dies takes the service down, so that the supervisor sees it."""
        error = await outcome_or_error(start())
        if error is not None:
            trace = None if isinstance(error, RopewalkError) else error  # the sentence of an error of ours says it all
            logger.error("a background task of %s died: %s", self.name, error, exc_info=trace)
            os._exit(1)  # at once: an orderly stop could wait for the very task that died

    async def _on_turn(self, entry: PoolEntry) -> None:
        for runner in self._runners:
            await runner.on_turn(entry)

    async def _watch_wishes(self, kind: type[Message], after: int) -> None:
        running: set[asyncio.Task[None]] = set()
        async for item in self.bus.follow(f"{kind.subject_prefix()}.*", after=after):
            wish = item.message
            for runner in self._runners:
                heeding = runner.cancel(wish) if isinstance(wish, RunCancelled) else runner.heed_pause(wish.run_id)
                task = asyncio.create_task(heeding)
                running.add(task)  # asyncio itself keeps weak references only
                task.add_done_callback(running.discard)

    def _subscribe(self, kind: type[Message], handler: Handler, spec: ConsumerSpec, workers: int = WORKERS) -> None:
        failures = Failures()

        async def settle(raw: Incoming) -> None:
            work = deliver(raw, kind, handler, self.bus, spec.durable, failures)
            if is_suspicious(raw):
                work = self._hazards.handle(raw, spec.durable, work, partial(set_aside, raw, self.bus, spec.durable))
            await work

        self._settlers.append((spec, settle, workers))

    def _subscribe_to_leases(self, runner: StageRunner, spec: ConsumerSpec) -> None:
        async def settle(raw: Incoming) -> None:
            headers = raw.headers or {}
            run_id = raw.subject.rpartition(".")[2]
            outcome: Outcome = Done()
            if MARKER in headers:
                outcome = await runner.on_lease_gone(run_id, "its lease expired", "lost")
            elif "KV-Operation" in headers:
                outcome = await runner.on_lease_gone(run_id, "its holder stopped", "handed over")
            # The end of a lease holds no facts: it is dealt with, or comes again.
            await (raw.nak(delay=outcome.delay_s) if isinstance(outcome, Retry) else raw.ack())

        self._settlers.append((spec, settle, WORKERS))

    def on_due(self, spec: ConsumerSpec, handler: TimerHandler) -> None:
        """React to timers that `schedules.arm` armed. The handler looks whether they still matter."""
        failures = Failures()

        async def settle(raw: Incoming) -> None:
            await deliver_due(raw, handler, self.bus, spec.durable, failures)

        self._settlers.append((spec, settle, WORKERS))
