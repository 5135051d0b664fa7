"""An error that a document brings about names the document, also where many are worked on at once."""

from collections.abc import Callable
from typing import TypeVar

from ropewalk.corpus.document import Document
from ropewalk.events.foreign import one_line
from ropewalk.stages.errors import StageError
from ropewalk.stages.faults import in_one_line, is_of_the_work

R = TypeVar("R")


def naming_the_culprit(work: Callable[[list[Document]], R], documents: list[Document]) -> R:
    """`work(documents)`. Raises StageError with the document on which alone the work fails, if there is one."""
    try:
        return work(documents)
    except Exception as error:
        if is_of_the_work(error):
            for document in documents:
                _try_alone(work, document)
        raise


def _try_alone(work: Callable[[list[Document]], R], document: Document) -> None:
    try:
        work([document])
    except Exception as error:
        if not is_of_the_work(error):
            raise
        raise StageError(
            f"the document {one_line(document.path)} of the source {document.source_id} cannot be worked on: "
            f"{in_one_line(error)}; leave it out with `exclude`, or mend it"
        ) from error
