"""What evaluator hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events.checkpoint import CheckpointExported
from ropewalk.events.contract import Contract, Stage
from ropewalk.events.evaluation import EvaluationCompleted, EvaluationStarted, GateDecided

EVALUATE = Stage("evaluate", CheckpointExported)

CONTRACT = Contract(
    service="evaluator",
    listens=(EVALUATE,),
    emits=(EvaluationStarted, EvaluationCompleted, GateDecided),
)
