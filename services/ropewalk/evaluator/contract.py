"""What evaluator hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import checkpoint, data, evaluation, judge, label, score, task_set, training
from ropewalk.events.consumers import ConsumerSpec, timer
from ropewalk.events.contract import Contract, Reaction, Stage
from ropewalk.events.streams import stream_of

REGISTER = Reaction("register", task_set.RegisterTaskSet)
FREEZE = Reaction("freeze", task_set.FreezeTaskSet)
AGAIN = Reaction("again", evaluation.JudgeAgain)
INVITE = Reaction("invite", label.InviteRater)
REVOKE = Reaction("revoke", label.RevokeRater)
EVALUATE = Stage("evaluate", checkpoint.CheckpointExported)
VALIDATE = ConsumerSpec(
    service="evaluator",
    purpose="validate",
    stream=stream_of(checkpoint.CheckpointCommitted.subject_prefix()),
    subjects=tuple(
        f"{kind.subject_prefix()}.*"
        for kind in (checkpoint.CheckpointCommitted, data.DatasetPublished, training.TrainingCompleted)
    ),
    ack_wait_s=60.0,
    max_ack_pending=256,
    deliver="new",  # of runs that ended before there was one nobody wants to know it
)
DEFERRAL = timer("evaluator", "deferral")
JUDGES = ConsumerSpec(
    service="evaluator",
    purpose="judges",
    stream=stream_of(judge.RegisterJudge.subject_prefix()),
    subjects=tuple(f"{kind.subject_prefix()}.*" for kind in (judge.RegisterJudge, judge.AuditJudge)),
    ack_wait_s=60.0,
    max_ack_pending=16,
)

CONTRACT = Contract(
    service="evaluator",
    listens=(REGISTER, FREEZE, AGAIN, INVITE, REVOKE, EVALUATE),
    tables=(VALIDATE, DEFERRAL, JUDGES),
    reads=("SCORES",),
    emits=(
        evaluation.JudgeAgain,
        evaluation.EvaluationReopened,
        checkpoint.CheckpointExported,
        evaluation.EvaluationStarted,
        evaluation.EvaluationProgressed,
        score.ScoreBatch,
        evaluation.EvaluationCompleted,
        evaluation.GateDecided,
        checkpoint.CheckpointValidated,
        task_set.TaskSetRegistered,
        task_set.TaskSetFrozen,
        judge.JudgeProgressed,
        judge.JudgeRegistered,
        judge.JudgeRefused,
        judge.JudgeAudited,
        judge.JudgeSuspended,
        label.LabelsWanted,
        label.RaterInvited,
        label.RaterRevoked,
        label.LabelGiven,
        label.LabelWithdrawn,
    ),
)
