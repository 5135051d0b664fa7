"""What a plan says of the objective that is trained on."""

from typing import Annotated, Literal

from pydantic import Field

from ropewalk.recipes.frozen import Frozen

_Number = Annotated[float, Field(allow_inf_nan=False)]


class ObjectivePlan(Frozen):
    """The part of the plan about it. Nothing but the plan names one yet."""

    objective: Literal["sft", "distill", "dpo"] = Field(
        default="sft", description="what is learnt: the next token, a teacher or a preference"
    )
    kl_weight: _Number = Field(default=0.5, ge=0, le=1, description="distill: the teacher's share of the loss")
    temperature: _Number = Field(default=1.0, ge=0.1, le=10, description="distill: of both models")
    beta: _Number = Field(default=0.1, gt=0, le=100, description="dpo: how strongly the base model holds")


OBJECTIVE_FIELDS = tuple(ObjectivePlan.model_fields)
