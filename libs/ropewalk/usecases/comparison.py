"""What an evaluation says about a task: every opponent by every metric."""

from ropewalk.events.base import Value
from ropewalk.events.evaluation import Estimate

CORE_SECONDS, WAITING = "core_seconds", "answer_seconds"  # what own machines are priced by; what one waits
CANDIDATE, INSTRUCTION = "candidate", "instruction"  # columns: the model that is judged; the base with the long prompt


class TaskSection(Value):
    """`task` of report.json. `opponent` is to beat; `levels` and `gains` are by scorer and metric.

    `num_threads` computed while seconds of one request at a time were measured. `minutes`: those that were over before
    more could be asked.
    """

    version: int = 1
    opponent: str
    num_examples: int
    num_held_out: int
    num_threads: int = 1
    minutes: float = 0.0
    has_schema: bool
    num_shots: int
    max_answer_tokens: int
    levels: dict[str, dict[str, Estimate]]
    gains: dict[str, dict[str, Estimate]]
    num_unfit: dict[str, int]
    definitions: dict[str, str]

    @property
    def before(self) -> str:
        """What a reader compares the model with: the base with the instruction, else whom the gate asks to beat."""
        return INSTRUCTION if INSTRUCTION in self.levels else self.opponent

    def sentences(self) -> tuple[str, ...]:
        """What a reader of the decision must know of how it was measured."""
        asked, all_of_them = self.num_examples, self.num_held_out
        few = f"{asked} of the {all_of_them} held-out examples were asked, chosen by seed"
        few += f"; then {self.minutes:g} minutes were over (evaluator_task_minutes)" if self.minutes else ""
        unfit = [
            f"{count} of {asked} prompts do not fit the context of {name!r}: they count as misses, and take no seconds "
            "and no answer's tokens, so that its price is too low"
            for name, count in self.num_unfit.items()
            if count
        ]
        return (*([few] if asked < all_of_them else []), *unfit)
