"""Who keeps the processes of the stack that a command means: a supervisor here, docker, or somebody out of reach."""

from pathlib import Path

from ropewalk.cli.options import layout
from ropewalk.cli.settings import compose_project, named_bus
from ropewalk.events.foreign import one_line
from ropewalk.local.containers import Containers
from ropewalk.local.errors import LocalError
from ropewalk.local.keeping import Keeper, Supervised
from ropewalk.local.lock import holder


class OutOfReachError(LocalError):
    """The processes of a stack run where this program cannot touch them."""


def refuse_elsewhere() -> None:
    """Raises OutOfReachError if the environment names a stack, beside which another would be started here."""
    if named_bus() is not None:
        raise OutOfReachError(
            "ROPEWALK_NATS_URL names a stack, and this command starts another one on this machine: use a new shell "
            "without `keys/client.env`, or submit a recipe to the stack that is named"
        )


def keeper_of(state_dir: Path | None, kubectl: str) -> Keeper:
    """The keeper. Raises OutOfReachError, which says what `kubectl` does instead."""
    if state_dir is None and (project := compose_project()):
        return Containers(project)
    if state_dir is None and named_bus() is not None and not holder(layout(state_dir)):
        raise OutOfReachError(
            "this stack runs neither here nor as a compose project that ROPEWALK_COMPOSE_PROJECT names; "
            f"on Kubernetes: `kubectl --namespace ropewalk {one_line(kubectl)}`"
        )
    return Supervised(layout(state_dir))
