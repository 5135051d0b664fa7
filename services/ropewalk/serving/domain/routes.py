"""Which model version answers under which name: a fold over this service's own facts.

Replaying the facts gives the same routes in whatever order they were doubled, so a restart needs only the log.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ropewalk.events.base import Message
from ropewalk.events.serving import ModelDeployed, ModelDeploying, ModelRetired, TrafficShifted

PRODUCTION = "production"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)  # one name per version, and none that takes time to read


@dataclass(frozen=True, kw_only=True)
class Version:
    """A model version that answers. `target` is its name in the backend, `created` when it was deployed (Unix)."""

    model: str
    number: int
    target: str
    run_id: str
    checkpoint_id: str
    export_uri: str
    created: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Routes:
    """Everything that can be asked for. Versions by (model, number), aliases by (model, alias)."""

    versions: dict[tuple[str, int], Version] = field(default_factory=dict)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)

    def after(self, message: Message, at: int = 0) -> "Routes":
        """The routes after one more fact, which is of the Unix time `at`; facts of other kinds change nothing."""
        match message:
            case ModelDeployed():
                return self._with(version_of(message, at))
            case TrafficShifted():
                return replace(self, aliases=self.aliases | {(message.model, message.alias): message.model_version})
            case ModelRetired():
                gone = (message.model, message.model_version)
                return replace(self, versions={key: one for key, one in self.versions.items() if key != gone})
            case _:
                return self

    def resolve(self, name: str) -> Version | None:
        """`<model>` (production), `<model>@<version>` or `<model>:<alias>`; None if nothing answers there."""
        model, at, number = name.partition("@")
        if at:
            return self.versions.get((model, int(number))) if _NUMBER.fullmatch(number) else None
        model, _, alias = name.partition(":")
        current = self.aliases.get((model, alias or PRODUCTION), 0)
        return self.versions.get((model, current))

    def names(self) -> dict[str, Version]:
        """Every name that answers now."""
        names = {f"{version.model}@{version.number}": version for version in self.versions.values()}
        for (model, alias), number in self.aliases.items():
            if version := self.versions.get((model, number)):
                names[model if alias == PRODUCTION else f"{model}:{alias}"] = version
        return dict(sorted(names.items()))

    def previous(self, model: str, alias: str) -> int:
        """The version an alias points to; 0 if it is new."""
        return self.aliases.get((model, alias), 0)

    def is_aliased(self, version: Version) -> bool:
        """Whether any alias points to the version."""
        return any(model == version.model and number == version.number for (model, _), number in self.aliases.items())

    def _with(self, version: Version) -> "Routes":
        return replace(self, versions=self.versions | {(version.model, version.number): version})


def version_of(event: ModelDeployed, at: int = 0) -> Version:
    """The version that a deployment made at a Unix time."""
    return Version(
        model=event.model,
        number=event.model_version,
        target=event.triton_model,
        run_id=event.run_id,
        checkpoint_id=event.checkpoint_id,
        export_uri=event.export_uri,
        created=at,
    )


def fold(messages: Iterable[Message]) -> Routes:
    """The routes after all of these facts."""
    routes = Routes()
    for message in messages:
        routes = routes.after(message)
    return routes


def version_number(messages: Iterable[Message], model: str, checkpoint_id: str) -> int:
    """The number for a checkpoint: the one it was given before, or the next of its model, counted from 1."""
    given = {
        message.checkpoint_id: message.model_version
        for message in messages
        if isinstance(message, ModelDeploying | ModelDeployed) and message.model == model
    }
    return given.get(checkpoint_id) or max(given.values(), default=0) + 1


def target_name(model: str, number: int) -> str:
    """The name of a model version in the inference backend."""
    return f"{model}-v{number}"
