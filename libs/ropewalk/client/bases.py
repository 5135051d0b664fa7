"""Base models in the object store: import, find, remove. Reading and comparing happen in child processes."""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ropewalk.client.errors import ClientError
from ropewalk.client.models import ModelVersion
from ropewalk.events.foreign import one_line, quoted
from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.importing.source import ModelSource, parse_source
from ropewalk.projections.fold import Json
from ropewalk.projections.model_card import licences_of
from ropewalk.recipes.bases import Base, base_key, find_base, is_base_name, list_bases
from ropewalk.stages.child import OnReport, run_child
from ropewalk.stages.errors import StageError
from ropewalk.storage.manifest import file_sha256
from ropewalk.storage.objects import ObjectStore

if TYPE_CHECKING:
    from ropewalk.client.client import Client
    from ropewalk.model.importing.loading import Written

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to import. `name` and `licence` are empty where the source says them."""

    source: str
    name: str = ""
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """`is_new`: the store did not have this content before."""

    base: Base
    is_new: bool


async def import_base(wish: Wish, objects: ObjectStore, scratch: Path, say: Say) -> Imported:
    """Read, compare and publish a model. The same content again changes nothing.

    `scratch` is an existing folder with room for the weights. Raises ClientError with the reason of a refusal.
    """
    try:
        source = parse_source(wish.source)
    except RefusedError as error:
        raise ClientError(str(error)) from None
    name = wish.name or source.name
    if not is_base_name(name) or "@" in name:
        raise ClientError(f"--name is {quoted(name)}: a name has up to 64 small letters, digits and . _ -")
    with tempfile.TemporaryDirectory(prefix="import-", dir=scratch) as place:
        target = Path(place, "model")
        target.mkdir()
        written: Written = await _child(_write, (source, wish.licence, target), say)
        say("hashing")
        content = await asyncio.to_thread(content_of, target)
        if objects.exists(base_key(content)):
            return Imported(base=_same_again(objects, content, name), is_new=False)
        certificate = await _child(_certify, target, say)
        base = Base(
            content=content,
            name=name,
            source=one_line(source.told, 4096),
            licence=one_line(written.licence),
            family=written.family,
            num_parameters=written.num_parameters,
            context_length=written.context_length,
            has_template=written.has_template,
            imported_at=datetime.now(UTC).isoformat(timespec="seconds"),
            certificate=certificate,
        )
        say("publishing")
        await asyncio.to_thread(objects.publish, target, base.key, base.model_dump(mode="json", exclude={"content"}))
        return Imported(base=base, is_new=True)


def content_of(folder: Path) -> str:
    """The SHA-256 over the names and hashes of a folder's files."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    hashes = {name: file_sha256(path) for name, path in sorted(files.items())}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


def known_base(objects: ObjectStore, name: str) -> Base:
    """The imported model of a name or `name@content`. Raises ClientError."""
    found = find_base(objects, name)
    if found is None:
        names = ", ".join(sorted({base.name for base in list_bases(objects)})[:20]) or "none is imported"
        raise ClientError(f"there is no imported model {quoted(name)}; imported: {names}")
    return found


async def licences_of_runs(client: "Client", run_ids: Iterable[str]) -> dict[str, str]:
    """The licences of base and data by run; empty for a run of which the log knows nothing any more."""
    found = {run_id: await client.accepted(run_id) for run_id in run_ids}
    return {run_id: licences_of(accepted) if accepted else "" for run_id, accepted in found.items()}


async def needed_by(client: "Client", base: Base, live: list[str], versions: list[ModelVersion]) -> list[str]:
    """Runs that are not over, and versions with an adapter that may answer, which began with the model."""

    async def begins_with(run_id: str, *, adapter: bool) -> bool:
        accepted = await client.accepted(run_id)
        recipe = accepted.recipe if accepted is not None else {}
        mine = str(recipe.get("base_model", "")).endswith(f"@{base.content}")
        return mine and (not adapter or recipe.get("adapter", "full") != "full")

    runs = [f"run {run_id}" for run_id in live if await begins_with(run_id, adapter=False)]
    return [*runs, *[each.full_name for each in versions if await begins_with(each.run_id, adapter=True)]]


def remove_base(objects: ObjectStore, base: Base, needed_by: list[str]) -> None:
    """Delete an import. Raises ClientError if somebody needs it."""
    if needed_by:
        more = f" and {len(needed_by) - 3} more" if len(needed_by) > 3 else ""
        raise ClientError(f"{base.name} is needed by {', '.join(needed_by[:3])}{more}: it stays")
    objects.delete(base.key)


def _same_again(objects: ObjectStore, content: str, name: str) -> Base:
    base = known_base(objects, f"{name}@{content}")
    there = next(each for each in list_bases(objects) if each.content == content)
    if there.name != name:
        raise ClientError(
            f"the same content is imported as {there.name}: use that name, or remove it first "
            f"(`ropewalk models remove {there.name}`)"
        )
    return base


async def _child(work: Callable[[Any, OnReport], Any], argument: Any, say: Say) -> Any:
    async def tell(words: object) -> None:
        say(str(words))

    try:
        result = await run_child(work, argument, on_message=tell)
    except StageError as error:
        raise ClientError(f"the import ended: {error}") from None
    if isinstance(result, RefusedError):
        raise ClientError(f"it is not imported: {result}")
    return result


def _write(argument: tuple[ModelSource, str, Path], report: OnReport) -> "Written | RefusedError":
    from ropewalk.model.importing.loading import write_folder  # torch and transformers, in this process alone

    source, licence, target = argument
    try:
        return write_folder(source, licence, target, report)
    except RefusedError as error:
        return error


def _certify(folder: Path, report: OnReport) -> "dict[str, Json] | RefusedError":
    from ropewalk.model.errors import ModelError
    from ropewalk.model.importing.certificate import certify

    try:
        return certify(folder, report)
    except ModelError as error:
        return RefusedError(str(error))
