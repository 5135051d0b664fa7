"""What trainer hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events.checkpoint import CheckpointQuarantined, CheckpointSaved, CheckpointSaveFailed
from ropewalk.events.contract import Contract, Stage
from ropewalk.events.data import DatasetPublished
from ropewalk.events.training import (
    SearchCompleted,
    StepMetricsBatch,
    StepsCommitted,
    StepSkipped,
    TrainingCompleted,
    TrainingInterrupted,
    TrainingProgressed,
    TrainingResumed,
    TrainingStarted,
    TrialCompleted,
)

SEARCH = Stage("search", DatasetPublished)
TRAIN = Stage("train", SearchCompleted)

CONTRACT = Contract(
    service="trainer",
    listens=(SEARCH, TRAIN),
    emits=(
        TrialCompleted,
        SearchCompleted,
        TrainingStarted,
        TrainingProgressed,
        StepsCommitted,
        StepSkipped,
        TrainingInterrupted,
        TrainingResumed,
        TrainingCompleted,
        StepMetricsBatch,
        CheckpointSaved,
        CheckpointSaveFailed,
        CheckpointQuarantined,
    ),
)
