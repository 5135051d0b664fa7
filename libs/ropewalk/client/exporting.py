"""Copies of a model to give away: its Hugging Face folder with a model card, or one GGUF file that was read back."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropewalk.client.errors import ClientError
from ropewalk.client.model_process import in_own_process
from ropewalk.client.models import ModelVersion
from ropewalk.events.base import Message
from ropewalk.events.run import RunAccepted
from ropewalk.projections.model_card import licences_of, model_card
from ropewalk.recipes.bases import Base
from ropewalk.storage.manifest import MANIFEST, Manifest, ManifestError, seal, sync
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore

CARD = "README.md"


@dataclass(frozen=True, kw_only=True)
class Exportable:
    """What may be given away: a version or an imported model. `card` is empty where the folder has its own."""

    name: str
    uri: str
    licence: str
    card: str = ""


@dataclass(frozen=True, kw_only=True)
class GgufWork:
    """`folder` is read; `scratch` is an empty folder in which `model.gguf` is written and read again."""

    folder: Path
    scratch: Path
    name: str
    licence: str
    eight_bits: bool


def of_version(version: ModelVersion, facts: Sequence[Message]) -> Exportable:
    """A version, with the card that all facts of its run make."""
    accepted = next((fact for fact in facts if isinstance(fact, RunAccepted)), None)
    return Exportable(
        name=version.full_name,
        uri=version.export_uri,
        licence=licences_of(accepted) if accepted else "",
        card=model_card(version.run_id, facts),
    )


def of_base(base: Base) -> Exportable:
    """An imported model."""
    return Exportable(name=base.name, uri=base.key, licence=base.licence)


def export_to(folder: Path, what: Exportable, objects: ObjectStore) -> str:
    """Copy the sealed folder, write its card anew, seal the copy. Returns the SHA-256 of the sealed one's manifest.

    Raises ClientError if the folder exists or the export is damaged or gone; OSError.
    """
    sealed = _inspected(folder, what, objects)
    place = folder.absolute().parent
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=place) as scratch:
        copy = Path(scratch, "model")
        try:
            _copy(objects.fetch(what.uri), copy, sealed)
        except OSError as error:
            raise ClientError(f"{what.name} is not exported: {error}") from None
        if what.card:
            (copy / CARD).write_text(what.card)
        seal(copy, {**sealed.meta, "copy_of_manifest_sha256": sealed.sha256})
        copy.rename(folder)
    return sealed.sha256


def _copy(source: Path, copy: Path, sealed: Manifest) -> None:
    """The contents alone: the copy is to be given away, and ours may be read by nobody else."""
    copy.mkdir()
    for name in sealed.files:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, copy / name)


def export_gguf(
    file: Path, what: Exportable, objects: ObjectStore, say: Callable[[str], None], *, eight_bits: bool
) -> dict[str, Any]:
    """Write a GGUF file, which is there only once it was read back and compared. Returns the certificate.

    Raises ClientError if the file exists, the model cannot be written so, or does not come back the same; OSError.
    """
    _inspected(file, what, objects)
    place = file.absolute().parent
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=place) as scratch:
        work = GgufWork(
            folder=objects.fetch(what.uri),
            scratch=Path(scratch),
            name=what.name,
            licence=what.licence or "unknown",
            eight_bits=eight_bits,
        )
        failed = f"{what.name} is not exported as GGUF"
        found = asyncio.run(in_own_process(write_and_read_back, work, say, failed))
        sync(work.scratch / "model.gguf")
        os.link(work.scratch / "model.gguf", file)  # unlike a rename, not over what was written meanwhile
    return found


def write_and_read_back(work: GgufWork, say: Callable[[str], None]) -> dict[str, Any]:
    """The certificate of a GGUF file. For a child process: this loads torch. Raises ModelError."""
    from ropewalk.model.importing.certificate import certify_copy
    from ropewalk.model.importing.gguf_writing import write_gguf
    from ropewalk.model.importing.loading import write_folder
    from ropewalk.model.importing.source import ModelSource

    file, copy = work.scratch / "model.gguf", work.scratch / "read-back"
    say("writing")
    write_gguf(work.folder, file, name=work.name, licence=work.licence, eight_bits=work.eight_bits)
    copy.mkdir()
    say("reading it back")
    write_folder(ModelSource("gguf", str(file)), "", copy, lambda _: None)
    return certify_copy(work.folder, copy, exact=not work.eight_bits, say=say)


def _inspected(target: Path, what: Exportable, objects: ObjectStore) -> Manifest:
    inside = target.absolute().resolve().parents
    if any((parent / MANIFEST).is_file() for parent in inside):
        raise ClientError(f"{target} lies in a sealed folder: name a place outside, nothing sealed is changed")
    if os.path.lexists(target):
        raise ClientError(f"{target} exists: name one that does not, nothing is written over")
    try:
        return objects.inspect(what.uri)
    except ManifestError as error:
        raise ClientError(f"the export of {what.name} is damaged: {error.file} {error.reason}") from None
    except ObjectNotFoundError:
        raise ClientError(f"the export of {what.name} is not in the object store") from None
