"""Base models in the object store: import, find, remove. Reading and comparing happen in a child process."""

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.client.errors import ClientError
from ropewalk.client.importing import ComparedModel, ImportWork, read_and_compare
from ropewalk.client.model_process import in_own_process
from ropewalk.client.models import ModelVersion
from ropewalk.events.foreign import one_line, quoted
from ropewalk.events.run import RunAccepted
from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.importing.source import parse_source
from ropewalk.recipes.bases import Base, find_base, is_base_name, list_bases, shape_of_folder
from ropewalk.storage.objects import ObjectStore

if TYPE_CHECKING:
    from ropewalk.client.client import Client

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
    known = frozenset(base.content for base in list_bases(objects))
    with tempfile.TemporaryDirectory(prefix="import-", dir=scratch) as place:
        work = ImportWork(source=source, licence=wish.licence, target=Path(place, "model"), known=known)
        found = await in_own_process(read_and_compare, work, say, "it is not imported")
        return await asyncio.to_thread(publish_base, objects, work, found, name)


def publish_base(objects: ObjectStore, work: ImportWork, found: ComparedModel, name: str) -> Imported:
    """Put the folder of a model that was read and compared into the store, unless it is there."""
    if found.content in work.known:
        return Imported(base=_same_again(objects, found.content, name), is_new=False)
    written = found.written
    base = Base(
        content=found.content,
        name=name,
        source=one_line(work.source.told, 4096),
        licence=one_line(written.licence),
        family=written.family,
        num_parameters=written.num_parameters,
        context_length=written.context_length,
        has_template=written.has_template,
        shape=shape_of_folder(work.target),
        imported_at=datetime.now(UTC).isoformat(timespec="seconds"),
        certificate=found.certificate,
    )
    objects.publish(work.target, base.key, base.model_dump(mode="json", exclude={"content"}))
    return Imported(base=base, is_new=True)


def known_base(objects: ObjectStore, name: str) -> Base:
    """The imported model of a name or `name@content`. Raises ClientError."""
    found = find_base(objects, name)
    if found is None:
        raise ClientError(no_import(objects, name))
    return found


def no_import(objects: ObjectStore, name: str) -> str:
    """That none is called so, and which there are."""
    names = ", ".join(sorted({base.name for base in list_bases(objects)})[:20]) or "none is imported"
    return f"there is no imported model {quoted(name)}; imported: {names}"


async def accepted_runs(client: "Client", run_ids: Iterable[str]) -> dict[str, RunAccepted]:
    """How those of the runs began of which the log still knows it."""
    found = {run_id: await client.accepted(run_id) for run_id in run_ids}
    return {run_id: accepted for run_id, accepted in found.items() if accepted is not None}


def needed_by(
    base: Base, accepted: Mapping[str, RunAccepted], live: list[str], versions: list[ModelVersion]
) -> list[str]:
    """Runs that are not over, and versions with an adapter that may answer, which began with the model."""
    mine = {run_id: each.recipe for run_id, each in accepted.items() if _begins_with(each, base)}
    adapters = [each.full_name for each in versions if mine.get(each.run_id, {}).get("adapter", "full") != "full"]
    return [f"run {run_id}" for run_id in live if run_id in mine] + adapters


def remove_base(objects: ObjectStore, base: Base, needed_by: list[str]) -> None:
    """Delete an import. Raises ClientError if somebody needs it."""
    if needed_by:
        more = f" and {len(needed_by) - 3} more" if len(needed_by) > 3 else ""
        raise ClientError(f"{base.name} is needed by {', '.join(needed_by[:3])}{more}: it stays")
    objects.delete(base.key)


def _begins_with(accepted: RunAccepted, base: Base) -> bool:
    return str(accepted.recipe.get("base_model", "")).endswith(f"@{base.content}")


def _same_again(objects: ObjectStore, content: str, name: str) -> Base:
    there = next(each for each in list_bases(objects) if each.content == content)
    if there.name != name:
        raise ClientError(
            f"the same content is imported as {there.name}: use that name, or remove it first "
            f"(`ropewalk models remove {there.name}`)"
        )
    return there
