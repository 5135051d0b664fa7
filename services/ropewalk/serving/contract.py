"""What serving hears, does and says: see `ropewalk.events.contract`."""

from ropewalk.events import checkpoint, evaluation, run, serving
from ropewalk.events.contract import Contract, Reaction, Stage

DEPLOY = Stage("deploy", evaluation.GateDecided)
PROMOTE = Reaction("promote", checkpoint.ModelPromoted)
ROLL_BACK = Reaction("roll_back", checkpoint.ModelRolledBack)
RETIRE = Reaction("retire", serving.RetireModel)
ABANDON = Reaction("abandon", run.RunFailed)
ABANDON_CANCELLED = Reaction("abandon_cancelled", run.RunCancelled)

FACTS = "evt.serving.*.v1.*"  # what serving has said: each instance has a backend of its own to bring up to it

CONTRACT = Contract(
    service="serving",
    listens=(DEPLOY, PROMOTE, ROLL_BACK, RETIRE, ABANDON, ABANDON_CANCELLED),
    emits=(
        serving.ModelDeploying,
        serving.ModelDeployed,
        serving.ServingFailed,
        serving.TrafficShifted,
        serving.ModelRetired,
        serving.BackendRepaired,
        serving.RequestLogBatch,
        run.RunCompleted,
        run.RunFailed,
    ),
    follows=(FACTS,),
)
