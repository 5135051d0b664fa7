"""What a training must never exceed. It is not planned by them: `minutes` and `training` say how long it should be."""

from typing import Annotated

from pydantic import Field

from ropewalk.recipes.frozen import Frozen


class CapsRecipe(Frozen):
    """Training saves and stops before it exceeds one of these; the run goes on with what it has."""

    minutes: Annotated[float, Field(gt=0, le=10_000_000)] | None = Field(
        default=None, description="of workers at work, restarts and repeated steps counted; absent: no cap"
    )
    usd: Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        default=None, description="for those minutes at the plan's price of an hour; absent: no cap"
    )
    tokens: Annotated[int, Field(gt=0, le=10**18)] | None = Field(
        default=None, description="that the model learns from, repeated steps counted once; absent: no cap"
    )
