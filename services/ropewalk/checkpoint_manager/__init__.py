"""Guards the way from a written checkpoint to a promoted model: verify, keep by policy, export, certify, promote.

It trusts nothing it did not hash itself, and it promotes nothing whose export, Triton model and OpenAI endpoint do
not give the same greedy tokens as the trainer's weights.

Listens: CheckpointSaved, PinCheckpoint, PruneCheckpoints, RollBackModel, ApproveModel, GateDecided, TrainingCompleted
(stage `export`), ModelDeployed (stage `promote`).
Emits: CheckpointCommitted, CheckpointQuarantined, CheckpointPruned, CheckpointPinned, CheckpointExported,
ExportQuarantined, ParityCertified, ModelPromoted, ModelRolledBack, ApprovalAwaited, ApprovalDecided, RunCompleted.
"""
