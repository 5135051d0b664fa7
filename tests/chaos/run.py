"""One chaos run: submit runs, break things, wait until all is quiet, read the streams, judge."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaos.checker import Violation, check
from chaos.client import User, plan_runs
from chaos.effects import read_effects
from chaos.faults import plan
from chaos.history import History, read_stream
from chaos.injector import Broker, Injector
from chaos.pipeline import SERVICES, build
from chaos.stack import CAPACITY_CPUS, POOL, Stack

from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.bus.settings import NatsSettings
from ropewalk.runtime.settings import RuntimeSettings

LEASE_TTL_S = 2.0
_STUCK_AFTER_S = 60.0  # without a new message: longer than any lease, back-off or redelivery takes
_PATIENCE_S = 300.0  # with new messages: time to work off what the faults held up
_QUIET_FOR_S = 4.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything."""

    num_faults: int
    num_runs: int
    mean_gap_s: float = 1.2
    instances_per_service: int = 2


@dataclass(frozen=True, kw_only=True)
class Report:
    """What happened."""

    seed: int
    violations: list[Violation]
    history: History
    counts: dict[str, int]
    bad_exits: list[str]
    seconds: float

    def __str__(self) -> str:
        rules = Counter(violation.rule for violation in self.violations)
        firsts = {violation.rule: violation for violation in reversed(self.violations)}
        shown = "\n".join(f"{rules[rule]} x {violation}" for rule, violation in firsts.items())
        faults = ", ".join(f"{number} {kind}" for kind, number in sorted(self.counts.items()))
        return (
            f"seed {self.seed}: {sum(self.counts.values())} faults ({faults}), {len(self.history.submitted)} runs, "
            f"{len(self.history.control)} messages, {len(self.history.effects)} effects, {self.seconds:.0f} s, "
            f"{len(self.violations)} violations\n{shown}{''.join(self.bad_exits)}"
        )


async def run_chaos(seed: int, size: Size, broker: Broker, settings: NatsSettings, folder: Path) -> Report:
    """Run it on a broker that has the streams. Everything else is started and ended here."""
    began = time.monotonic()
    consumers = [spec for name in SERVICES for spec in build(name, RuntimeSettings(state_dir=folder)).consumers()]
    await apply_topology(settings, consumers)
    bus = await Bus.connect(settings, "chaos")
    stack = Stack(folder, settings, LEASE_TTL_S, size.instances_per_service)
    log = (folder / "faults.log").open("a", buffering=1)

    def tell(line: str) -> None:
        log.write(f"{time.monotonic() - began:8.2f} {line}\n")

    try:
        stack.start()
        faults = plan(seed, size.num_faults, size.mean_gap_s, LEASE_TTL_S)
        user = User(bus, seed)
        injector = Injector(stack, broker, bus.connection, tell)
        gap_s = faults[-1].at_s / size.num_runs
        await asyncio.gather(user.submit_all(plan_runs(seed, size.num_runs), gap_s), injector.run(faults))
        tell("everything is whole again")
        history = await _settled(bus, user, stack, tell)
    finally:
        await stack.end()
        await bus.close()
        log.close()
    return Report(
        seed=seed,
        violations=check(history),
        history=history,
        counts=dict(injector.counts),
        bad_exits=injector.bad_exits,
        seconds=time.monotonic() - began,
    )


async def _settled(bus: Bus, user: User, stack: Stack, tell: Callable[[str], None]) -> History:
    """The history once it is without violations, or as it is when nothing happens any more.

    A history that is sound but may still grow is watched for a moment longer: a late effect would come then.
    """
    history = await _history(bus, user, stack)
    grown_at = began = time.monotonic()
    while check(history) and time.monotonic() - grown_at < _STUCK_AFTER_S and time.monotonic() - began < _PATIENCE_S:
        await asyncio.sleep(1.0)
        last, history = history, await _history(bus, user, stack, history)
        grown_at = grown_at if len(history.control) == len(last.control) else time.monotonic()
    tell(f"{len(check(history))} violations {time.monotonic() - began:.0f} s after the last fault")
    await asyncio.sleep(_QUIET_FOR_S)
    return await _history(bus, user, stack, history)


async def _history(bus: Bus, user: User, stack: Stack, known: History | None = None) -> History:
    return History(
        control=await read_stream(bus.connection, "CONTROL", known.control if known else ()),
        letters=await read_stream(bus.connection, "DLQ", known.letters if known else ()),
        effects=read_effects(stack.folder / "effects"),
        submitted=tuple(user.acknowledged),
        mirrored=(await bus.connection.jetstream(timeout=10).stream_info("AUDIT")).state.last_seq,
        capacities={POOL: CAPACITY_CPUS},
    )
