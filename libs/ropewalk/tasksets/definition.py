"""What a task set says of itself: one YAML. Its items are in a file of JSON lines beside it (`items`)."""

import re
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from ropewalk.events.base import RUN_ID_PATTERN
from ropewalk.events.foreign import quoted
from ropewalk.recipes.frozen import Frozen
from ropewalk.usecases.schema import check_schema

Kind = Literal["mc", "generate", "rolling", "schema", "code", "judge", "pairwise"]
Split = Literal["dev", "calibration", "gate"]
JUDGED: tuple[Kind, ...] = ("judge", "pairwise")  # people say how good an answer is, judges help
WRITTEN: tuple[Kind, ...] = ("generate", "schema", "code", *JUDGED)  # an answer is written, not read
JUDGED_FIELDS = ("rubric", "criteria", "judges", "raters_each")
OVERLAPS = ("sentence_bleu", "sentence_chrf", "rouge_l")  # with right answers: nobody knows what people say of them
METRICS: Mapping[Kind, tuple[str, ...]] = {
    "mc": ("acc", "acc_norm"),
    "generate": ("exact_match", *OVERLAPS),
    "code": ("pass_at_1",),
    "rolling": ("bits_per_byte", "byte_perplexity", "word_perplexity"),
    "schema": ("schema_validity", "field_accuracy", "exact_match"),
}
CODE_ENDS = ("\ndef ", "\nclass ", "\nif ", "\nprint(", "\n@", "\nassert ")
PREFERRED = "preferred"  # the metric of pairwise
SHOWN_ONLY = ("byte_perplexity", "word_perplexity")  # bits per byte on another scale
FEWEST_ITEMS = 20
FIELD = re.compile(r"\{([a-z_][a-z0-9_]{0,39})\}")  # of an item, in a template


class DataFile(Frozen):
    """The items."""

    file: str = Field(min_length=1, max_length=1024, description="JSON lines, beside the YAML")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of that file as it lies there")


class SplitShares(Frozen):
    """Which share of the clusters is for what. A split is drawn by a hash of the cluster, by nobody's seed."""

    dev: float = Field(default=0.25, ge=0, le=1, description="to look at: what is only shown is measured here")
    calibration: float = Field(default=0.25, ge=0, le=1, description="for people's labels and for judges")
    gate: float = Field(default=0.5, ge=0, le=1, description="sealed: what decides is measured here, and only here")

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        if abs((total := self.dev + self.calibration + self.gate) - 1) > 1e-9:
            raise ValueError(f"dev, calibration and gate are {total:g} together: they must be 1")
        return self


class GateRole(Frozen):
    """The part that a metric plays in the gate of a recipe that names the task set."""

    role: Literal["primary", "guardrail", "shown"] = "shown"
    margin: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="primary: the candidate must win by more; guardrail: it must not lose by so much",
    )


