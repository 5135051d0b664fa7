"""May this approval let a version be promoted? Plain values in, a reason against it out."""

from collections.abc import Mapping

from ropewalk.events.checkpoint import ApprovalAwaited, ApproveModel


def reason_against(awaited: ApprovalAwaited, request: ApproveModel, keys: Mapping[str, str]) -> str:
    """Why somebody may not approve what awaits it, whatever he signed; empty if he may. `keys` are by approver."""
    name = f"{awaited.model}@{awaited.model_version}"
    if request.approver == awaited.author:
        return f"{request.approver} is the author of run {awaited.run_id}: somebody else must approve {name}"
    if not awaited.author:
        return f"run {awaited.run_id} names no author, so nobody is a second person: submit it again with --owner"
    if request.approver not in keys:
        known = ", ".join(sorted(keys)) or "nobody is, see ROPEWALK_CHECKPOINT_MANAGER_APPROVERS"
        return f"{request.approver} is no approver of this stack ({known})"
    if keys[request.approver] == keys.get(awaited.author):
        return f"{request.approver} and {awaited.author}, the author, have one key: somebody else must approve {name}"
    return ""
