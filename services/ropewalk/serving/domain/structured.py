"""`response_format`: what an OpenAI client may ask of the form of an answer.

A schema is followed to the letter whether `strict` is true, false or left out; what cannot be followed is refused.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ropewalk.model.json_schema import ANY_OBJECT, schema_text, why_too_large
from ropewalk.serving.domain.neutral import RequestError

SCHEMA_FIELD = "response_format.json_schema.schema"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _JsonSchema(_Frozen):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = Field(default=None, max_length=4096)
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Frozen):
    """The field as OpenAI has it."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: _JsonSchema | None = None

    @model_validator(mode="after")
    def _whole(self) -> "ResponseFormat":
        if (self.json_schema is not None) is not (self.type == "json_schema"):
            raise ValueError("json_schema has to be given with type 'json_schema', and with no other")
        return self

    def schema_followed(self) -> str:
        """The JSON of the schema that an answer follows, or nothing. Raises RequestError for one that is too large."""
        if self.type == "text":
            return ""
        schema = self.json_schema.schema_ if self.json_schema else ANY_OBJECT
        if reason := why_too_large(schema):
            raise RequestError(f"{SCHEMA_FIELD}: {reason}", SCHEMA_FIELD)
        return schema_text(schema)
