"""The models of the endpoint, as the log tells of them: versions, names, and which was promoted last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ropewalk.client.errors import ClientError
from ropewalk.events.foreign import quoted
from ropewalk.events.serving import ModelRetired, RetireModel
from ropewalk.projections.fold import Json
from ropewalk.projections.registry import PRODUCTION
from ropewalk.recipes.formats import CONVERSATIONS

if TYPE_CHECKING:
    from ropewalk.client.client import Client

_RETIRE_S = 60.0  # serving lets requests end for 10 s before it unloads


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version and what became of it. Times are those of the log, empty for what did not happen.

    `names` are those that answer now besides `<model>@<version>`; `promoted` is the sequence of its last promotion.
    `shares` has the names that it shares with other versions: its weight there, and the sum of weights.
    `may_return`: it answers, or was only superseded.
    """

    model: str
    version: int
    run_id: str
    checkpoint_id: str
    export_uri: str
    answers: bool
    names: tuple[str, ...]
    deployed_at: str = ""
    retired_at: str = ""
    promoted_at: str = ""
    promoted: int = 0
    may_return: bool = False
    shares: dict[str, tuple[int, int]] = field(default_factory=dict, hash=False)

    @property
    def full_name(self) -> str:
        """The name that means this version and no other."""
        return f"{self.model}@{self.version}"

    @property
    def names_with_shares(self) -> tuple[str, ...]:
        """`names`, each with the share of its requests if others have a share too."""
        return tuple(
            f"{name} ({' of '.join(map(str, self.shares[name]))})" if name in self.shares else name
            for name in self.names
        )

    @property
    def weight(self) -> int:
        """Its largest weight under a name that it shares; 1 if it shares none."""
        return max((weight for weight, _ in self.shares.values()), default=1)


def versions_of(registry: Mapping[str, Json]) -> list[ModelVersion]:
    """Every version that was ever deployed, oldest first within its model."""
    return [
        _version(model, int(number), entry)
        for model, entry in sorted(registry.items())
        for number in sorted(entry["versions"], key=int)
        if entry["versions"][number]["up"]
    ]


def newest_promoted(versions: list[ModelVersion]) -> ModelVersion | None:
    """Of the versions that answer under an alias now, the one that was promoted last, or got the most."""
    named = (each for each in versions if each.names)
    return max(named, key=lambda each: (each.promoted, each.weight), default=None)


def chosen(versions: list[ModelVersion], name: str) -> list[ModelVersion]:
    """The versions that a user's word means: `code@3`, an alias `code:canary`, or all of `code`. Raises ClientError."""
    found = [each for each in versions if name in (each.full_name, each.model, *_aliases(each))]
    if not found:
        raise ClientError(f"there is no model {quoted(name)}; models: {_known(versions)}")
    return found


def answering(versions: list[ModelVersion], name: str) -> ModelVersion:
    """The version that the endpoint takes for a name, the heaviest of several. Raises ClientError."""
    named = (each for each in versions if each.answers and name in (each.full_name, *_aliases(each)))
    found = max(named, key=lambda each: each.weight, default=None)
    if found is None:
        raise ClientError(f"no model answers as {quoted(name)}; models: {_known(versions)}")
    return found


def _aliases(version: ModelVersion) -> tuple[str, ...]:
    """Its names besides the full one, with the long form of the one in production."""
    long = (f"{version.model}:{PRODUCTION}",) if version.model in version.names else ()
    return (*version.names, *long)


def _known(versions: list[ModelVersion]) -> str:
    """Those that answer, and that there are others."""
    there = [each.full_name for each in versions if each.answers]
    retired = len(versions) - len(there)
    more = f" ({retired} retired: `ropewalk models list --all`)" if retired else ""
    return (", ".join(there[-10:]) or "none answers") + more


async def learned_to_talk(client: "Client", version: ModelVersion) -> bool:
    """Whether a version was trained on conversations, or began with a model of which we do not know it."""
    accepted = await client.accepted(version.run_id)
    if accepted is None or accepted.recipe.get("base_model"):
        return True
    sources = accepted.recipe.get("sources")
    return isinstance(sources, list) and any(
        isinstance(each, dict) and each.get("format") in CONVERSATIONS for each in sources
    )


async def retire(client: "Client", version: ModelVersion) -> None:
    """Ask serving to take a version off the endpoint and wait until it has. Raises ClientError if it does not."""
    await client.ask_for(
        RetireModel(run_id=version.run_id, model=version.model, model_version=version.version),
        ModelRetired,
        lambda gone: gone.model_version == version.version,
        within_s=_RETIRE_S,
        asked=f"serving was asked to retire {version.full_name}",
    )


def _version(model: str, number: int, entry: Json) -> ModelVersion:
    facts = entry["versions"][str(number)]
    spans = facts["up"]
    answers = _answers(entry, number)
    shifts = {
        alias: [span for span in changes if number in _weights(span)] for alias, changes in entry["aliases"].items()
    }
    carried = {
        model if alias == PRODUCTION else f"{model}:{alias}": {
            # Serving shares a name out among those that still answer.
            other: weight
            for other, weight in _weights(mine[-1]).items()
            if _answers(entry, other)
        }
        for alias, mine in sorted(shifts.items())
        if answers and mine and mine[-1]["until"] is None
    }
    last = max(
        (span for mine in shifts.values() for span in mine), key=lambda span: span["from_sequence"], default=None
    )
    return ModelVersion(
        model=model,
        version=number,
        run_id=facts["run_id"],
        checkpoint_id=facts["checkpoint_id"],
        export_uri=facts["export_uri"],
        answers=answers,
        may_return=facts["may_return"],
        names=tuple(carried),
        shares={name: (to[number], sum(to.values())) for name, to in carried.items() if len(to) > 1},
        deployed_at=spans[0]["from"],
        retired_at="" if answers else spans[-1]["until"],
        promoted_at=last["from"] if last else "",
        promoted=last["from_sequence"] if last else 0,
    )


def _answers(entry: Json, number: int) -> bool:
    spans = entry["versions"].get(str(number), {}).get("up")
    return bool(spans) and spans[-1]["until"] is None


def _weights(span: Json) -> dict[int, int]:
    return {target["version"]: target["weight"] for target in span["targets"]}
