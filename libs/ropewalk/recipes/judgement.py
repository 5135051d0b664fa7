"""How the model of a run is judged, and under which name it may serve."""

import re
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import quoted
from ropewalk.recipes.frozen import Frozen

_TASK_SET = re.compile(rf"{RUN_ID_PATTERN[1:-1]}@[1-9][0-9]{{0,5}}")


class _Judgement(Frozen):
    newer: ClassVar[tuple[str, ...]] = ()  # fields that came later

    @property
    def unsaid(self) -> set[str]:
        """Those that do not travel, for they have their default: recipes of before there were any keep their hash."""
        return set(self.newer) - self.model_dump(exclude_defaults=True).keys()


class EvaluationRecipe(_Judgement):
    """How the model is judged before it may serve."""

    newer = ("learnt_fraction", "curve", "task_sets", "defer_hours")

    held_out_fraction: float = Field(
        default=0.03, gt=0, lt=0.5, description="share of the documents, or examples of a task, kept from training"
    )
    learnt_fraction: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="share of what is not held out that is learnt from; of two shares the smaller is in the larger one",
    )
    curve: bool = Field(
        default=False,
        description="task: 25 and 50 % of the same examples train two more models when the gate has decided, which are "
        "judged and never promoted; the report says what more examples would bring",
    )
    num_completions: int = Field(default=64, ge=8, le=2000, description="completions sampled for the parse rate")
    margin: float = Field(default=0.0, ge=0, description="bits per byte by which the candidate must win")
    defer_hours: float = Field(
        default=0.0,
        ge=0,
        le=696,  # a timer of the bus lives 30 days: of a later one nobody would hear
        allow_inf_nan=False,
        description="where the gate needs more, wait so long for it, then it is a no; 0: the run ends as need_more; "
        "at most 29 days, for no timer waits longer",
    )
    gate: Literal["full", "toy"] = Field(
        default="full",
        description="toy: a first model need only beat the token unigram, not the best n-gram, and no completion need "
        "parse: for a recipe that shows the way and learns little",
    )
    task_sets: tuple[str, ...] = Field(
        default=(), max_length=8, description="frozen task sets that the model is asked, too: `copying@1`"
    )

    @field_validator("task_sets")
    @classmethod
    def _check_names(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            if not _TASK_SET.fullmatch(name):
                raise ValueError(f"{quoted(name)} names no version of a task set: write it as `copying@1`")
        if len(set(given)) < len(given):
            raise ValueError("a task set stands there twice: leave one out")
        return given


class PromotionRecipe(_Judgement):
    """Under which name the model serves, and who lets it."""

    newer = ("promote",)

    model: str = Field(default="", pattern=r"^[a-z0-9_-]{0,40}$", description="model name; empty: the recipe's name")
    alias: str = Field(default="production", pattern=r"^[a-z0-9_-]{1,40}$", description="the name that is moved to it")
    promote: bool = Field(default=True, description="false: the model is judged, and never serves")
    approval: Literal["none", "second_person"] = Field(
        default="none", description="second_person: waits until somebody else than the owner of the run approves it"
    )
