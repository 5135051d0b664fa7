"""What serving does about each event. Loading and unloading are idempotent, so every redelivery may start over."""

import asyncio
import logging
import time
from collections.abc import Iterable
from contextlib import aclosing, suppress

from ropewalk.bus.bus import Bus
from ropewalk.bus.codec import Stored
from ropewalk.bus.once import RunningFold
from ropewalk.delivery.outcome import Done, Outcome, Reject, Retry
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ApprovalAwaited, CheckpointExported, ModelPromoted, ModelRolledBack
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.foreign import cut, quoted
from ropewalk.events.run import RunCancelled, RunCompleted, RunFailed
from ropewalk.events.serving import (
    BackendRepaired,
    ModelDeployed,
    ModelDeploying,
    ModelRetired,
    RetireModel,
    ServingFailed,
    TrafficShifted,
)
from ropewalk.serving.adapters.fleet import Fleet
from ropewalk.serving.contract import FACTS
from ropewalk.serving.domain.admission import Admission
from ropewalk.serving.domain.generation import Generation
from ropewalk.serving.domain.routes import Routes, Told, Version, target_name, version_of
from ropewalk.serving.errors import (
    BackendError,
    BackendGoneError,
    LoadFailedError,
    RequestFailedError,
    RequestRefusedError,
)
from ropewalk.serving.settings import Settings
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError
from ropewalk.storage.errors import StorageError
from ropewalk.telemetry.spans import current_traceparent, span

logger = logging.getLogger(__name__)

_DEPLOYS_ON = "triton"  # the kind of backend that a version of ours is loaded in
_DRAIN_S = 10.0  # for the requests of a version that is retired
_MAX_REASON = 1000  # characters of what Triton says
_PATIENCE_S = 60.0  # how long a deployment waits for a backend that is restarting
_AGAIN_S = 1.0  # between two tries of a deployment
_WARM_UP = Generation(prompt="def", max_tokens=2, temperature=0.0)  # the first completion of a load is slow


