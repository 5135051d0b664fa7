"""Approving a version that waits for a second person."""

from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.admin.approvals import approval_of, promoted_already, sign
from ropewalk.client.errors import ClientError
from ropewalk.client.models import ModelVersion
from ropewalk.events.checkpoint import ApprovalAwaited, ApprovalDecided, ApproveModel

if TYPE_CHECKING:
    from ropewalk.client.client import Client

_ANSWER_S = 30.0


async def awaited_approval(client: "Client", version: ModelVersion) -> ApprovalAwaited:
    """What would be approved. Raises ClientError if nothing of the version waits."""
    awaited = await client.bus.last(ApprovalAwaited, version.run_id)
    if awaited is None or awaited.model_version != version.version:
        raise ClientError(f"{version.full_name} waits for nobody's approval")
    if decided := await approval_of(client.bus, awaited):
        raise ClientError(promoted_already(decided))
    if not version.answers:
        raise ClientError(f"{version.full_name} is retired, so it is not promoted any more: submit its run again")
    return awaited


async def approve(client: "Client", version: ModelVersion, approver: str, seed_file: Path) -> ApprovalAwaited:
    """Sign what is awaited and wait for the decision. Raises ClientError with the reason if it is refused."""
    awaited = await awaited_approval(client, version)
    if approver == awaited.author:
        raise ClientError(
            f"{approver} is the author of run {awaited.run_id}: somebody else must approve {version.full_name}"
        )
    request = ApproveModel(
        run_id=awaited.run_id,
        model=awaited.model,
        model_version=awaited.model_version,
        approver=approver,
        signature=sign(awaited, approver, seed_file),
    )
    decisions: list[ApprovalDecided] = []

    def is_mine(decided: ApprovalDecided) -> bool:
        if decided.signature == request.signature:
            decisions.append(decided)
        return bool(decisions)

    asked = f"the checkpoint-manager was asked to let {version.full_name} be promoted"
    await client.ask_for(request, ApprovalDecided, is_mine, within_s=_ANSWER_S, asked=asked)
    if not decisions[0].approved:
        raise ClientError(decisions[0].reason)
    return awaited
