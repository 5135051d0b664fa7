"""Who may label answers of a task set, and until when."""

import time

from ropewalk.bus.once import Timeline, once
from ropewalk.delivery.outcome import Done, Outcome, Reject
from ropewalk.events.label import InviteRater, RaterInvited, RaterRevoked, RevokeRater
from ropewalk.projections.task_sets import standings

_LONGEST_S = 366 * 86_400.0


async def invite_rater(request: InviteRater, log: Timeline) -> Outcome:
    """Say that whoever has the secret may label, if there is such a task set."""
    if not 0 < request.until_unix - time.time() < _LONGEST_S:
        return Reject(
            f"the link of {request.rater} would end at {request.until_unix}: within the next 366 days it must"
        )
    facts = [item.message async for item in once(log.read(f"evt.task_set.*.*.{request.task_set_id}"))]
    if not standings(facts):
        return Reject(f"there is no task set {request.task_set_id}: `ropewalk taskset add` registers one")
    invited = RaterInvited(
        task_set_id=request.task_set_id,
        rater=request.rater,
        key_sha256=request.key_sha256,
        until_unix=request.until_unix,
    )
    return Done((invited,))


async def revoke_rater(request: RevokeRater) -> Outcome:
    """Say that no link of the rater is good any more, whoever that is: nobody is refused what closes a door."""
    return Done((RaterRevoked(task_set_id=request.task_set_id, rater=request.rater),))
