"""What evaluator hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import checkpoint, evaluation, task_set
from ropewalk.events.contract import Contract, Reaction, Stage

REGISTER = Reaction("register", task_set.RegisterTaskSet)
FREEZE = Reaction("freeze", task_set.FreezeTaskSet)
EVALUATE = Stage("evaluate", checkpoint.CheckpointExported)

CONTRACT = Contract(
    service="evaluator",
    listens=(REGISTER, FREEZE, EVALUATE),
    emits=(
        evaluation.EvaluationStarted,
        evaluation.EvaluationProgressed,
        evaluation.EvaluationCompleted,
        evaluation.GateDecided,
        task_set.TaskSetRegistered,
        task_set.TaskSetFrozen,
    ),
)
