"""Serving: the governed endpoint. It loads exported checkpoints into Triton, answers OpenAI clients and logs requests.

A candidate answers under `<model>@<version>` beside production; the alias moves when the model was promoted. Routes
are a fold over this service's own facts, so a restart needs nothing but the log.

Listens: GateDecided (stage `deploy`), ModelPromoted, ModelRolledBack, RetireModel, RunFailed, RunCancelled.
Emits: ModelDeploying, ModelDeployed, ServingFailed, TrafficShifted, ModelRetired, BackendRepaired, RequestLogBatch,
RunCompleted, RunFailed.
"""
