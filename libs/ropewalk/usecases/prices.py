"""What a thousand requests cost, paid by the token elsewhere or by the hour of one's own machines, and when that pays.

Prices are assumptions until somebody puts his own in their place; tokens, seconds and the price of a training are
measured by those who call. Dollars everywhere.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import Field, model_validator

from ropewalk.recipes.frozen import Frozen

MAX_LINES = 100
_Usd = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
_Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,59}$")]


class _Line(Frozen):
    """Of a tariff. One that is no assumption says where it was read."""

    source: str = Field(default="", max_length=300, description="where the price was read or agreed")
    assumption: bool = Field(default=False, description="nobody has agreed to this price or been billed it")
    date: datetime.date | None = Field(default=None, description="of the price; left out: that of the file")

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if not self.source and not self.assumption:
            raise ValueError("it has no source: name one, or say `assumption: true`")
        return self


class TokenPrice(_Line):
    """Of a model that is paid by the token, in dollars a million."""

    prompt: _Usd = Field(description="USD per million tokens that are sent")
    answer: _Usd = Field(description="USD per million tokens that come back")

    def per_1000(self, prompt_tokens: float, answer_tokens: float) -> float:
        """USD for a thousand requests of so many tokens each."""
        return (prompt_tokens * self.prompt + answer_tokens * self.answer) * 1000 / 1e6


class HourPrice(_Line):
    """Of a machine's part: a core or a card."""

    usd: _Usd = Field(description="USD per hour")

    def per_1000(self, seconds: float, units: float = 1.0, busy_share: float = 1.0) -> float:
        """USD for a thousand requests that each keep so many cores or cards busy for so many seconds.

        What stands idle is paid too: of a machine that is busy half of the time, a request costs double.
        """
        return 1000 * seconds * units * self.usd / 3600 / busy_share


class Tariff(Frozen):
    """The price table. Every line, and the two numbers at its head, may be replaced by the user's."""

    date: datetime.date = Field(description="of lines that say no other")
    busy_share: float = Field(gt=0, le=1, description="of the hours that are paid, those in which own machines answer")
    requests_a_day: float = Field(gt=0, le=1e12, allow_inf_nan=False, description="until somebody says his own")
    by_token: dict[_Name, TokenPrice] = Field(max_length=MAX_LINES)
    by_hour: dict[_Name, HourPrice] = Field(max_length=MAX_LINES)

    @property
    def lines(self) -> Mapping[str, _Line]:
        """All, by name."""
        return {**self.by_token, **self.by_hour}


@dataclass(frozen=True, kw_only=True)
class Switch:
    """From one way to answer to another. Prices in USD per thousand requests, `training` in USD, once."""

    now: float
    after: float
    training: float

    @property
    def times_cheaper(self) -> float | None:
        """Without the training; None: the new way costs nothing, or neither does."""
        return self.now / self.after if self.after > 0 else None

    def after_with_training(self, requests: float) -> float:
        """USD per thousand, if the training is shared by so many requests (above 0)."""
        return self.after + self.training * 1000 / requests

    @property
    def break_even_requests(self) -> float | None:
        """From how many requests on the change has paid for its training. None: never, it saves nothing."""
        saved = (self.now - self.after) / 1000
        return self.training / saved if saved > 0 else None

    def break_even_days(self, requests_a_day: float) -> float | None:
        """Days until then, at so many requests a day (above 0). None: never."""
        requests = self.break_even_requests
        return None if requests is None else requests / requests_a_day
