"""What a plan says of the objective that is trained on, and what in a recipe goes with it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from ropewalk.recipes.formats import EXAMPLES, INPUTS, PREFERENCES
from ropewalk.recipes.frozen import Frozen
from ropewalk.recipes.task import TaskRecipe

_Number = Annotated[float, Field(allow_inf_nan=False)]


class ObjectivePlan(Frozen):
    """The part of the plan about it, and by what weights are moved."""

    objective: Literal["sft", "distill", "dpo"] = Field(
        default="sft", description="what is learnt: the next token, a teacher or a preference"
    )
    optimizer: Literal["muon", "adamw"] = Field(
        default="muon", description="of the matrices of the blocks; adapters are always moved by AdamW"
    )
    kl_weight: _Number = Field(default=0.5, ge=0, le=1, description="distill: the teacher's share of the loss")
    temperature: _Number = Field(default=1.0, ge=0.1, le=10, description="distill: of both models")
    beta: _Number = Field(default=0.1, gt=0, le=100, description="dpo: how strongly the base model holds")


OBJECTIVE_FIELDS = tuple(name for name in ObjectivePlan.model_fields if name != "optimizer")


_OWN: Mapping[str, str] = {"beta": "dpo", "kl_weight": "distill", "temperature": "distill"}
_READS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "dpo": ((PREFERENCES,), "`chosen` and `rejected`"),
    "distill": ((EXAMPLES, INPUTS), "`input` and `output`"),
}


def objective_conflict(given: Mapping[str, Any], mode: str, formats: Sequence[str], task: TaskRecipe | None) -> str:
    """One sentence if what was given of the training cannot go with the rest of the recipe; empty: it can."""
    objective = given.get("objective", "sft")
    if name := next((name for name, owner in _OWN.items() if name in given and objective != owner), ""):
        return f"training.{name} is {given[name]:g} but training.objective is {objective!r}: set it to {_OWN[name]!r}"
    if conflict := _format_conflict(objective, formats, task):
        return conflict
    if objective not in _READS:
        return ""
    if mode != "finetune":
        return f"training.objective is {objective!r} but mode is {mode!r}: set mode to 'finetune' and name a base_model"
    if objective == "distill" and task is None:
        return "training.objective is 'distill' but there is no task: give task.instruction, which the teacher reads"
    wanted, fields = _READS[objective]
    if other := [number for number, each in enumerate(formats) if each not in wanted]:
        return (
            f"training.objective is {objective!r} but sources.{other[0]} has the format {formats[other[0]]!r}: give "
            f"records with {fields}, and set its format to {wanted[0]!r}"
        )
    if objective == "dpo" and given.get("document_masks") is False:
        return "training.document_masks is false, and two answers share a window: leave it out"
    return ""


def _format_conflict(objective: str, formats: Sequence[str], task: TaskRecipe | None) -> str:
    if objective != "dpo" and PREFERENCES in formats:
        number = formats.index(PREFERENCES)
        return f"sources.{number} has the format {PREFERENCES!r}: set training.objective to 'dpo'"
    if INPUTS in formats and (task is None or task.json_schema is None):
        number = formats.index(INPUTS)
        return f"sources.{number} has the format {INPUTS!r}: give task.json_schema, which says what answers are kept"
    if set(formats) == {INPUTS}:
        return f"every source has the format {INPUTS!r}: add one with the format {EXAMPLES!r} to judge the model by"
    return ""
