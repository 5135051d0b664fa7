"""Preprocessing on a Ray of several hosts, as the service's child runs it: a program for the host of the driver.

`ray_preprocessing FILE` publishes segments, makes a dataset of them and writes into the file what came out.
"""

import sys
import tempfile
from pathlib import Path

from integration.preprocessing.test_preprocess import a_document, a_text

from ropewalk.corpus.document import DOCUMENTS, write_documents
from ropewalk.events.data import SegmentRef
from ropewalk.preprocessing.adapters.job import PreprocessJob, preprocess
from ropewalk.preprocessing.settings import Settings
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.storage.manifest import verify
from ropewalk.storage.objects import ObjectStore

NUM_SEGMENTS, NUM_DOCUMENTS = 8, 200


def main(result: Path) -> None:
    settings = Settings()
    objects = settings.store.connect()
    with tempfile.TemporaryDirectory() as folder:
        job = PreprocessJob(
            run_id="r",
            segments=tuple(a_segment(objects, Path(folder), number) for number in range(NUM_SEGMENTS)),
            recipe=resolve_recipe({"sources": [{"path": "/x", "licence": "MIT"}], "size": "tiny"}),
            store=settings.store,
            scratch=Path(folder),
            ray_address=settings.ray_address,
        )
        dataset, _ = preprocess(job, lambda _: None)
    verify(objects.fetch(dataset.uri))
    assert objects.list("work") == []
    result.write_text(dataset.model_dump_json())


def a_segment(objects: ObjectStore, folder: Path, number: int) -> SegmentRef:
    """Documents of which no two are alike."""
    name, first = f"segment-{number}", number * NUM_DOCUMENTS
    documents = [a_document(f"{at:05}.txt", a_text(at)) for at in range(first, first + NUM_DOCUMENTS)]
    (folder / name).mkdir()
    write_documents(folder / name / DOCUMENTS, documents)
    objects.publish(folder / name, f"segments/{name}", {})
    num_bytes = sum(document.num_bytes for document in documents)
    return SegmentRef(segment_id=name, uri=f"segments/{name}", num_documents=len(documents), num_bytes=num_bytes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
