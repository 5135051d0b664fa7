"""Which model version answers under which name: a fold over this service's own facts.

Replaying the facts gives the same routes in whatever order they were doubled, so a restart needs only the log.
"""

import hashlib
import math
import re
from dataclasses import dataclass, field, replace

from ropewalk.events.base import Message
from ropewalk.events.serving import ModelDeployed, ModelDeploying, ModelRetired, TrafficShifted

PRODUCTION = "production"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)  # one name per version, and none that takes time to read


@dataclass(frozen=True, kw_only=True)
class Version:
    """A model version that answers. `created` says when it was deployed (Unix).

    `backend` is the kind of its backend, `address` where that is and `target` the version's name in it.
    """

    model: str
    number: int
    backend: str
    address: str
    target: str
    run_id: str
    checkpoint_id: str
    export_uri: str
    created: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """The name under which this very version answers."""
        return f"{self.model}@{self.number}"


@dataclass(frozen=True)
class Routes:
    """Everything that can be asked for. Versions by (model, number); weights by (model, alias) and then by number."""

    versions: dict[tuple[str, int], Version] = field(default_factory=dict)
    aliases: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)

    def after(self, message: Message, at: int = 0) -> "Routes":
        """The routes after one more fact, which is of the Unix time `at`; facts of other kinds change nothing."""
        match message:
            case ModelDeployed():
                version = version_of(message, at)
                return replace(self, versions=self.versions | {(version.model, version.number): version})
            case TrafficShifted() if self.knows(message):
                weights = {target.model_version: target.weight for target in message.targets}
                return replace(self, aliases=self.aliases | {(message.model, message.alias): weights})
            case ModelRetired():
                gone = (message.model, message.model_version)
                return replace(self, versions={key: one for key, one in self.versions.items() if key != gone})
            case _:
                return self

    def joined(self, was: "Routes", now: "Routes") -> "Routes":
        """With the versions that came between two states of the log."""
        new = {key: one for key, one in now.versions.items() if key not in was.versions}
        return replace(self, versions=self.versions | new)

    def moved(self, was: "Routes", now: "Routes") -> "Routes":
        """With the aliases where they went between two states of the log; those that did not move stay as they are."""
        moved = {name: to for name, to in now.aliases.items() if was.aliases.get(name) != to}
        return replace(self, aliases=self.aliases | moved)

    def newly_behind(self, was: "Routes") -> list[Version]:
        """The versions behind an alias that they were not behind before."""
        return [one for to in self.aliases for one in self.behind(*to) if one not in was.behind(*to)]

    def knows(self, shift: TrafficShifted) -> bool:
        """Whether any version answers that a shift points to. If none does, the alias stays where it is."""
        return any((shift.model, target.model_version) in self.versions for target in shift.targets)

    def resolve(self, name: str, key: str) -> Version | None:
        """The version that answers `<model>` (production), `<model>@<version>` or `<model>:<alias>`; None if none does.

        `key` says who asks: of several versions behind an alias, the same key always gets the same one. When weights
        change, keys only move to a version that gained.
        """
        model, at, number = name.partition("@")
        if at:
            return self.versions.get((model, int(number))) if _NUMBER.fullmatch(number) else None
        model, _, alias = name.partition(":")
        alias = alias or PRODUCTION
        weights = self.aliases.get((model, alias), {})
        lots = {
            _lot(weights[one.number], f"{model}:{alias}@{one.number}/{key}"): one for one in self.behind(model, alias)
        }
        return lots[max(lots)] if lots else None

    def unpromoted(self, model: str) -> list[Version]:
        """The versions that answer under their own name only: they are certified, or wait for an approval."""
        return [one for one in self.versions.values() if one.model == model and not self.is_aliased(one)]

    def behind(self, model: str, alias: str) -> list[Version]:
        """The versions that an alias points to and that are not retired, the heaviest first."""
        weights = self.aliases.get((model, alias), {})
        found = (self.versions.get((model, number)) for number in sorted(weights, key=lambda one: -weights[one]))
        return [version for version in found if version]

    def names(self) -> dict[str, list[Version]]:
        """Every name that answers now, with the versions behind it."""
        names = {version.name: [version] for version in self.versions.values()}
        for model, alias in self.aliases:
            if versions := self.behind(model, alias):
                names[model if alias == PRODUCTION else f"{model}:{alias}"] = versions
        return dict(sorted(names.items()))

    def previous(self, model: str, alias: str) -> int:
        """The heaviest version that an alias points to; 0 if the alias is new."""
        weights = self.aliases.get((model, alias), {})
        return max(weights, key=lambda number: weights[number], default=0)

    def is_aliased(self, version: Version) -> bool:
        """Whether any alias points to the version."""
        return any(model == version.model and version.number in to for (model, _), to in self.aliases.items())


def version_of(event: ModelDeployed, at: int = 0) -> Version:
    """The version that a deployment made at a Unix time."""
    return Version(
        model=event.model,
        number=event.model_version,
        backend=event.backend,
        address=event.backend_address,
        target=event.backend_model,
        run_id=event.run_id,
        checkpoint_id=event.checkpoint_id,
        export_uri=event.export_uri,
        created=at,
    )


@dataclass
class Told:
    """What this service has said so far: the routes that follow, the numbers it gave, what it moved and took away."""

    routes: Routes = field(default_factory=Routes)
    numbers: dict[str, dict[str, int]] = field(default_factory=dict)  # by model and checkpoint
    shifts: set[tuple[str, str]] = field(default_factory=set)  # run and alias
    retired: set[tuple[str, int]] = field(default_factory=set)
    returnable: dict[tuple[str, int], ModelDeployed] = field(default_factory=dict)  # unless somebody retired it

    def add(self, message: Message, at: int = 0) -> None:
        """Take one fact of the Unix time `at` into account, in the order of the log."""
        self.routes = self.routes.after(message, at)
        match message:
            case ModelDeploying() | ModelDeployed():
                given = self.numbers.setdefault(message.model, {})
                if message.model_version not in given.values():  # of two instances, the first has it
                    given[message.checkpoint_id] = message.model_version
                if isinstance(message, ModelDeployed):
                    self.returnable[message.model, message.model_version] = message
            case TrafficShifted():
                self.shifts.add((message.run_id, message.alias))
            case ModelRetired():
                self.retired.add((message.model, message.model_version))
                if not message.superseded:
                    self.returnable.pop((message.model, message.model_version), None)

    def version_number(self, model: str, checkpoint_id: str) -> int | None:
        """The number that a checkpoint was given."""
        return self.numbers.get(model, {}).get(checkpoint_id)

    def next_number(self, model: str) -> int:
        """The number that its next version gets, counted from 1."""
        return max(self.numbers.get(model, {}).values(), default=0) + 1


def _lot(weight: int, text: str) -> float:
    """Weighted rendezvous hashing: the largest of w / -ln(u), u uniform in (0, 1), falls to each in proportion to w."""
    drawn = int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).digest())
    return weight / -math.log((drawn + 0.5) / 2**48)  # 48 bits and a half fit into a float: u is never 0 or 1


def target_name(model: str, number: int) -> str:
    """The name of a model version in the inference backend."""
    return f"{model}-v{number}"
