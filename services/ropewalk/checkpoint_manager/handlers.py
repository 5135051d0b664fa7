"""What the checkpoint-manager does about each event."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from pathlib import Path

import httpx
from pydantic import JsonValue

from ropewalk.admin.approvals import approval_of, is_signed, promoted_already
from ropewalk.bus.once import RunningFold, Timeline, once
from ropewalk.checkpoint_manager.adapters.checkpoints import Broken, inspect, keep_ledger, set_aside
from ropewalk.checkpoint_manager.adapters.export import ExportJob, build_export
from ropewalk.checkpoint_manager.adapters.greedy import GreedyJob, complete_locally
from ropewalk.checkpoint_manager.adapters.heldout import read_heads
from ropewalk.checkpoint_manager.adapters.openai_endpoint import complete_on_endpoint
from ropewalk.checkpoint_manager.adapters.triton import complete_on_triton
from ropewalk.checkpoint_manager.domain.approval import reason_against
from ropewalk.checkpoint_manager.domain.keys import export_key, quarantine_key
from ropewalk.checkpoint_manager.domain.parity import (
    NUM_TOKENS,
    Completion,
    find_differences,
    find_mean_shift,
    pick_prompts,
)
from ropewalk.checkpoint_manager.settings import EndpointSettings
from ropewalk.delivery.outcome import Done, Outcome, Reject
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import (
    ApprovalAwaited,
    ApprovalDecided,
    ApproveModel,
    CheckpointCommitted,
    CheckpointExported,
    CheckpointPinned,
    CheckpointPruned,
    CheckpointQuarantined,
    CheckpointSaved,
    ModelPromoted,
    ModelRolledBack,
    ParityCertified,
    PinCheckpoint,
    PruneCheckpoints,
    RollBackModel,
)
from ropewalk.events.data import DatasetPublished
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.run import RunAccepted, RunCancelled, RunCompleted, RunFailed
from ropewalk.events.serving import ModelDeployed, ModelRetired, TrafficShifted
from ropewalk.events.training import TrainingCompleted
from ropewalk.projections.model_card import BEFORE_EXPORT, model_card
from ropewalk.projections.retention import FACTS, Holdings, Policy, to_prune
from ropewalk.recipes.bases import base_key, content_of
from ropewalk.recipes.recipe import parse_recipe
from ropewalk.stages.context import StageContext
from ropewalk.stages.errors import StageError
from ropewalk.storage.manifest import Manifest
from ropewalk.storage.objects import ObjectStore
from ropewalk.telemetry.spans import current_traceparent

# Clients may speak to these kinds of backends directly, so that way is certified too; any other only has the endpoint.
_PROTOCOLS = {"triton": complete_on_triton}
_MOST_RUNS = 64  # that are trained at the same time; of one more everything is read again
_OUTCOME_OF = {"reject": "rejected", "need_more": "need_more", "judged only": "judged"}


class RunHoldings:
    """What the log says about the checkpoints of the runs that were looked at last."""

    def __init__(self) -> None:
        self._fold_of = lru_cache(maxsize=_MOST_RUNS)(_fold_of)

    async def of(self, run_id: str, bus: Timeline) -> Holdings:
        """The holdings of a run now."""
        return await self._fold_of(run_id).now(bus)


def _fold_of(run_id: str) -> RunningFold[Holdings]:
    subjects = (f"{prefix}.{run_id}" for prefix in FACTS)
    return RunningFold(Holdings(), lambda holdings, item: holdings.add(item.message), *subjects)


async def verify_checkpoint(event: CheckpointSaved, bus: Timeline, objects: ObjectStore, known: RunHoldings) -> Outcome:
    """Hash a new checkpoint: commit it and prune by policy, or set it aside."""
    holdings = await known.of(event.run_id, bus)
    if event.checkpoint_id in holdings.verified or event.checkpoint_id in holdings.pruned:
        return Done()  # a redelivery: what followed from it was published in one batch
    finding = await asyncio.to_thread(inspect, objects, event.uri, event.manifest_sha256)
    if isinstance(finding, Broken):
        found = await asyncio.to_thread(set_aside, objects, event.uri, event.checkpoint_id, finding)
        return Done((_quarantined(event, found),))
    await asyncio.to_thread(keep_ledger, objects, event.uri, event.run_id, event.checkpoint_id)
    committed = CheckpointCommitted(
        run_id=event.run_id,
        checkpoint_id=event.checkpoint_id,
        step=event.step,
        uri=event.uri,
        manifest_sha256=event.manifest_sha256,
    )
    pruned = await _prune(event.run_id, holdings.after(event, committed), bus, objects)
    return Done((committed, *pruned))


async def prune_now(request: PruneCheckpoints, bus: Timeline, objects: ObjectStore, known: RunHoldings) -> Outcome:
    """Somebody asked to apply the policy of a run."""
    return Done(await _prune(request.run_id, await known.of(request.run_id, bus), bus, objects))


async def pin_checkpoint(request: PinCheckpoint, bus: Timeline, known: RunHoldings) -> Outcome:
    """Keep a checkpoint, or let it go again."""
    holdings = await known.of(request.run_id, bus)
    if request.checkpoint_id not in holdings.verified:
        return Reject(f"run {request.run_id} has no verified checkpoint {request.checkpoint_id}: nothing was pinned")
    until = time.time() + 3600 * request.hours if request.pinned and request.hours else 0.0
    pinned = CheckpointPinned(
        run_id=request.run_id, checkpoint_id=request.checkpoint_id, pinned=request.pinned, until_unix=until
    )
    return Done((pinned,))


def _quarantined(event: CheckpointSaved | TrainingCompleted, broken: Broken) -> CheckpointQuarantined:
    return CheckpointQuarantined(
        run_id=event.run_id,
        checkpoint_id=event.checkpoint_id,
        step=event.step,
        uri=quarantine_key(event.checkpoint_id),
        file=broken.file,
        reason=broken.reason,
    )


async def _prune(run_id: str, holdings: Holdings, bus: Timeline, objects: ObjectStore) -> tuple[CheckpointPruned, ...]:
    """Delete what the policy lets go. Without an accepted recipe there is no policy and everything stays."""
    accepted = await bus.last(RunAccepted, run_id)
    if accepted is None:
        return ()
    surplus = to_prune(holdings, Policy.of(parse_recipe(accepted.recipe).derived), time.time())
    for checkpoint in surplus:
        await asyncio.to_thread(objects.delete, checkpoint.uri)
    return tuple(
        CheckpointPruned(
            run_id=run_id, checkpoint_id=checkpoint.checkpoint_id, step=checkpoint.step, uri=checkpoint.uri
        )
        for checkpoint in surplus
    )


async def export_checkpoint(ctx: StageContext, event: TrainingCompleted) -> tuple[Message, ...]:
    """Turn the final checkpoint into a Hugging Face folder."""
    checkpoint = await _final_checkpoint(ctx, event)
    key = export_key(event.checkpoint_id)
    earlier = await asyncio.to_thread(inspect, ctx.objects, key, "")
    if isinstance(earlier, Broken) or earlier.meta.get("checkpoint_manifest_sha256") != checkpoint.sha256:
        await asyncio.to_thread(ctx.objects.delete, key)
        await _build_export(ctx, event, key, checkpoint.sha256)
    manifest = await _verified(ctx.objects, key, f"the export of {event.checkpoint_id} does not verify")
    exported = CheckpointExported(
        run_id=ctx.run_id,
        checkpoint_id=event.checkpoint_id,
        checkpoint_uri=event.uri,
        step=event.step,
        uri=key,
        manifest_sha256=manifest.sha256,
        num_parameters=int(str(manifest.meta["num_parameters"])),
        num_bytes=manifest.num_bytes,
    )
    return (exported,)


async def _build_export(ctx: StageContext, event: TrainingCompleted, key: str, checkpoint_sha256: str) -> None:
    dataset = await _dataset(ctx)
    out = ctx.scratch / "export"
    job = ExportJob(
        checkpoint=await asyncio.to_thread(ctx.objects.fetch, event.uri),
        base=await _base(ctx),
        tokenizer=await asyncio.to_thread(ctx.objects.fetch, dataset.tokenizer_uri),
        out=out,
        card=model_card(ctx.run_id, [fact async for fact in _known_before(ctx)]),
    )
    num_parameters = await ctx.in_child(build_export, job)
    meta: dict[str, JsonValue] = {
        "checkpoint_id": event.checkpoint_id,
        "checkpoint_manifest_sha256": checkpoint_sha256,
        "num_parameters": num_parameters,
    }
    await asyncio.to_thread(ctx.objects.publish, out, key, meta)


async def _base(ctx: StageContext) -> Path | None:
    """The import on which an adapter was trained: its checkpoints leave the weights of it out."""
    content = content_of(ctx.recipe.base_model) if ctx.recipe.adapter != "full" else ""
    return await asyncio.to_thread(ctx.objects.fetch, base_key(content)) if content else None


async def _known_before(ctx: StageContext) -> AsyncIterator[Message]:
    """What the card of an export says, which must be the same when it is made again."""
    for kind in BEFORE_EXPORT:
        async for stored in ctx.bus.read(f"{kind.subject_prefix()}.{ctx.run_id}"):
            yield stored.message


async def _final_checkpoint(ctx: StageContext, event: TrainingCompleted) -> Manifest:
    """Hash it again: it may have changed since it was committed. Quarantines it and raises StageError if it did."""
    finding = await asyncio.to_thread(inspect, ctx.objects, event.uri, "")
    if not isinstance(finding, Broken):
        return finding
    found = await asyncio.to_thread(set_aside, ctx.objects, event.uri, event.checkpoint_id, finding)
    known = await ctx.bus.last(CheckpointQuarantined, ctx.run_id)
    if known is None or known.checkpoint_id != event.checkpoint_id:
        await ctx.emit(_quarantined(event, found), key=event.checkpoint_id)
    raise StageError(
        f"the final checkpoint {event.checkpoint_id} does not verify ({found.file} {found.reason}), so it was "
        f"moved to {quarantine_key(event.checkpoint_id)} and nothing was exported: submit the run again"
    )


async def conclude(event: GateDecided, bus: Timeline) -> Outcome:
    """A gate that did not promote ends the run here; a decision that is deferred, or of a later release, does not."""
    if event.word not in _OUTCOME_OF:
        return Done()
    accepted = await bus.last(RunAccepted, event.run_id)
    model = parse_recipe(accepted.recipe).model if accepted else ""
    completed = RunCompleted.model_validate(
        {"run_id": event.run_id, "outcome": _OUTCOME_OF[event.word], "model": model}
    )
    return Done((completed,))


async def promote_model(ctx: StageContext, event: ModelDeployed, endpoint: EndpointSettings) -> tuple[Message, ...]:
    """Certify that all paths give the same greedy tokens, and only then promote."""
    await _require_gate(ctx, event)
    name = f"{event.model}@{event.model_version}"
    manifest = await _verified(
        ctx.objects, event.export_uri, f"the export of {name} does not verify, so nothing was promoted"
    )
    certificate = await _certify(ctx, event, endpoint)
    await ctx.emit(certificate, key=name)
    if not certificate.passed:
        raise StageError(
            f"{name} does not answer as the trained weights do, so nothing was promoted: "
            + "; ".join(certificate.differences)
        )
    promoted = ModelPromoted(
        run_id=ctx.run_id,
        model=event.model,
        model_version=event.model_version,
        alias=ctx.recipe.promotion.alias,
        checkpoint_id=event.checkpoint_id,
        export_uri=event.export_uri,
        manifest_sha256=manifest.sha256,
        evaluation_uri=event.evaluation_uri,
    )
    return (promoted if ctx.recipe.promotion.approval == "none" else await _awaited(ctx, promoted),)


async def _awaited(ctx: StageContext, promoted: ModelPromoted) -> ApprovalAwaited:
    """What a second person has to look at before this promotion is one."""
    name = f"{promoted.model}@{promoted.model_version}"
    failure = f"the evaluation of {name} does not verify, so nobody can approve it"
    evaluation = await _verified(ctx.objects, promoted.evaluation_uri, failure)
    accepted = await ctx.bus.last(RunAccepted, ctx.run_id)
    author = {"author": accepted.owner if accepted else "", "evaluation_sha256": evaluation.sha256}
    return ApprovalAwaited.model_validate(promoted.model_dump() | author)


async def approve_model(request: ApproveModel, bus: Timeline, objects: ObjectStore, keys: Mapping[str, str]) -> Outcome:
    """Promote what waited, if somebody else than its author signed exactly it; `keys` are public ones, by approver."""
    awaited, name = await bus.last(ApprovalAwaited, request.run_id), f"{request.model}@{request.model_version}"
    if awaited is None or (awaited.model, awaited.model_version) != (request.model, request.model_version):
        return Reject(f"{name} waits for nobody's approval")
    before = await approval_of(bus, awaited)
    if before and before.signature == request.signature:
        return Done()  # a repetition: the decision that answers it is in the log
    reason = promoted_already(before) if before else reason_against(awaited, request, keys)
    if not reason and not is_signed(awaited, request.approver, keys[request.approver], request.signature):
        reason = f"the signature is not that of {request.approver} under {name} as it is: nothing was promoted"
    gone = await bus.last(ModelRetired, request.run_id)
    if not reason and gone is not None and gone.model_version == request.model_version:
        reason = f"{name} is retired, so it is not promoted any more: submit its run again"
    if not reason and (await bus.last(RunCancelled, request.run_id) or await bus.last(RunFailed, request.run_id)):
        reason = f"run {request.run_id} has ended, so {name} is not promoted any more: submit it again"
    if not reason:
        finding = await asyncio.to_thread(inspect, objects, awaited.export_uri, awaited.manifest_sha256)
        if isinstance(finding, Broken):
            reason = f"the export of {name} does not verify ({finding.file} {finding.reason}): nothing was promoted"
    seen = awaited.model_dump() | request.model_dump() | {"public_key": keys.get(request.approver, "")}
    decided = ApprovalDecided.model_validate(seen | {"approved": not reason, "reason": reason})
    return Done((decided,) if reason else (decided, ModelPromoted.model_validate(awaited.model_dump())))


async def roll_back(request: RollBackModel, bus: Timeline, objects: ObjectStore) -> Outcome:
    """Let an alias go back to a version that was promoted to it, if what it would load still verifies."""
    name = f"{request.model}@{request.model_version}"
    promoted = await bus.last(ModelPromoted, request.run_id)
    now = await _carried(bus, request.model, request.alias)
    wanted = (request.model, request.model_version, request.alias)
    if promoted is None or (promoted.model, promoted.model_version, promoted.alias) != wanted:
        return Reject(f"{name} was never promoted to {request.alias}, so it cannot go back to it")
    if now == request.model_version:
        return Done()  # a repetition: it has moved
    if now != request.from_version:
        return Reject(f"{request.alias} of {request.model} is at version {now}, not {request.from_version}: ask again")
    finding = await asyncio.to_thread(inspect, objects, promoted.export_uri, promoted.manifest_sha256)
    if isinstance(finding, Broken):
        return Reject(f"the export of {name} does not verify ({finding.file} {finding.reason}): nothing was moved")
    fields = promoted.model_dump() | {"from_version": request.from_version}
    return Done((ModelRolledBack.model_validate(fields),))


async def _carried(bus: Timeline, model: str, alias: str) -> int:
    """The version that an alias points to now; 0 if it never pointed to any."""
    carried = 0
    async for stored in once(bus.read(f"{TrafficShifted.subject_prefix()}.*")):
        shift = stored.message
        if isinstance(shift, TrafficShifted) and (shift.model, shift.alias) == (model, alias):
            carried = shift.model_version
    return carried


async def _certify(ctx: StageContext, event: ModelDeployed, endpoint: EndpointSettings) -> ParityCertified:
    dataset = await _dataset(ctx)
    evalset: Path = await asyncio.to_thread(ctx.objects.fetch, dataset.evalset_uri)
    job = GreedyJob(
        checkpoint=await asyncio.to_thread(ctx.objects.fetch, event.checkpoint_uri),
        base=await _base(ctx),
        tokenizer=await asyncio.to_thread(ctx.objects.fetch, dataset.tokenizer_uri),
        export=await asyncio.to_thread(ctx.objects.fetch, event.export_uri),
        prompts=pick_prompts(await asyncio.to_thread(read_heads, evalset)),
    )
    local = await ctx.in_child(complete_locally, job)
    paths: dict[str, tuple[Completion, ...]] = {"trainer": local.trainer, "export": local.export}
    if ask := _PROTOCOLS.get(event.backend):
        key, timeout_s = endpoint.internal_key, endpoint.timeout_s
        paths[event.backend] = await ask(
            event.backend_address, event.backend_model, local.prompts, key=key, timeout_s=timeout_s
        )
    headers = {"Authorization": f"Bearer {endpoint.internal_key}", "traceparent": current_traceparent()}
    async with httpx.AsyncClient(headers=headers, timeout=endpoint.timeout_s) as client:
        paths["openai"] = await complete_on_endpoint(
            client, event.openai_url, f"{event.model}@{event.model_version}", local.prompts
        )
    shifts = {name: find_mean_shift(name, local.trainer, said, local.bound) for name, said in list(paths.items())[2:]}
    differences = (*local.differences, *find_differences(paths, local.eos_id), *(each for _, each in shifts.values()))
    differences = tuple(filter(None, differences))
    return ParityCertified(
        run_id=ctx.run_id,
        model=event.model,
        model_version=event.model_version,
        checkpoint_id=event.checkpoint_id,
        paths=tuple(paths),
        num_prompts=len(local.prompts),
        num_tokens=NUM_TOKENS,
        passed=not differences,
        differences=differences,
        dtype=local.dtype,
        logprob_bound=local.bound,
        logprob_shifts={
            "export": local.shift,
            **{name: most for name, (most, _) in shifts.items() if most is not None},
        },
    )


async def _require_gate(ctx: StageContext, event: ModelDeployed) -> None:
    gate = await ctx.bus.last(GateDecided, ctx.run_id)
    if gate is None or gate.checkpoint_id != event.checkpoint_id or gate.decision != "promote":
        raise StageError(f"no gate let checkpoint {event.checkpoint_id} into production, so nothing was promoted")


async def _dataset(ctx: StageContext) -> DatasetPublished:
    dataset = await ctx.bus.last(DatasetPublished, ctx.run_id)
    if dataset is None:
        raise StageError(f"run {ctx.run_id} has no published dataset, so its tokenizer cannot be found")
    return dataset


async def _verified(objects: ObjectStore, uri: str, failure: str) -> Manifest:
    finding = await asyncio.to_thread(inspect, objects, uri, "")
    if isinstance(finding, Broken):
        raise StageError(f"{failure}: {finding.file} {finding.reason}")
    return finding
