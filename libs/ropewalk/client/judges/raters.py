"""Raters of a task set: who is invited gets a link, of whose secret the log has the hash alone."""

import os
import pwd
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk.client.errors import ClientError
from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import quoted
from ropewalk.events.label import InviteRater, RaterInvited, RaterRevoked, RevokeRater
from ropewalk.projections.raters import RaterFigures, key_of_secret, rater_figures

if TYPE_CHECKING:
    from ropewalk.client.client import Client

_SECRET_BYTES = 32
_ANSWER_S = 30.0


@dataclass(frozen=True, kw_only=True)
class RaterLink:
    """Where a rater labels. Whoever has it is that rater, until the time is over or the rater is revoked."""

    url: str
    until_unix: float


def own_name() -> str:
    """That of who runs this program."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's arbitrary user
        return f"user-{os.getuid()}"


async def invite_rater(client: "Client", task_set_id: str, rater: str, days: int) -> RaterLink:
    """A link for a rater, beside those that the rater has already. Raises ClientError with the evaluator's sentence."""
    _check_names(task_set_id, rater)
    await _check_known(client, task_set_id)
    secret, until = secrets.token_urlsafe(_SECRET_BYTES), time.time() + 86_400.0 * days
    key = key_of_secret(secret)
    await client.ask_for(
        InviteRater(task_set_id=task_set_id, rater=rater, key_sha256=key, until_unix=until),
        RaterInvited,
        lambda fact: fact.key_sha256 == key,
        within_s=_ANSWER_S,
        asked=f"the evaluator was asked to invite {rater}",
    )
    return RaterLink(url=f"{client.settings.review_url}/r/{task_set_id}/{secret}", until_unix=until)


async def revoke_rater(client: "Client", task_set_id: str, rater: str) -> None:
    """End every link of a rater. Raises ClientError, also for a rater whom nobody invited."""
    _check_names(task_set_id, rater)
    known = await figures_of(client, task_set_id)
    if rater not in {each.rater for each in known}:
        names = ", ".join(each.rater for each in known[:20])
        raise ClientError(f"there is no rater {quoted(rater)} of {task_set_id}; there are: {names or 'none'}")
    await client.ask_for(
        RevokeRater(task_set_id=task_set_id, rater=rater),
        RaterRevoked,
        lambda fact: fact.rater == rater,
        within_s=_ANSWER_S,
        asked=f"the evaluator was asked to revoke {rater}",
    )


async def figures_of(client: "Client", task_set_id: str) -> list[RaterFigures]:
    """Everyone who was invited to a task set, with what they did."""
    _check_names(task_set_id)
    await _check_known(client, task_set_id)
    found = [item.message async for item in client.bus.read(f"evt.label.*.*.{task_set_id}")]
    found += [item.message async for item in client.bus.read(f"log.label.*.*.{task_set_id}", stream="SCORES")]
    return rater_figures(found)


async def _check_known(client: "Client", task_set_id: str) -> None:
    async for _ in client.bus.read(f"evt.task_set.*.*.{task_set_id}"):
        return
    raise ClientError(f"there is no task set {task_set_id}: `ropewalk taskset add` registers one")


def _check_names(task_set_id: str, rater: str = "nobody") -> None:
    for what, name in (("task set", task_set_id), ("rater", rater)):
        if not re.fullmatch(RUN_ID_PATTERN, name):
            raise ClientError(
                f"{what} {quoted(name)} is no name: it has 1 to 63 lower-case letters, digits, - and _, and begins "
                "with a letter or digit"
            )