class Handlers:
    """The handlers with what they share."""

    def __init__(self, settings: Settings, fleet: Fleet, admission: Admission) -> None:
        self._settings = settings
        self._fleet = fleet
        self._admission = admission
        self._told = RunningFold(Told(), _add, FACTS)
        self._heeded = Routes()  # of the log, up to where the fleet was brought
        self._restored_at = 0  # a sequence of the log

    async def restore(self, bus: Bus) -> None:
        """Rebuild the routes from the log."""
        self._restored_at = await bus.end()
        self._fleet.routes = self._heeded = (await self._told.now(bus)).routes
        self._fleet.ready.set()

    async def follow(self, bus: Bus) -> None:
        """Bring the fleet for ever to what other instances say: one takes a message, and each has a backend."""
        async for _ in bus.follow(FACTS, after=self._restored_at):
            await self.heed((await self._told.now(bus)).routes)

    async def heed(self, now: Routes) -> None:
        """An alias moves when its version is loaded here; what nobody can name any more is unloaded.

        What cannot be loaded now is tried on by the watch of the fleet.
        """
        fleet, was, self._heeded = self._fleet, self._heeded, now
        fleet.expected, fleet.routes = now, fleet.routes.joined(was, now)
        for version in now.newly_behind(was):
            with suppress(BackendError, StorageError):
                if not await fleet.is_loaded(version):
                    await fleet.load(version)
        fleet.routes = fleet.routes.moved(was, now)
        gone = [one for key, one in fleet.routes.versions.items() if key in was.versions and key not in now.versions]
        with suppress(BackendGoneError):
            await self._retire(gone)

    async def deploy(self, ctx: StageContext, event: GateDecided) -> tuple[Message, ...]:
        """Load a candidate that the gate let through beside what serves."""
        await self._fleet.ready.wait()
        promised = await self._promised(ctx, event)
        version = version_of(promised)
        started = time.monotonic()
        try:
            # Linked to the stage and not below it: the stage's own span is lost if this process is killed meanwhile.
            with span("load model", cause=current_traceparent(), run_id=ctx.run_id, model=version.name):
                await self._load_patiently(version)
        except (LoadFailedError, RequestFailedError, RequestRefusedError, StorageError) as error:
            message = f"{version.name} could not be loaded: {cut(str(error), _MAX_REASON)}"
            failed = ServingFailed(
                run_id=ctx.run_id, model=version.model, model_version=version.number, message=message
            )
            await ctx.emit(failed)
            raise StageError(message) from None
        deployed = promised.model_copy(update={"load_s": time.monotonic() - started})
        self._fleet.routes = self._fleet.routes.after(deployed, int(time.time()))
        return (deployed,)

    async def promote(self, event: ModelPromoted, bus: Bus) -> Outcome:
        """Move the alias, let the old version end its requests, unload it."""
        await self._fleet.ready.wait()
        told = await self._told.now(bus)
        if (event.run_id, event.alias) in told.shifts:
            return Done()  # a repetition, for a run promotes its model once; others may have been promoted since
        routes = told.routes  # of the log, not of the fleet: a redelivery must see what was before
        version = routes.versions.get((event.model, event.model_version))
        name = f"{event.model}@{event.model_version}"
        if version is None and (event.model, event.model_version) in told.retired:
            message = f"{name} was retired before it was promoted: submit the run again"
            return Done(await _failed(event.run_id, message, bus))
        if version is None:
            return Reject(f"{name} was never deployed: deploy it first")
        try:
            if not await self._fleet.is_loaded(version):
                await self._fleet.load(version)
            shifted = _shifted(event, routes.previous(event.model, event.alias))
            self._fleet.routes = self._fleet.routes.joined(Routes(), routes).after(shifted)
            retired = await self._retire(_superseded(routes, shifted), superseded=True)
        except BackendGoneError as error:
            return Retry(2.0, f"the inference backend is away: {error}")
        completed = RunCompleted(
            run_id=event.run_id, outcome="promoted", model=event.model, model_version=event.model_version
        )
        return Done((shifted, *retired, completed))

    async def roll_back(self, event: ModelRolledBack, bus: Bus) -> Outcome:
        """Load a version again that was superseded, move the alias back to it, unload what it had."""
        await self._fleet.ready.wait()
        told, name = await self._told.now(bus), f"{event.model}@{event.model_version}"
        if told.routes.previous(event.model, event.alias) != event.from_version:
            return Done()  # a repetition, or somebody was faster: it was asked for as of another version
        deployed = told.returnable.get((event.model, event.model_version))
        if deployed is None:
            return Reject(f"{name} is retired, so {event.alias} stays where it is: train and promote another")
        deployed = deployed.model_copy(update={"again": True})
        shifted = _shifted(event, event.from_version)
        started = time.monotonic()
        try:
            await self._fleet.load(version_of(deployed))
            deployed = deployed.model_copy(update={"load_s": time.monotonic() - started})
            self._fleet.routes = self._fleet.routes.after(deployed, int(time.time())).after(shifted)
            retired = await self._retire(_superseded(told.routes.after(deployed), shifted), superseded=True)
        except BackendGoneError as error:
            return Retry(2.0, f"the inference backend is away: {error}")
        except (LoadFailedError, StorageError) as error:
            reason = cut(str(error), _MAX_REASON)
            return Reject(f"{name} could not be loaded, so {event.alias} stays where it is: {reason}")
        return Done((deployed, shifted, *retired))

    async def abandon(self, run_id: str, bus: Bus) -> Outcome:
        """Unload the candidates of a run that ended badly; what carries an alias stays."""
        await self._fleet.ready.wait()
        told, routes = (await self._told.now(bus)).routes, self._fleet.routes  # another instance may have deployed it
        known = routes.joined(Routes(), told).versions.values()
        ours = [one for one in known if one.run_id == run_id]
        candidates = [one for one in ours if not routes.is_aliased(one) and not told.is_aliased(one)]
        try:
            return Done(await self._retire(candidates))
        except BackendGoneError as error:
            return Retry(2.0, f"the inference backend is away: {error}")

    async def retire(self, request: RetireModel, bus: Bus) -> Outcome:
        """Take a version off the endpoint because somebody asked; an alias that points to it then answers no more."""
        await self._fleet.ready.wait()
        told, wanted = await self._told.now(bus), (request.model, request.model_version)
        version = told.routes.versions.get(wanted)
        if version is None and (superseded := told.returnable.get(wanted)):
            barred = ModelRetired(run_id=superseded.run_id, model=request.model, model_version=request.model_version)
            return Done((barred,))  # nothing to unload, but it cannot come back
        if version is None:
            name = f"{request.model}@{request.model_version}"
            return Done() if wanted in told.retired else Reject(f"{name} never answered here, so it cannot be retired")
        try:
            return Done((*await self._retire([version]), *await _given_up(version, bus)))
        except BackendGoneError as error:
            return Retry(2.0, f"the inference backend is away: {error}")

    async def report_repair(self, bus: Bus, target: str, cause: str, seconds: float) -> None:
        """Say that a hung backend answers again."""
        if version := self._fleet.version_of_target(target):
            await bus.publish(
                BackendRepaired(
                    run_id=version.run_id,
                    model=version.model,
                    model_version=version.number,
                    cause=cause,
                    seconds=seconds,
                )
            )

    async def _promised(self, ctx: StageContext, event: GateDecided) -> ModelDeployed:
        """Give the checkpoint its version number and say so; two runs of one model never get the same, for whose word
        came second in the log asks for another.

        Returns what will be said once the version answers.
        """
        model = ctx.recipe.model
        while (number := (told := await self._told.now(ctx.bus)).version_number(model, event.checkpoint_id)) is None:
            following = told.next_number(model)
            wish = ModelDeploying(
                run_id=ctx.run_id, model=model, model_version=following, checkpoint_id=event.checkpoint_id
            )
            await ctx.emit(wish, key=str(following))
        exported = await ctx.bus.last(CheckpointExported, ctx.run_id)
        address, target = self._settings.triton_grpc, target_name(model, number)
        return ModelDeployed(
            run_id=ctx.run_id,
            model=model,
            model_version=number,
            checkpoint_id=event.checkpoint_id,
            checkpoint_uri=exported.checkpoint_uri if exported else "",
            export_uri=event.export_uri,
            evaluation_uri=event.evaluation_uri,
            openai_url=self._settings.openai_url,
            triton_grpc=address,
            triton_model=target,
            backend=_DEPLOYS_ON,
            backend_address=address,
            backend_model=target,
            load_s=0.0,
        )

    async def _load_patiently(self, version: Version) -> None:
        """A load takes as long as it takes; only the time is counted in which the backend is away."""
        waited_s = 0.0
        while True:
            try:
                await self._fleet.load(version)
                async with aclosing(self._fleet.generate(version, _WARM_UP)) as pieces:
                    async for _ in pieces:
                        pass
                return
            except BackendGoneError:
                if waited_s >= _PATIENCE_S:
                    raise
                await asyncio.sleep(_AGAIN_S)
                waited_s += _AGAIN_S

    async def _retire(self, versions: Iterable[Version], *, superseded: bool = False) -> tuple[ModelRetired, ...]:
        """Wait (not for ever) until their requests have ended; the backend lets the rest end by itself."""
        retired: list[ModelRetired] = []
        deadline = time.monotonic() + _DRAIN_S
        for version in versions:
            while self._admission.in_flight(version.target) and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
            gone = ModelRetired(
                run_id=version.run_id, model=version.model, model_version=version.number, superseded=superseded
            )
            self._fleet.routes = self._fleet.routes.after(gone)  # before unloading, or it would be loaded again
            await self._fleet.unload(version)
            retired.append(gone)
        return tuple(retired)


