"""Which version an alias goes back to, as the log tells of it, and the way there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ropewalk.client.errors import ClientError
from ropewalk.events.checkpoint import ModelPromoted, RollBackModel
from ropewalk.events.foreign import quoted
from ropewalk.events.serving import TrafficShifted
from ropewalk.projections.fold import Json
from ropewalk.projections.registry import PRODUCTION
from ropewalk.storage.manifest import ManifestError
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore

if TYPE_CHECKING:
    from ropewalk.client.client import Client

_WITHIN_S = 60.0  # the load of a model, and 10 s for the requests of the one that goes


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """An alias and the versions from and to which it moves; `run_id` made the latter."""

    model: str
    alias: str
    from_version: int
    to_version: int
    run_id: str

    @property
    def target(self) -> str:
        """The name of the version that answers afterwards."""
        return f"{self.model}@{self.to_version}"


def plan_rollback(registry: Mapping[str, Json], name: str, to: int = 0) -> Rollback:
    """What `name` (`code`, or `code:canary` for another alias) goes back to: `to`, or the version before.

    Raises ClientError if there is none, or if somebody retired it.
    """
    model, _, alias = name.partition(":")
    alias = alias or PRODUCTION
    entry = registry.get(model, {"versions": {}, "aliases": {}})
    carried = [int(shift["version"]) for shift in entry["aliases"].get(alias, [])]
    if not carried:
        raise ClientError(f"no version of {quoted(model)} was ever {quoted(alias)}: `ropewalk models list` has all")
    now = carried[-1]
    earlier = sorted({number for number in carried if number < now})
    chosen = to or (earlier[-1] if earlier else 0)
    others = sorted(number for number in set(carried) - {now} if entry["versions"][str(number)]["may_return"])
    able = f"; able to return: {', '.join(f'--to {number}' for number in others if number != chosen)}"
    able = able if set(others) - {chosen} else ""
    if not chosen:
        raise ClientError(f"{model}@{now} is the first version that was {alias}, so there is none to go back to{able}")
    if chosen == now:
        raise ClientError(f"{model}@{now} is {alias} already{able}")
    if chosen not in carried:
        raise ClientError(f"{model}@{chosen} was never {alias}, so it cannot go back to it{able}")
    if chosen not in others:
        raise ClientError(f"{model}@{chosen} is retired, so {alias} cannot go back to it{able}")
    run_id = str(entry["versions"][str(chosen)]["run_id"])
    return Rollback(model=model, alias=alias, from_version=now, to_version=chosen, run_id=run_id)


async def roll_back(client: "Client", plan: Rollback, objects: ObjectStore) -> None:
    """Ask for the move and wait until the version answers under the alias. Raises ClientError."""
    promoted = await client.bus.last(ModelPromoted, plan.run_id)
    if promoted is None:
        raise ClientError(f"{plan.target} was never promoted, so it cannot go back to {plan.alias}")
    if fault := _fault_of(objects, promoted):
        raise ClientError(f"the export of {plan.target} is damaged ({fault}), so {plan.alias} stays where it is")
    request = RollBackModel(
        run_id=plan.run_id,
        model=plan.model,
        model_version=plan.to_version,
        from_version=plan.from_version,
        alias=plan.alias,
    )
    await client.ask_for(
        request,
        TrafficShifted,
        lambda shift: (shift.alias, shift.model_version) == (plan.alias, plan.to_version),
        within_s=_WITHIN_S,
        asked=f"the checkpoint-manager was asked to give {plan.alias} back to {plan.target}",
    )


def _fault_of(objects: ObjectStore, promoted: ModelPromoted) -> str:
    try:
        manifest = objects.inspect(promoted.export_uri)
    except ManifestError as error:
        return f"{error.file} {error.reason}"
    except ObjectNotFoundError:
        return "it is not in the object store"
    return "" if manifest.sha256 == promoted.manifest_sha256 else "its manifest is not the one that was promoted"
