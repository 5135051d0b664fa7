"""Says how good an exported model is, with its uncertainty, and whether it may go into production.

It measures bits per byte on held-out documents (bootstrap over files), the share of code completions that parse
(Wilson), the 1- to 3-gram baselines of the same training tokens, and the paired difference from the model now in
production, on documents that it has not seen; when there is none, from the base model of a fine-tuning run, else from
the best n-gram. The metrics are in `domain/metrics`; which of them the gate decides on is in `domain/roles.py`.

Beside a training it says the loss of each checkpoint on documents that the gate never sees: `adapters/validating.py`.

Judges are asked about labelled answers, and get a card: `adapters/judging`.

Raters label answers on a page of its own: `adapters/labelling`.

Listens: RegisterTaskSet, FreezeTaskSet, JudgeAgain, InviteRater, RevokeRater, CheckpointExported (stage `evaluate`),
`evt.checkpoint.committed.v1.*` (table), `evt.data.dataset_published.v1.*` (table), `evt.training.completed.v1.*`
(table), `due.deferral.*` (table), `cmd.judge.register.v1.*` (table), `cmd.judge.audit.v1.*` (table).
Emits: JudgeAgain, EvaluationReopened, CheckpointExported, EvaluationStarted, EvaluationProgressed, ScoreBatch,
EvaluationCompleted, GateDecided, CheckpointValidated, TaskSetRegistered, TaskSetFrozen, JudgeProgressed,
JudgeRegistered, JudgeRefused, JudgeAudited, JudgeSuspended, LabelsWanted, RaterInvited, RaterRevoked, LabelGiven,
LabelWithdrawn.
"""
