"""Who judges: one YAML. A model of our own, an endpoint of somebody else, or a recording of either."""

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import quoted
from ropewalk.recipes.bases import NAME_PATTERN
from ropewalk.recipes.frozen import Frozen
from ropewalk.usecases.endpoint import Endpoint

_HOST = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}|[0-9a-f:]{2,45}")
MODEL_PATTERN = rf"^({NAME_PATTERN}(@[0-9a-f]{{64}})?|exports/[a-z0-9_-]{{1,200}})$"


class JudgeEndpoint(Frozen):
    """Chat completions. A key is read where the evaluator runs, from a file named by the host: see docs/judging.md."""

    url: str = Field(max_length=1_000, description="what stands before /chat/completions")
    model: str = Field(min_length=1, max_length=200)
    logprobs: bool = Field(default=True, description="whether it is asked for log-probabilities")
    usd_per_million_prompt_tokens: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)
    usd_per_million_answer_tokens: float = Field(default=0.0, ge=0, le=1e6, allow_inf_nan=False)

    @field_validator("url")
    @classmethod
    def _check_url(cls, given: str) -> str:
        host = Endpoint(url=given, model="-").host
        if not _HOST.fullmatch(host):
            raise ValueError(f"{quoted(host)} is no name of a host")
        return given

    @property
    def host(self) -> str:
        """To whom what is judged is sent."""
        return urlsplit(self.url).hostname or ""


class JudgeFile(Frozen):
    """One judge: exactly one of `model`, `endpoint` and `recorded` says who it is."""

    id: str = Field(pattern=RUN_ID_PATTERN)
    use_case: str = Field(min_length=1, max_length=2_000, description="for which answers its card holds, and no others")
    rubric: str = Field(default="default", max_length=1_024, description="a YAML beside this one, or one that ships")
    model: str = Field(default="", max_length=300, description="an imported base model, or `exports/…` of a checkpoint")
    endpoint: JudgeEndpoint | None = None
    recorded: str = Field(default="", max_length=1_024, description="JSON lines beside this file: what a judge said")
    family: str = Field(default="", max_length=200, description="as `by` of a labelled answer names who wrote it")
    valid_days: int = Field(default=90, ge=1, le=366, description="after which its card is void")
    raters: str = Field(default="experts", pattern=r"^(experts|skilled|crowd)$", description="what a human costs: ε")

    @model_validator(mode="after")
    def _check_who(self) -> Self:
        if sum(map(bool, (self.model, self.endpoint, self.recorded))) != 1:
            raise ValueError("it says who judges by exactly one of model, endpoint and recorded")
        if self.model and not re.fullmatch(MODEL_PATTERN, self.model):
            raise ValueError(
                f"model {quoted(self.model)}: name an import (`ropewalk models list --bases`) or `exports/…`"
            )
        return self
