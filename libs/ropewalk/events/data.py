"""The data family: sources become segments, segments become a dataset version."""

from typing import ClassVar, Literal

from pydantic import Field

from ropewalk.events.base import Event, Value


class _Family(Value):
    family: ClassVar[str] = "data"


class SegmentRef(Value):
    """An immutable batch of documents. `uri` is the object key of its folder, which has a manifest."""

    segment_id: str
    uri: str
    num_documents: int
    num_bytes: int


class SourceRegistered(_Family, Event):
    """A source was found readable, with the licence its documents come under."""

    name: ClassVar[str] = "source_registered"
    source_id: str
    path: str
    licence: str
    num_files: int


class SegmentIngested(_Family, Event):
    """One segment is complete in the object store."""

    name: ClassVar[str] = "segment_ingested"
    source_id: str
    segment: SegmentRef


class RecordQuarantined(_Family, Event):
    """Records of a source were set aside for one reason; `uri` holds their places (at most 100,000),
    `examples` names the first."""

    name: ClassVar[str] = "record_quarantined"
    source_id: str
    reason: str
    num_records: int
    examples: tuple[str, ...]
    uri: str


class CorpusIngested(_Family, Event):
    """Every source of the run is in segments."""

    name: ClassVar[str] = "corpus_ingested"
    segments: tuple[SegmentRef, ...]
    num_documents: int
    num_bytes: int
    num_quarantined: int


class SegmentCleaned(_Family, Event):
    """A segment went through the filters: inputs = kept + held out + the sum of `dropped`."""

    name: ClassVar[str] = "segment_cleaned"
    segment_id: str
    num_inputs: int
    num_kept: int
    num_held_out: int
    dropped: dict[str, int]


class BaseModelAsked(_Family, Event):
    """A sign of life while the base model reads or answers documents before a training."""

    name: ClassVar[str] = "base_model_asked"
    purpose: Literal["answers", "references"] = Field(
        description="answers: what it says to inputs without one; references: what it thinks of answers"
    )
    num_asked: int = Field(description="documents so far")
    num_documents: int = Field(description="documents at the end")


class TokenizerTrained(_Family, Event):
    """A tokenizer is in the object store; `sha256` is that of its tokenizer.json."""

    name: ClassVar[str] = "tokenizer_trained"
    uri: str
    sha256: str
    vocab_size: int
    bytes_per_token: float


class BlockedTaskSet(Value):
    """A frozen task set that a corpus was searched for; what gave one of its items away is not trained on."""

    task_set: str = Field(description="with its version: copying@1")
    content: str = Field(description="as in TaskSetFrozen")
    num_items: int
    num_dropped: int = Field(description="documents of the corpus that were dropped for it, as `contaminated`")


class DatasetPublished(_Family, Event):
    """A dataset version is sealed. Its name is the hash of its manifest.

    What a run holds out, no later run of the same model trains on: the documents at `held_out_uri` of all events with
    the same `model` are the registry, which only grows. Events of before there was one have no `model`.
    """

    name: ClassVar[str] = "dataset_published"
    dataset_version: str
    uri: str
    tokenizer_uri: str
    evalset_uri: str
    num_inputs: int
    num_kept: int
    num_held_out: int
    dropped: dict[str, int]
    num_tokens: int
    num_windows: int
    context_length: int
    model: str = Field(default="", description="the name under which the run's model serves")
    held_out_uri: str = Field(default="", description="what no earlier run of the model had held out; empty: nothing")
    held_out_sha256: str = Field(default="", description="of the documents at held_out_uri")
    num_newly_held_out: int = Field(default=0, description="documents at held_out_uri")
    num_registered: int = Field(default=0, description="documents that runs of the model held out up to now")
    num_dev: int = Field(default=0, description="of the held-out ones, those to watch training by, which judge nothing")
    num_cut: int = Field(default=0, description="conversations that are longer than a window; what is beyond was cut")
    task_sets: tuple[BlockedTaskSet, ...] = Field(
        default=(), description="all that were frozen when the run began and could be read"
    )
    window_for_most: int = Field(default=0, description="tokens of a window that would hold 99 % of the conversations")
    num_synthetic: int = Field(default=0, description="kept documents whose answer a model wrote")

    @property
    def made_by_models(self) -> str:
        """A sentence; empty if people wrote all of it, as far as it is marked."""
        n = self.num_synthetic
        return f"{n:,} of the kept {'was' if n == 1 else 'were'} written by a model (synthetic)" if n else ""

    @property
    def loss_by_cutting(self) -> str:
        """A sentence, and what to do about it; empty if every conversation fits."""
        if not self.num_cut:
            return ""
        what = "conversation is" if self.num_cut == 1 else "conversations are"
        return (
            f"{self.num_cut:,} {what} longer than the window of {self.context_length:,} tokens and lost the rest: "
            f"`training: {{context_length: {self.window_for_most}}}` would hold 99 % of all"
        )
