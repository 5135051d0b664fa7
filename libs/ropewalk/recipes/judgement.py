"""How the model of a run is judged, and under which name it may serve."""

from typing import Literal

from pydantic import Field

from ropewalk.recipes.frozen import Frozen


class EvaluationRecipe(Frozen):
    """How the model is judged before it may serve."""

    held_out_fraction: float = Field(default=0.03, gt=0, lt=0.5, description="share of the files kept from training")
    num_completions: int = Field(default=64, ge=8, le=2000, description="completions sampled for the parse rate")
    margin: float = Field(default=0.0, ge=0, description="bits per byte by which the candidate must win")
    gate: Literal["full", "toy"] = Field(
        default="full",
        description="toy: a first model need only beat the token unigram, not the best n-gram, and no completion need "
        "parse: for a recipe that shows the way and learns little",
    )


class PromotionRecipe(Frozen):
    """Under which name the model serves, and who lets it."""

    model: str = Field(default="", pattern=r"^[a-z0-9_-]{0,40}$", description="model name; empty: the recipe's name")
    alias: str = Field(default="production", pattern=r"^[a-z0-9_-]{1,40}$", description="the name that is moved to it")
    approval: Literal["none", "second_person"] = Field(
        default="none", description="second_person: waits until somebody else than the owner of the run approves it"
    )
