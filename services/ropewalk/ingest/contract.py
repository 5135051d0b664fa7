"""What ingest hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import data, run
from ropewalk.events.contract import Contract, Reaction, Stage

SUBMIT = Reaction("submit", run.SubmitRun)
CANCEL = Reaction("cancel", run.CancelRun)
INGEST = Stage("ingest", run.RunAccepted)

CONTRACT = Contract(
    service="ingest",
    listens=(SUBMIT, CANCEL, INGEST),
    emits=(
        run.RunAccepted,
        run.RunRejected,
        run.RunCancelled,
        data.SourceRegistered,
        data.SegmentIngested,
        data.RecordQuarantined,
        data.CorpusIngested,
    ),
)
