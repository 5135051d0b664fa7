"""What ingest hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import data, evaluation, run
from ropewalk.events.contract import Contract, Reaction, Stage

SUBMIT = Reaction("submit", run.SubmitRun)
CANCEL = Reaction("cancel", run.CancelRun)
PAUSE = Reaction("pause", run.PauseRun)
RESUME = Reaction("resume", run.ResumeRun)
CURVE = Reaction("curve", evaluation.GateDecided)
INGEST = Stage("ingest", run.RunAccepted)

CONTRACT = Contract(
    service="ingest",
    listens=(SUBMIT, CANCEL, PAUSE, RESUME, CURVE, INGEST),
    emits=(
        run.SubmitRun,
        run.RunAccepted,
        run.RunRejected,
        run.RunCancelled,
        run.RunPaused,
        run.RunResumed,
        data.SourceRegistered,
        data.SegmentIngested,
        data.RecordQuarantined,
        data.CorpusIngested,
    ),
)
