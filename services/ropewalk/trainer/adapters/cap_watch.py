"""Holds a training within the caps of its recipe: asks the workers to save and stop, and remembers why."""

import time
from dataclasses import dataclass, field, replace

from ropewalk.trainer.adapters.reports import TrainingJob
from ropewalk.trainer.adapters.worker.job import Finished, StepsDone, WorkerReport
from ropewalk.trainer.domain.caps import Use, cap_reached, step_of_cap


@dataclass(kw_only=True)
class CapWatch:
    """Of one holder of the stage. `reason` is the cap; empty while there is none in sight."""

    job: TrainingJob
    reason: str = ""
    _began: float = field(default_factory=time.monotonic)
    _use: Use = field(default_factory=lambda: Use(spent_s=0.0))

    def note(self, report: WorkerReport) -> None:
        """Learn how long steps and saves take, and stop the group if it is time."""
        if isinstance(report, StepsDone):
            step_s = max(row.step_s for row in report.rows)
            save_s = max(self._use.save_s, *(row.checkpoint_s for row in report.rows))
            self._use = replace(self._use, step_s=step_s, save_s=save_s)
            self.look()

    def look(self) -> bool:
        """Whether a cap is reached."""
        if not self.reason:
            spent_s = self.job.spent_s + time.monotonic() - self._began
            self.reason = cap_reached(self.job.recipe, replace(self._use, spent_s=spent_s))
            if self.reason:
                self.job.stop_file.touch()
        return bool(self.reason)

    def is_last(self, step: int) -> bool:
        """Whether training ends with that many steps done, by plan or by the cap on tokens."""
        return step >= self.job.recipe.derived.total_steps or self._ends_by_tokens(step)

    def said(self, finished: Finished) -> Finished:
        """The end of training with the cap that brought it about."""
        if not finished.stopped:
            return finished
        tokens = f"caps.tokens, {self.job.recipe.caps.tokens:,}" if self._ends_by_tokens(finished.step) else ""
        return replace(finished, stopped_by=self.reason or tokens or finished.stopped_by)

    def _ends_by_tokens(self, step: int) -> bool:
        return 0 < step_of_cap(self.job.recipe) <= step
