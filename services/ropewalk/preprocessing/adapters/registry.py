"""What earlier runs of a model held out, as it lies in the object store: a sealed folder for each run that added some.

The folders hold the documents themselves, not what is computed from them, so a change of the rules of matching needs
no migration. The sets that runs of before there was a registry were judged on are read as well.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ropewalk.corpus.document import DOCUMENTS, EVAL_ITEMS, Document, read_documents, read_records, write_documents
from ropewalk.corpus.sketch import lowest_bytes
from ropewalk.preprocessing.adapters.sketching import content_of, plain_text, sketch
from ropewalk.preprocessing.domain.held_out import Registry
from ropewalk.stages.errors import StageError
from ropewalk.storage.errors import StorageError
from ropewalk.storage.manifest import file_sha256
from ropewalk.storage.objects import ObjectStore


class HeldOutBefore:
    """The registered documents. Raises StageError if a folder is gone: then nobody knows what to keep out."""

    def __init__(self, objects: ObjectStore, uris: Iterable[str], model: str) -> None:
        self._folders = [_fetch(objects, uri, model) for uri in uris]

    def documents(self) -> Iterator[tuple[str, Document]]:
        """Every registered document once, with the hash of its content, in the order of the log."""
        seen: set[str] = set()
        for folder in self._folders:
            for document in _documents_of(folder):
                content = content_of(document)
                if content not in seen:
                    seen.add(content)
                    yield content, document

    def load(self) -> Registry:
        """What the split needs of them."""
        names: set[str] = set()

        def texts() -> Iterator[str]:
            for content, document in self.documents():
                names.update({content, document.split_key} - {""})
                yield plain_text(document)

        _, signatures = sketch(texts())  # fills `names`, too
        return Registry(names=frozenset(names), sketches=lowest_bytes(signatures))


def publish_held_out(objects: ObjectStore, folder: Path, documents: Iterable[tuple[str, Document]]) -> tuple[str, str]:
    """Seal newly held-out documents, given with their content hashes. Returns the key and the SHA-256 in it."""
    folder.mkdir()
    write_documents(folder / DOCUMENTS, (document for _, document in sorted(documents, key=lambda pair: pair[0])))
    sha256 = file_sha256(folder / DOCUMENTS)
    uri = f"held_out/{sha256}"
    objects.publish(folder, uri, {})
    return uri, sha256


def _documents_of(folder: Path) -> Iterator[Document]:
    if (folder / DOCUMENTS).is_file():
        yield from read_documents(folder / DOCUMENTS)
        return
    unknown: dict[str, Any] = {"doc_id": "", "source_id": "", "licence": "", "fetched_at": "", "num_bytes": 0}
    for item in read_records(folder / EVAL_ITEMS):
        known = {name: value for name, value in item.items() if name in ("path", "text", "messages", "split_key")}
        yield Document.from_record(unknown | known)


def _fetch(objects: ObjectStore, uri: str, model: str) -> Path:
    try:
        return objects.fetch(uri)
    except StorageError as error:
        raise StageError(
            f"what earlier runs of model {model} held out can no longer be read, so it cannot be kept from training "
            f"({error}): restore {uri} from a backup, or give promotion.model another name"
        ) from None
