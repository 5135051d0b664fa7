"""Which version of a model is in production, as the log says it."""

from dataclasses import dataclass, field

from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ModelPromoted, ModelRolledBack
from ropewalk.events.serving import ModelRetired

FACTS = tuple(f"{kind.subject_prefix()}.*" for kind in (ModelPromoted, ModelRolledBack, ModelRetired))


@dataclass
class Promotions:
    """The two newest promotions of each model, the newest last: one of them may be that of the candidate itself."""

    newest: dict[str, list[ModelPromoted | ModelRolledBack]] = field(default_factory=dict)
    retired: set[tuple[str, int]] = field(default_factory=set)

    def add(self, message: Message) -> None:
        """Take one fact into account, in the order of the log."""
        match message:
            case ModelPromoted() | ModelRolledBack():
                self.retired.discard((message.model, message.model_version))
                earlier = self.newest.get(message.model, [])
                others = [one for one in earlier if one.checkpoint_id != message.checkpoint_id]
                self.newest[message.model] = [*others[-1:], message]
            case ModelRetired():
                self.retired.add((message.model, message.model_version))

    def production(self, model: str, checkpoint_id: str) -> ModelPromoted | ModelRolledBack | None:
        """The newest promoted version of a model, other than the candidate; none if somebody has retired it."""
        others = [one for one in self.newest.get(model, []) if one.checkpoint_id != checkpoint_id]
        return others[-1] if others and (model, others[-1].model_version) not in self.retired else None
