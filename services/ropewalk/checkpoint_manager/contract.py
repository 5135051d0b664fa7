"""What checkpoint-manager hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import checkpoint, evaluation, run, serving, training
from ropewalk.events.contract import Contract, Reaction, Stage

VERIFY = Reaction("verify", checkpoint.CheckpointSaved)
PIN = Reaction("pin", checkpoint.PinCheckpoint)
PRUNE = Reaction("prune", checkpoint.PruneCheckpoints)
ROLL_BACK = Reaction("roll_back", checkpoint.RollBackModel)
APPROVE = Reaction("approve", checkpoint.ApproveModel)
CONCLUDE = Reaction("conclude", evaluation.GateDecided)
EXPORT = Stage("export", training.TrainingCompleted)
PROMOTE = Stage("promote", serving.ModelDeployed)

CONTRACT = Contract(
    service="checkpoint-manager",
    listens=(VERIFY, PIN, PRUNE, ROLL_BACK, APPROVE, CONCLUDE, EXPORT, PROMOTE),
    emits=(
        checkpoint.CheckpointCommitted,
        checkpoint.CheckpointQuarantined,
        checkpoint.CheckpointPruned,
        checkpoint.CheckpointPinned,
        checkpoint.CheckpointExported,
        checkpoint.ExportQuarantined,
        checkpoint.ParityCertified,
        checkpoint.ModelPromoted,
        checkpoint.ModelRolledBack,
        checkpoint.ApprovalAwaited,
        checkpoint.ApprovalDecided,
        run.RunCompleted,
    ),
)
