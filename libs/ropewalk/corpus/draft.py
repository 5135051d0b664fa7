"""A recipe for a folder that somebody has: what a look at it suggests, with the reason for each choice beside it.

It decides nothing that its owner could not have written, and it names what only the owner can know: the licence, and
for conversations the model to begin with.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import JsonValue

from ropewalk.corpus.forecast import forecast
from ropewalk.corpus.judging import DOCUMENTS_TO_JUDGE, too_few_to_judge
from ropewalk.corpus.preflight import data_violations
from ropewalk.corpus.reading.readers import ReaderTask, reader_of
from ropewalk.corpus.reading.records import Limits, Record
from ropewalk.corpus.reading.selection import holds_records, unpacked_name
from ropewalk.corpus.reading.sources import open_source
from ropewalk.corpus.reading.survey import Survey, SurveyLimits, survey
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.recipes.dial import complete
from ropewalk.recipes.formats import format_of
from ropewalk.recipes.recipe import SourceRecipe, parse_recipe

LICENCE = "LicenseRef-private"
_LOOK = SurveyLimits(seconds=10.0, num_bytes=128_000_000)
_CODE = frozenset(
    """.py .pyi .js .mjs .ts .tsx .jsx .c .h .cc .cpp .hpp .cs .rs .go .java .kt .rb .php .sh .pl .lua .r .swift .scala
    .sql .m .jl .hs .ml .ex .erl""".split()  # noqa: SIM905  # a list of so many words is read as words
)
_BUILT = ("node_modules", "venv", "__pycache__", "dist", "build", "target", "site-packages")
_SIZES = ((20_000, "tiny"), (5_000_000, "nano"))  # below so many tokens; above: micro, what ten minutes can teach
_PASSES = 4.0  # over the data; more teach a model little (Muennighoff et al. 2023)
_MINUTES = (0.5, 10.0)  # a first try
_FILES_TO_JUDGE = 1.25 * DOCUMENTS_TO_JUDGE  # some more, as some are dropped
_HELD_OUT = (0.03, 0.2)
_RECORDS, _RECORD_BYTES = 20, 250_000


@dataclass(frozen=True, kw_only=True)
class Draft:
    """Recipe fields, and why each is as it is; `found` is the look that they follow from."""

    fields: dict[str, JsonValue]
    why: dict[str, str]
    found: Survey

    @property
    def shortfalls(self) -> tuple[str, ...]:
        """What will keep a run of it from being accepted, if the data stays as it is."""
        if self.fields.get("base_model") == "":
            return ()
        return data_violations(complete(parse_recipe(self.fields)), self.found)

    @property
    def warning(self) -> str:
        """What will keep a model of it from being judged; empty if nothing will."""
        wanted = self.fields.get("evaluation")
        share = wanted["held_out_fraction"] if isinstance(wanted, dict) else _HELD_OUT[0]
        return too_few_to_judge(self.found.num_documents, float(str(share)))

    @property
    def text(self) -> str:
        """The recipe as a YAML file with the reasons as comments."""
        return "".join(_entries(self.fields, self.why))


def draft_recipe(folder: Path) -> Draft:
    """Look at a folder (or a file) and write a recipe. `folder` is absolute."""
    source: dict[str, JsonValue] = {"path": str(folder), "licence": LICENCE}
    why = {"sources": "the licence is yours to name: an SPDX identifier, or LicenseRef-… for your own"}
    if built := [name for name in _BUILT if _has(folder, name)]:
        source["exclude"] = [f"**/{name}/**" for name in built]
    field = text_field(SourceRecipe.model_validate(source))
    if field != "text":
        source["text_field"] = field
    found = survey((SourceRecipe.model_validate(source),), _LOOK)
    talks = found.num_conversations * 2 > found.num_documents
    fields: dict[str, JsonValue] = {"name": name_of(folder), "sources": [source]}
    if talks:
        source["format"] = "chat"
        fields |= {"mode": "finetune", "base_model": ""}
        why["base_model"] = "conversations tune a model that exists: a Hugging Face folder or hub id goes here"
    else:
        fields["profile"], why["profile"] = _profile(found)
    fields |= _dial(fields, found, why)
    return Draft(fields=fields, why=why, found=found)


def name_of(folder: Path) -> str:
    """The folder's name as a recipe may have it."""
    return re.sub(r"[^a-z0-9_-]+", "-", folder.name.lower()).strip("-")[:40] or "custom"


