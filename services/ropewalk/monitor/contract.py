"""What monitor hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import monitoring, run
from ropewalk.events.consumers import sink
from ropewalk.events.contract import Contract, Reaction

PRICE = Reaction("price", run.StageCompleted)
ACKNOWLEDGE = Reaction("acknowledge", monitoring.AcknowledgeAlarm)
REBASELINE = Reaction("rebaseline", monitoring.Rebaseline)
REQUESTS = sink("monitor", "requests", "INFER", "log.infer.batch.v1.*", 20)
STEPS = sink("monitor", "steps", "TEL", "tel.training.steps.v1.*", 200)
SIGNALS = sink("monitor", "signals", "TEL", "tel.monitoring.signals.v1.*", 200)
SCORES = sink("monitor", "scores", "SCORES", "log.score.batch.v1.*", 20)
LABELS = sink("monitor", "labels", "SCORES", "log.label.*.v1.*", 200)
EVENTS = sink("monitor", "events", "CONTROL", "evt.>", 200)

CONTRACT = Contract(
    service="monitor",
    listens=(PRICE, ACKNOWLEDGE, REBASELINE),
    emits=(
        monitoring.BaselineSealed,
        monitoring.SignalsComputed,
        monitoring.AlarmRaised,
        monitoring.AlarmCleared,
        monitoring.AlarmAcknowledged,
        monitoring.CostRecorded,
    ),
    tables=(REQUESTS, STEPS, SIGNALS, SCORES, LABELS, EVENTS),
    reads=("AUDIT",),
    answers=("ctl.projection.v1.*", "ctl.status"),
    watches=True,
)
