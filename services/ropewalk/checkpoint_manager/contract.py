"""What checkpoint-manager hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events.checkpoint import (
    CheckpointCommitted,
    CheckpointExported,
    CheckpointPruned,
    CheckpointQuarantined,
    CheckpointSaved,
    ModelPromoted,
    ParityCertified,
)
from ropewalk.events.contract import Contract, Reaction, Stage
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.run import RunCompleted
from ropewalk.events.serving import ModelDeployed
from ropewalk.events.training import TrainingCompleted

VERIFY = Reaction("verify", CheckpointSaved)
CONCLUDE = Reaction("conclude", GateDecided)
EXPORT = Stage("export", TrainingCompleted)
PROMOTE = Stage("promote", ModelDeployed)

CONTRACT = Contract(
    service="checkpoint-manager",
    listens=(VERIFY, CONCLUDE, EXPORT, PROMOTE),
    emits=(
        CheckpointCommitted,
        CheckpointQuarantined,
        CheckpointPruned,
        CheckpointExported,
        ParityCertified,
        ModelPromoted,
        RunCompleted,
    ),
)
