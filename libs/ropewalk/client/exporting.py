"""A copy of a model version's Hugging Face folder, with a model card that says all that is known by now."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ropewalk.client.errors import ClientError
from ropewalk.client.models import ModelVersion
from ropewalk.events.base import Message
from ropewalk.projections.model_card import model_card
from ropewalk.storage.manifest import MANIFEST, ManifestError, seal
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore

CARD = "README.md"


def export_to(folder: Path, version: ModelVersion, facts: Sequence[Message], objects: ObjectStore) -> str:
    """Copy the sealed export, write its card anew, seal the copy. Returns the SHA-256 of the sealed export's manifest.

    Raises ClientError if the folder exists or the export is damaged or gone; OSError.
    """
    if folder.exists():
        raise ClientError(f"{folder} exists: name a folder that does not, nothing is written over")
    try:
        sealed = objects.inspect(version.export_uri)
    except ManifestError as error:
        raise ClientError(f"the export of {version.full_name} is damaged: {error.file} {error.reason}") from None
    except ObjectNotFoundError:
        raise ClientError(f"the export of {version.full_name} is not in the object store") from None
    shutil.copytree(objects.fetch(version.export_uri), folder, ignore=shutil.ignore_patterns(MANIFEST))
    (folder / CARD).write_text(model_card(version.run_id, facts))
    seal(folder, {**sealed.meta, "copy_of_manifest_sha256": sealed.sha256})
    return sealed.sha256
