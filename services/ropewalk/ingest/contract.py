"""What ingest hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events.contract import Contract, Reaction, Stage
from ropewalk.events.data import CorpusIngested, RecordQuarantined, SegmentIngested, SourceRegistered
from ropewalk.events.run import CancelRun, RunAccepted, RunCancelled, RunRejected, SubmitRun

SUBMIT = Reaction("submit", SubmitRun)
CANCEL = Reaction("cancel", CancelRun)
INGEST = Stage("ingest", RunAccepted)

CONTRACT = Contract(
    service="ingest",
    listens=(SUBMIT, CANCEL, INGEST),
    emits=(
        RunAccepted,
        RunRejected,
        RunCancelled,
        SourceRegistered,
        SegmentIngested,
        RecordQuarantined,
        CorpusIngested,
    ),
)
