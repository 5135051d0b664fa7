"""Signatures of people under what they approve: Ed25519 with nkeys, as the bus uses them.

What is signed is the text below, so that a signature stands for this version, these bytes and this evaluation only.
"""

import base64
import binascii
import json
from pathlib import Path

import nkeys
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from ropewalk.bus.once import Timeline
from ropewalk.errors import RopewalkError
from ropewalk.events.checkpoint import ApprovalAwaited, ApprovalDecided, ModelPromoted

_CHECKSUM_BYTES = 2


class ApprovalKeyError(RopewalkError, ValueError):
    """A file holds no seed of a person."""


def signed_text(awaited: ApprovalAwaited, approver: str) -> bytes:
    """What an approver says: who approves, and all that the version is made of and was judged by."""
    return json.dumps({"approver": approver, **awaited.model_dump(mode="json")}, sort_keys=True).encode()


def sign(awaited: ApprovalAwaited, approver: str, seed_file: Path) -> str:
    """The signature, in base64. Raises OSError, ApprovalKeyError."""
    try:
        pair = nkeys.from_seed(bytearray(seed_file.read_bytes().strip()))
    except (nkeys.NkeysError, ValueError):
        raise ApprovalKeyError(f"{seed_file} holds no seed: `ropewalk keys person FILE` makes one") from None
    return base64.b64encode(pair.sign(signed_text(awaited, approver))).decode()


def is_signed(awaited: ApprovalAwaited, approver: str, public_key: str, signature: str) -> bool:
    """Whether the signature is that of the public nkey (`U...`) under this text."""
    try:
        decoded = base64.b32decode(public_key + "=" * (-len(public_key) % 8))
        key = VerifyKey(decoded[1:-_CHECKSUM_BYTES])
        key.verify(signed_text(awaited, approver), base64.b64decode(signature, validate=True))
    except (binascii.Error, ValueError, CryptoError):
        return False
    return True


async def approval_of(log: Timeline, awaited: ApprovalAwaited) -> ApprovalDecided | None:
    """The decision by which this was promoted; None if it was not."""
    promoted = await log.last(ModelPromoted, awaited.run_id)
    if promoted is None or promoted.checkpoint_id != awaited.checkpoint_id:
        return None
    async for stored in log.read(f"{ApprovalDecided.subject_prefix()}.{awaited.run_id}"):
        decided = stored.message
        if isinstance(decided, ApprovalDecided) and decided.approved:
            return decided
    return None


def promoted_already(decided: ApprovalDecided) -> str:
    """What a second approval is told."""
    return f"{decided.model}@{decided.model_version} was promoted already (approved by {decided.approver})"
