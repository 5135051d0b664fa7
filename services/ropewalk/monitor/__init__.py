"""Watches everything: keeps requests, training steps and events in ClickHouse tables (in this process, or a server),
serves them over ClickHouse's HTTP interface, raises an alarm when the traffic of a model version leaves its baseline,
prices every stage, and keeps the projections of the log (run states, registry, lineage, costs, ledger).

Listens: StageCompleted, AcknowledgeAlarm, Rebaseline, `log.infer.batch.v1.*` (table), `tel.training.steps.v1.*`
(table), `tel.monitoring.signals.v1.*` (table), `log.score.batch.v1.*` (table), `log.label.*.v1.*` (table), `evt.>`
(table).
Emits: BaselineSealed, SignalsComputed, AlarmRaised, AlarmCleared, AlarmAcknowledged, CostRecorded.

Answers: `ctl.projection.v1.<question>` (see `ropewalk.projections.asking`) and `ctl.status` (see `ropewalk.status`).

HTTP (loopback, port 8123, not with a ClickHouse server): ClickHouse's interface at `/` and `/ping`, read-only for the
user `ropewalk`. The queries that ship are in `ropewalk.client.queries`.
"""
