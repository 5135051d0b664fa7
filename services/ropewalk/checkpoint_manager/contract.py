"""What checkpoint-manager hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import checkpoint, evaluation, run, serving, training
from ropewalk.events.contract import Contract, Reaction, Stage

VERIFY = Reaction("verify", checkpoint.CheckpointSaved)
CONCLUDE = Reaction("conclude", evaluation.GateDecided)
EXPORT = Stage("export", training.TrainingCompleted)
PROMOTE = Stage("promote", serving.ModelDeployed)

CONTRACT = Contract(
    service="checkpoint-manager",
    listens=(VERIFY, CONCLUDE, EXPORT, PROMOTE),
    emits=(
        checkpoint.CheckpointCommitted,
        checkpoint.CheckpointQuarantined,
        checkpoint.CheckpointPruned,
        checkpoint.CheckpointExported,
        checkpoint.ParityCertified,
        checkpoint.ModelPromoted,
        run.RunCompleted,
    ),
)
