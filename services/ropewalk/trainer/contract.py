"""What trainer hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import checkpoint, data, training
from ropewalk.events.contract import Contract, Stage

SEARCH = Stage("search", data.DatasetPublished)
TRAIN = Stage("train", training.SearchCompleted)

CONTRACT = Contract(
    service="trainer",
    listens=(SEARCH, TRAIN),
    emits=(
        training.RungReached,
        training.TrialCompleted,
        training.SearchCompleted,
        training.TrainingQuoted,
        training.TrainingStarted,
        training.TrainingProgressed,
        training.StepsCommitted,
        training.StepSkipped,
        training.SamplesLeftOut,
        training.StragglerFound,
        training.TrainingValidated,
        training.TrainingRolledBack,
        training.TrainingInterrupted,
        training.TrainingResumed,
        training.TrainingCompleted,
        training.StepMetricsBatch,
        checkpoint.CheckpointSaved,
        checkpoint.CheckpointSaveFailed,
        checkpoint.CheckpointQuarantined,
    ),
    follows=(f"{checkpoint.CheckpointValidated.subject_prefix()}.*",),
)
