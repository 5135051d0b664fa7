"""What the loss on held-out windows says: which checkpoint is the best, and whether to go on. Pure."""

from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Self

from pydantic import JsonValue

from ropewalk.trainer.domain.checkpoint_place import CheckpointPlace


@dataclass(frozen=True, kw_only=True)
class Looks:
    """All looks up to now. Losses in nats per token; steps count those that were done. -1: nobody has looked."""

    step: int = -1
    loss: float = inf
    best_step: int = -1
    best_epoch: int = 0  # of the lease under which the best checkpoint was written
    best_loss: float = inf
    waited: int = 0  # looks in a row that were no better
    before_step: int = -1  # of the checkpoint of another run that this one extends, if it was the best there
    before_loss: float = inf

    def after(self, step: int, epoch: int, loss: float) -> Self:
        """With one look more. A loss that is not a number is no better."""
        waited = 0 if loss < self.best_of_all[1] else self.waited + 1
        looked = replace(self, step=step, loss=loss, waited=waited)
        return replace(looked, best_step=step, best_epoch=epoch, best_loss=loss) if loss < self.best_loss else looked

    def extended(self, step: int) -> Self:
        """For a run that goes on from the checkpoint of `step`: it has to beat that, if it was the best there is.

        Its own best is counted anew, since only its own checkpoints can be its result.
        """
        if not self.is_best(step) or self.best_of_all[0] != step:
            return type(self)()
        return type(self)(before_step=step, before_loss=self.best_loss)

    @property
    def best_of_all(self) -> tuple[int, float]:
        """Step and loss of the best, that of the run that this one extends among them."""
        if self.before_loss <= self.best_loss:
            return self.before_step, self.before_loss
        return self.best_step, self.best_loss

    def is_best(self, step: int) -> bool:
        """Whether nothing was better than after that many steps."""
        return step == self.best_step

    def enough(self, patience: int) -> bool:
        """Whether going on is not worth it. With a patience of 0 it always is."""
        return 0 < patience <= self.waited

    def best_place(self, run_id: str) -> CheckpointPlace | None:
        """Where the best checkpoint lies; None before the first look."""
        if self.best_step < 0:
            return None
        return CheckpointPlace(run_id=run_id, epoch=self.best_epoch, step=self.best_step)

    def as_json(self) -> dict[str, JsonValue]:
        """The state for a checkpoint. Python prints floats so that they read back to the same bits.

        Infinity, of which JSON knows nothing, is what stands for a loss that is left out.
        """
        return {name: value for name, value in asdict(self).items() if value != inf}

    @classmethod
    def of_json(cls, state: dict[str, JsonValue]) -> Self:
        """The same from a checkpoint; one of before there were looks has none."""
        return cls(**state)  # type: ignore[arg-type]  # written by us
