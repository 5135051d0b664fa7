"""The checkpoint family: a checkpoint is a folder whose manifest verifies."""

from typing import ClassVar

from pydantic import Field

from ropewalk.events.base import Event, Request, Value, VersionNumber


class _Family(Value):
    family: ClassVar[str] = "checkpoint"


class PinCheckpoint(_Family, Request):
    """Keep a checkpoint whatever the policy says, for so many hours (0: until it is unpinned); or let it go again."""

    name: ClassVar[str] = "pin"
    checkpoint_id: str = Field(max_length=120)
    pinned: bool = True
    hours: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)


class PruneCheckpoints(_Family, Request):
    """Delete now what the policy lets go. It does so by itself whenever a checkpoint is committed."""

    name: ClassVar[str] = "prune"


class RollBackModel(_Family, Request):
    """Give an alias back to a version that carried it before. The run id is that of the run that made the version.

    `from_version` is the one that carries the alias as the sender saw it: if another does by then, nothing moves.
    """

    name: ClassVar[str] = "roll_back"
    model: str = Field(max_length=40)
    model_version: VersionNumber
    from_version: VersionNumber
    alias: str = Field(default="production", max_length=40)


class ApproveModel(_Family, Request):
    """A second person lets a version be promoted. The signature is by the approver's nkey, in base64."""

    name: ClassVar[str] = "approve"
    model: str = Field(max_length=40)
    model_version: VersionNumber
    approver: str = Field(max_length=64)
    signature: str = Field(max_length=200)


class CheckpointPinned(_Family, Event):
    """A checkpoint is kept until `until_unix` (0: until it is unpinned), or no longer if not `pinned`."""

    name: ClassVar[str] = "pinned"
    checkpoint_id: str
    pinned: bool
    until_unix: float = 0.0


class CheckpointSaved(_Family, Event):
    """The trainer finished writing a checkpoint. Nobody has verified it yet.

    `held_out_loss` is the loss of its weights on held-out windows, in nats per token; 0: nobody looked.
    """

    name: ClassVar[str] = "saved"
    checkpoint_id: str
    epoch: int
    step: int
    uri: str
    manifest_sha256: str
    num_bytes: int
    blocked_s: float
    held_out_loss: float = 0.0


class CheckpointSaveFailed(_Family, Event):
    """A checkpoint could not be written (a full disk, say). Training goes on; a later one holds its steps, too."""

    name: ClassVar[str] = "save_failed"
    checkpoint_id: str
    epoch: int
    step: int
    reason: str


class CheckpointCommitted(_Family, Event):
    """Every file of the checkpoint has the hash that its manifest promises."""

    name: ClassVar[str] = "committed"
    checkpoint_id: str
    step: int
    uri: str
    manifest_sha256: str


class CheckpointValidated(_Family, Event):
    """The loss of a checkpoint on documents that are kept apart to watch training by: never those of the gate.

    It is measured beside the training, always on the same tokens of a run; of conversations the answers count. Of a
    checkpoint that is written again (after weights went bad) the last word counts.
    """

    name: ClassVar[str] = "validated"
    checkpoint_id: str
    step: int
    loss: float = Field(description="nats per token")
    bits_per_byte: float
    num_tokens: int
    num_items: int = Field(description="documents or conversations")
    seconds: float = Field(description="from the question to the answer, at the lowest priority of the machine")


class CheckpointQuarantined(_Family, Event):
    """A checkpoint did not verify and was moved to `uri`. `file` is the first one that differs."""

    name: ClassVar[str] = "quarantined"
    checkpoint_id: str
    step: int
    uri: str
    file: str
    reason: str


class CheckpointPruned(_Family, Event):
    """The retention policy deleted a checkpoint."""

    name: ClassVar[str] = "pruned"
    checkpoint_id: str
    step: int
    uri: str


class CheckpointExported(_Family, Event):
    """The model of a checkpoint is a Hugging Face folder (config, safetensors, tokenizer)."""

    name: ClassVar[str] = "exported"
    checkpoint_id: str
    checkpoint_uri: str
    step: int
    uri: str
    manifest_sha256: str
    num_parameters: int
    num_bytes: int


class ExportQuarantined(_Family, Event):
    """The exported folder of a checkpoint is not what it was any more and was moved to `uri`."""

    name: ClassVar[str] = "export_quarantined"
    checkpoint_id: str
    uri: str
    file: str
    reason: str


class ParityCertified(_Family, Event):
    """The same greedy tokens were asked of every path. `differences` is empty when they agree.

    `logprob_shifts` has by path the largest difference from the trainer, in nats: of a token for the export, of the
    mean of a completion for an endpoint that tells it. The bound is that of the `dtype` of the exported weights.
    """

    name: ClassVar[str] = "parity_certified"
    model: str
    model_version: int
    checkpoint_id: str
    paths: tuple[str, ...]
    num_prompts: int
    num_tokens: int
    passed: bool
    differences: tuple[str, ...]
    dtype: str = ""
    logprob_bound: float = 0.0
    logprob_shifts: dict[str, float] = Field(default_factory=dict)


class ModelPromoted(_Family, Event):
    """A model version may carry the alias. Serving shifts traffic to it."""

    name: ClassVar[str] = "model_promoted"
    model: str
    model_version: int
    alias: str
    checkpoint_id: str
    export_uri: str
    manifest_sha256: str
    evaluation_uri: str


class ModelRolledBack(_Family, Event):
    """A version that carried the alias before may carry it again. Serving shifts traffic if `from_version` has it."""

    name: ClassVar[str] = "model_rolled_back"
    model: str
    model_version: int
    from_version: int
    alias: str
    checkpoint_id: str
    export_uri: str
    manifest_sha256: str
    evaluation_uri: str


class ApprovalAwaited(_Family, Event):
    """A version has passed everything and waits until somebody else than the `author` of the run approves it."""

    name: ClassVar[str] = "approval_awaited"
    model: str
    model_version: int
    alias: str
    author: str
    checkpoint_id: str
    export_uri: str
    manifest_sha256: str
    evaluation_uri: str
    evaluation_sha256: str


class ApprovalDecided(_Family, Event):
    """Somebody approved a version; or wanted to and may not, for a `reason`.

    The signature is by `public_key` under who approves and all fields of the `ApprovalAwaited` of the run.
    """

    name: ClassVar[str] = "approval_decided"
    model: str
    model_version: int
    approver: str
    approved: bool
    reason: str
    manifest_sha256: str
    evaluation_sha256: str
    public_key: str
    signature: str
