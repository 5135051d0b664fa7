"""What evaluator hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import checkpoint, evaluation
from ropewalk.events.contract import Contract, Stage

EVALUATE = Stage("evaluate", checkpoint.CheckpointExported)

CONTRACT = Contract(
    service="evaluator",
    listens=(EVALUATE,),
    emits=(
        evaluation.EvaluationStarted,
        evaluation.EvaluationProgressed,
        evaluation.EvaluationCompleted,
        evaluation.GateDecided,
    ),
)
