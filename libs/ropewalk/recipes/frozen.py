"""What every part of a recipe is: a value that does not change and knows all of its fields."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A part of a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
