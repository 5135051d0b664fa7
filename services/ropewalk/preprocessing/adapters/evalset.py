"""The held-out documents of a dataset version as items to be judged on."""

import hashlib
from pathlib import Path

import numpy as np

from ropewalk.corpus.document import DEV_ITEMS, EVAL_ITEMS, Document, message_records, write_records
from ropewalk.corpus.trained import SKETCHES
from ropewalk.preprocessing.adapters.cleaned import CleanedCorpus
from ropewalk.preprocessing.domain.states import DEV, HELD_OUT, DocumentFacts
from ropewalk.storage.manifest import file_sha256
from ropewalk.storage.objects import ObjectStore


def publish_evalset(objects: ObjectStore, folder: Path, corpus: CleanedCorpus) -> str:
    """Seal the items, sorted by path, with a sketch of each, and those to watch training by in a file of their own.

    Returns the key, the hash of the files.
    """
    folder.mkdir()
    found, names = _found(corpus, HELD_OUT), [EVAL_ITEMS, SKETCHES]
    write_records(folder / EVAL_ITEMS, (_item(corpus.entries[at], document) for at, document in found))
    np.save(folder / SKETCHES, corpus.sketches[[at for at, _ in found]])
    if watched := _found(corpus, DEV):
        write_records(folder / DEV_ITEMS, (_item(corpus.entries[at], document) for at, document in watched))
        names.append(DEV_ITEMS)
    hashes = "".join(file_sha256(folder / name) for name in names)
    uri = f"evalsets/{hashlib.sha256(hashes.encode()).hexdigest()}"
    objects.publish(folder, uri, {"num_items": len(found)})
    return uri


def _found(corpus: CleanedCorpus, state: str) -> list[tuple[int, Document]]:
    return sorted(corpus.documents(state), key=lambda pair: (pair[1].path, corpus.entries[pair[0]].content))


def _item(entry: DocumentFacts, document: Document) -> dict[str, object]:
    """What an item is called depends on its content alone, so that another path is not another choice of excerpts."""
    body: dict[str, object] = (
        {"messages": message_records(document.messages)} if document.messages else {"text": document.text}
    )
    together = {"split_key": document.split_key} if document.split_key else {}
    place = {"source_id": document.source_id, "path": document.path}
    rejected = {"rejected": document.rejected} if document.rejected else {}
    return {"item_id": entry.content, **place, "doc_id": document.doc_id, **together, **body, **rejected}
