"""Where the aliases of a model point, as the log says it."""

from dataclasses import dataclass, field

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ModelPromoted, ModelRolledBack
from ropewalk.events.serving import ModelRetired, TrafficShifted

FACTS = tuple(f"{kind.subject_prefix()}.*" for kind in (ModelPromoted, ModelRolledBack, TrafficShifted, ModelRetired))
_PRODUCTION = "production"

Version = ModelPromoted | ModelRolledBack


@dataclass
class Promotions:
    """The versions by (model, number), and by (model, alias) the two that it points to now and pointed to before:
    the one that it points to may be the candidate itself."""

    versions: dict[tuple[str, int], Version] = field(default_factory=dict)
    carried: dict[tuple[str, str], list[Version]] = field(default_factory=dict)
    retired: set[tuple[str, int]] = field(default_factory=set)

    def add(self, message: Message) -> None:
        """Take one fact into account, in the order of the log."""
        match message:
            case ModelPromoted():
                self.versions[message.model, message.model_version] = message
                self._move(message.alias, message)
            case ModelRolledBack():  # serving may refuse it: the alias moves when the traffic does
                self.versions[message.model, message.model_version] = message
            case TrafficShifted():
                if version := self.versions.get((message.model, message.model_version)):
                    self._move(message.alias, version)
            case ModelRetired():
                self.retired.add((message.model, message.model_version))

    def opponent(self, model: str, alias: str, checkpoint_id: str) -> Version | None:
        """What the alias points to, other than the candidate; of an alias that nothing carries yet, what production
        points to. None if somebody has retired it."""
        for name in (alias, _PRODUCTION):
            others = [one for one in self.carried.get((model, name), []) if one.checkpoint_id != checkpoint_id]
            if others and (model, others[-1].model_version) not in self.retired:
                return others[-1]
        return None

    def _move(self, alias: str, version: Version) -> None:
        self.retired.discard((version.model, version.model_version))
        earlier = self.carried.get((version.model, alias), [])
        others = [one for one in earlier if one.checkpoint_id != version.checkpoint_id]
        self.carried[version.model, alias] = [*others[-1:], version]
