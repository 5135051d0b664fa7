"""What serving hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events.checkpoint import ModelPromoted
from ropewalk.events.contract import Contract, Reaction, Stage
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.run import RunCancelled, RunCompleted, RunFailed
from ropewalk.events.serving import (
    BackendRepaired,
    ModelDeployed,
    ModelDeploying,
    ModelRetired,
    RequestLogBatch,
    RetireModel,
    ServingFailed,
    TrafficShifted,
)

DEPLOY = Stage("deploy", GateDecided)
PROMOTE = Reaction("promote", ModelPromoted)
RETIRE = Reaction("retire", RetireModel)
ABANDON = Reaction("abandon", RunFailed)
ABANDON_CANCELLED = Reaction("abandon_cancelled", RunCancelled)

CONTRACT = Contract(
    service="serving",
    listens=(DEPLOY, PROMOTE, RETIRE, ABANDON, ABANDON_CANCELLED),
    emits=(
        ModelDeploying,
        ModelDeployed,
        ServingFailed,
        TrafficShifted,
        ModelRetired,
        BackendRepaired,
        RequestLogBatch,
        RunCompleted,
    ),
)
