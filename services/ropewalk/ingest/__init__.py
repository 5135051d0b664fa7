"""Takes runs in and turns their sources into immutable segments of documents.

Every file and record ends in exactly one place: a segment, or the quarantine with a reason. It judges form only
(encoding, size, fields); whether a text is worth learning from is for preprocessing to say.

Listens: SubmitRun, CancelRun, PauseRun, ResumeRun, GateDecided, RunAccepted (stage `ingest`).
Emits: SubmitRun, RunAccepted, RunRejected, RunCancelled, RunPaused, RunResumed, SourceRegistered, SegmentIngested,
RecordQuarantined, CorpusIngested.
"""