def text_field(source: SourceRecipe) -> str:
    """The field of records that holds their text: `text` if they have it, else the one with the longest texts."""
    records = list(_first_records(source))
    if not records or any("text" in record or "messages" in record for record in records):
        return "text"
    lengths: dict[str, int] = {}
    for record in records:
        for name, value in record.items():
            if isinstance(value, str):
                lengths[name] = lengths.get(name, 0) + len(value)
    return max(lengths, key=lambda name: lengths[name], default="text")


def _first_records(source: SourceRecipe) -> Iterator[dict[str, Any]]:
    file = next((file for file in open_source(source).files() if holds_records(file.path, source)), None)
    if file is None:
        return
    try:
        read = reader_of(format_of(unpacked_name(file.path), source.format))
    except ModuleNotFoundError:
        return  # the survey says so
    task = ReaderTask(source, Limits(record_bytes=_RECORD_BYTES), Meter(), all_fields=True)
    yield from (found.fields for _, found in islice(read(file, task), _RECORDS) if isinstance(found, Record))


def _profile(found: Survey) -> tuple[str, str]:
    read = [kind for kind in found.kinds if kind.kind in ("text", "records")]
    code = sum(kind.num_bytes for kind in read if kind.suffix.partition(".gz")[0] in _CODE)
    if code * 2 > sum(kind.num_bytes for kind in read):
        return "code", "most of the bytes are program text"
    return "prose", "most of the bytes are not program text"


def _dial(fields: dict[str, JsonValue], found: Survey, why: dict[str, str]) -> dict[str, JsonValue]:
    """Size, training time and the part that is kept for judging, from how much there is."""
    dial: dict[str, JsonValue] = {}
    tokens = found.num_tokens(2048)
    if "base_model" not in fields:
        dial["size"] = next((size for most, size in _SIZES if tokens < most), "micro")
        why["size"] = f"for about {tokens:,} tokens; larger ones (small, base) need hours"
        a_minute = complete(parse_recipe({"sources": fields["sources"], "size": dial["size"], "minutes": 1.0}))
        passes = max(forecast(a_minute, found).epochs, 1e-6)
        dial["minutes"] = round(min(max(_PASSES / passes, _MINUTES[0]), _MINUTES[1]), 1)
        times = passes * float(str(dial["minutes"]))
        why["minutes"] = f"of training on two CPU cores: the data is read about {times:.2g} times"
    else:
        dial["minutes"] = 3.0
        why["minutes"] = "of training on two CPU cores"
    share = _FILES_TO_JUDGE / max(1, found.num_documents)
    if share > _HELD_OUT[0]:
        dial["evaluation"] = {"held_out_fraction": round(min(share, _HELD_OUT[1]), 3)}
        why["evaluation"] = "the gate needs some 20 documents that training never saw"
    return dial


def _has(folder: Path, name: str) -> bool:
    """At the top or up to two below: where tools put what they build."""
    return any(next(folder.glob(f"{above}{name}/"), None) is not None for above in ("", "*/", "*/*/"))


def _entries(fields: dict[str, JsonValue], why: dict[str, str]) -> Iterator[str]:
    for name, value in fields.items():
        lines = yaml.safe_dump({name: value}, sort_keys=False, allow_unicode=False, width=1000)
        yield f"# {why[name]}\n{lines}" if name in why else lines