class TaskSetFile(Frozen):
    """One version of a task set."""

    id: str = Field(pattern=RUN_ID_PATTERN, description="what recipes call it, with the version: `copying@1`")
    version: int = Field(ge=1, le=1_000_000, description="another content is another version")
    use_case: str = Field(min_length=1, max_length=2_000, description="what a model that is good at it is good for")
    data: DataFile
    licence: str = Field(min_length=1, max_length=200, description="SPDX identifier")
    cluster_key: str = Field(
        pattern=r"^[a-z_][a-z0-9_]{0,39}$", description="field of an item that says what varies together"
    )
    type: Kind = Field(
        description="mc: choices by likelihood; generate: a text; schema: JSON; rolling: text to read; code: a program "
        "that must pass tests; judge: people grade a text; pairwise: people say which of two models' texts is better"
    )
    metrics: tuple[str, ...] = Field(
        default=(), max_length=8, description="left out: all of the type but BLEU, chrF and ROUGE"
    )
    templates: tuple[str, ...] = Field(
        default=("{question}",), min_length=1, max_length=8, description="prompts; the first counts, others are spread"
    )
    delimiter: str = Field(default=" ", max_length=40, description="mc: between prompt and choice")
    ask: Literal["text", "chat"] = Field(default="text", description="of what is written: chat: a turn of the user")
    until: tuple[str, ...] = Field(default=("\n",), max_length=8, description="a text ends before these")
    max_tokens: int = Field(default=64, ge=1, le=1024, description="of a written answer")
    json_schema: dict[str, JsonValue] | None = Field(default=None, description="schema: that every answer must fit")
    rubric: str = Field(
        default="default", max_length=1_024, description="judged: a YAML beside this, or one that ships"
    )
    criteria: tuple[str, ...] = Field(default=(), max_length=8, description="judged: those of the rubric that count")
    judges: tuple[str, ...] = Field(
        default=(), max_length=4, description="judged: registered ones; people alone do, too"
    )
    raters_each: int = Field(default=1, ge=1, le=4, description="judged: how many people label what is drawn")
    splits: SplitShares = SplitShares()
    min_items: int = Field(default=FEWEST_ITEMS, ge=FEWEST_ITEMS, le=100_000, description="in the split that is used")
    gate: dict[str, GateRole] = Field(default_factory=dict, max_length=8, description="role by metric")

    @model_validator(mode="before")
    @classmethod
    def _end_programs(cls, given: object) -> object:
        """A program has many lines: it ends before what can be no part of it any more, in a chat by itself."""
        if isinstance(given, dict) and given.get("type") == "code":
            return {"until": () if given.get("ask") == "chat" else CODE_ENDS} | given
        return given

    @field_validator("until")
    @classmethod
    def _check_ends(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if any(not 1 <= len(end) <= 40 for end in given):
            raise ValueError("each end of an answer has 1 to 40 characters")
        return given

    @field_validator("templates")
    @classmethod
    def _check_templates(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            if len(each) > 4_096 or not FIELD.search(each):
                raise ValueError(f"template {quoted(each)} needs a {{field}} of an item and at most 4,096 characters")
        if len(set(given)) < len(given):
            raise ValueError("a template stands there twice: leave one out")
        return given

    @model_validator(mode="after")
    def _check_judged(self) -> Self:
        if self.type not in JUDGED:
            if given := [name for name in JUDGED_FIELDS if name in self.model_fields_set]:
                raise ValueError(f"{given[0]} is for the types {' and '.join(JUDGED)}, and this is {self.type}")
            return self
        if not self.criteria:
            raise ValueError("criteria is empty: name at least one of the rubric, such as correctness")
        for field, names in (("criteria", self.criteria), ("judges", self.judges)):
            if (twice := next((name for name in names if names.count(name) > 1), None)) is not None:
                raise ValueError(f"{field} has {quoted(twice)} twice: leave one out")
        if (odd := next((name for name in self.judges if not re.fullmatch(RUN_ID_PATTERN, name)), None)) is not None:
            raise ValueError(f"judges has {quoted(odd)}, which is no id of a judge: `ropewalk eval judges list`")
        if len(self.templates) > 1:
            raise ValueError(f"type {self.type} has one template: what people are shown is one question")
        return self

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        known = self.known
        for name in (*self.metrics, *self.gate):
            if name not in known:
                raise ValueError(f"metric {quoted(name)} is none of type {self.type}: it has {', '.join(known)}")
        if unmeasured := [name for name in self.gate if name not in self.measured]:
            raise ValueError(f"gate names {unmeasured[0]}, which is not among metrics: add it there, or leave it out")
        deciding = [name for name, each in self.gate.items() if each.role != "shown"]
        if scaled := [name for name in deciding if name in SHOWN_ONLY]:
            raise ValueError(f"{scaled[0]} is bits_per_byte on another scale: give bits_per_byte the role")
        if overlaps := [name for name in deciding if name in OVERLAPS]:
            raise ValueError(
                f"gate.{overlaps[0]} is not measured against people's labels on this task set, so it may "
                "only be shown: leave the role out, or give it to exact_match"
            )
        if unsaid := [name for name, each in self.gate.items() if each.role == "guardrail" and not each.margin]:
            raise ValueError(f"gate.{unsaid[0]} is a guardrail without margin: say how much may be lost, such as 0.02")
        if sum(each.role == "primary" for each in self.gate.values()) > 1:
            raise ValueError("gate has two primary metrics: one decides, make the other a guardrail")
        return self

    @model_validator(mode="after")
    def _check_schema(self) -> Self:
        if (self.json_schema is not None) != (self.type == "schema"):
            raise ValueError(f"type is {self.type!r}: json_schema belongs to 'schema', and must be there")
        if self.json_schema is not None and (fault := check_schema(self.json_schema)):
            raise ValueError(f"json_schema: {fault}")
        return self

    @property
    def known(self) -> tuple[str, ...]:
        """The metrics of the type."""
        return self.criteria if self.type == "judge" else METRICS.get(self.type, (PREFERRED,))

    @property
    def ends(self) -> tuple[str, ...]:
        """What a written answer ends before."""
        return () if self.type == "schema" else self.until

    @property
    def is_judged(self) -> bool:
        """Whether people say how good an answer is."""
        return self.type in JUDGED

    @property
    def deciding(self) -> tuple[str, ...]:
        """The metrics that play a part in the gate, the primary one first."""
        return tuple(filter(None, (self.primary, *self.guardrails)))

    @property
    def full_name(self) -> str:
        """The version, as recipes name it."""
        return f"{self.id}@{self.version}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Of an item, those that a model reads."""
        told = (name for each in self.templates for name in FIELD.findall(each))
        return ("text",) if self.type == "rolling" else tuple(dict.fromkeys(told))

    @property
    def measured(self) -> tuple[str, ...]:
        """The metrics that are wanted, in the order of the type's."""
        wanted = self.metrics or [name for name in self.known if name not in OVERLAPS]
        return tuple(name for name in self.known if name in wanted)

    @property
    def primary(self) -> str:
        """The metric whose gain decides; empty: none."""
        return next((name for name, each in self.gate.items() if each.role == "primary"), "")

    @property
    def guardrails(self) -> tuple[str, ...]:
        """The metrics in which a candidate must not lose."""
        return tuple(name for name, each in self.gate.items() if each.role == "guardrail")

    @property
    def used_split(self) -> Split:
        """The sealed one if it decides."""
        return "gate" if self.primary or self.guardrails else "dev"
