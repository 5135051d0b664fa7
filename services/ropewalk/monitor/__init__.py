"""Watches everything: keeps requests, training steps and events in ClickHouse tables (in this process, or a server),
serves them over ClickHouse's HTTP interface, raises an alarm when the traffic of a model version leaves its baseline,
and prices every stage.

Listens: `log.infer` (request logs), `tel.training.steps`, every `evt` fact, StageCompleted.
Emits: BaselineSealed, SignalComputed, AlarmRaised, CostRecorded.

HTTP (loopback, port 8123, not with a ClickHouse server): ClickHouse's interface at `/` and `/ping`, read-only for the
user `ropewalk`. The queries that ship are in `ropewalk.client.queries`.
"""
