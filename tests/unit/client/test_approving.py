"""What may be approved, told before anybody is asked."""

from types import SimpleNamespace
from typing import Any

import pytest

from ropewalk.client.approving import awaited_approval
from ropewalk.client.errors import ClientError
from ropewalk.client.models import ModelVersion
from ropewalk.events.checkpoint import ApprovalAwaited, ApprovalDecided, ModelPromoted

VERSION = {"run_id": "r", "model": "ant", "model_version": 1}
BYTES = {"alias": "production", "checkpoint_id": "c", "export_uri": "e", "manifest_sha256": "0", "evaluation_uri": "v"}
AWAITED = ApprovalAwaited.model_validate(VERSION | BYTES | {"author": "alice", "evaluation_sha256": "1"})


def version(*, answers: bool) -> ModelVersion:
    return ModelVersion(
        model="ant", version=1, run_id="r", checkpoint_id="c", export_uri="e", answers=answers, names=()
    )


async def test_a_second_approval_is_told_at_once_who_approved_before(timeline: Any) -> None:
    signed = {"manifest_sha256": "0", "evaluation_sha256": "1", "public_key": "k", "signature": "s", "reason": ""}
    decided = ApprovalDecided.model_validate(VERSION | signed | {"approver": "bob", "approved": True})
    timeline.messages += [AWAITED, decided, ModelPromoted.model_validate(VERSION | BYTES)]
    client: Any = SimpleNamespace(bus=timeline)
    with pytest.raises(ClientError, match=r"^ant@1 was promoted already \(approved by bob\)$"):
        await awaited_approval(client, version(answers=True))


async def test_what_was_retired_while_it_waited_is_not_approved(timeline: Any) -> None:
    timeline.messages.append(AWAITED)
    client: Any = SimpleNamespace(bus=timeline)
    assert await awaited_approval(client, version(answers=True)) == AWAITED
    with pytest.raises(ClientError, match="ant@1 is retired, so it is not promoted any more"):
        await awaited_approval(client, version(answers=False))
