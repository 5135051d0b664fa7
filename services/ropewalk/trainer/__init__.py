"""Searches a learning rate and trains: Ray places the workers, everything that must be right is decided here.

Listens: DatasetPublished (stage `search`), SearchCompleted (stage `train`).
Emits: RungReached, TrialCompleted, SearchCompleted, TrainingQuoted, TrainingStarted, TrainingProgressed,
StepsCommitted, StepSkipped, SamplesLeftOut, StragglerFound, TrainingValidated, TrainingRolledBack, TrainingInterrupted,
TrainingResumed, TrainingCompleted, StepMetricsBatch, CheckpointSaved, CheckpointSaveFailed, CheckpointQuarantined.
"""