async def _given_up(version: Version, bus: Bus) -> tuple[RunFailed, ...]:
    """The end of the run whose version waited for a second person: nobody can approve it any more."""
    awaited = await bus.last(ApprovalAwaited, version.run_id)
    if awaited is None or awaited.model_version != version.number or await bus.last(ModelPromoted, version.run_id):
        return ()
    return await _failed(version.run_id, f"{version.name} was retired while it waited for approval", bus)


async def _failed(run_id: str, message: str, bus: Bus) -> tuple[RunFailed, ...]:
    """The end of a run in the stage `promote`, unless it has ended already."""
    if await bus.last(RunFailed, run_id) or await bus.last(RunCancelled, run_id):
        return ()
    return (RunFailed(run_id=run_id, stage="promote", message=message),)


def _shifted(event: ModelPromoted | ModelRolledBack, previous: int) -> TrafficShifted:
    return TrafficShifted(
        run_id=event.run_id,
        model=event.model,
        alias=event.alias,
        model_version=event.model_version,
        previous_version=previous,
        checkpoint_id=event.checkpoint_id,
    )


def _superseded(before: Routes, shifted: TrafficShifted) -> list[Version]:
    """The versions that lost their last alias."""
    after = before.after(shifted)
    return [one for one in before.behind(shifted.model, shifted.alias) if not after.is_aliased(one)]


def _add(told: Told, item: Stored[Message]) -> None:
    if isinstance(shift := item.message, TrafficShifted) and not told.routes.knows(shift):
        name = quoted(f"{shift.model}:{shift.alias}")
        logger.warning("%s stays where it is: no version answers of those that message %d names", name, item.sequence)
    told.add(item.message, int(item.time.timestamp()))
