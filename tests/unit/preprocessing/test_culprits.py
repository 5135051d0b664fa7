"""Of many documents that are worked on at once, the one that cannot be is named."""

import pytest

from ropewalk.corpus.document import Document
from ropewalk.preprocessing.adapters.culprits import naming_the_culprit
from ropewalk.stages.errors import StageError


def a_document(path: str, text: str) -> Document:
    return Document(doc_id="d", source_id="s1", path=path, licence="l", fetched_at="", num_bytes=1, text=text)


def lengths(documents: list[Document]) -> list[int]:
    return [100 // len(document.text) for document in documents]


def test_the_result_passes() -> None:
    assert naming_the_culprit(lengths, [a_document("a", "xx")]) == [50]


def test_the_document_that_fails_alone_is_named_in_one_line() -> None:
    documents = [a_document("a.txt", "x"), a_document("b\n.jsonl#7", ""), a_document("c.txt", "x")]
    with pytest.raises(StageError, match=r"^the document b\\n\.jsonl#7 of the source s1 .*ZeroDivisionError") as raised:
        naming_the_culprit(lengths, documents)
    assert str(raised.value).isprintable()


def test_an_error_that_no_document_brings_about_alone_stays_what_it_is() -> None:
    def together(documents: list[Document]) -> None:
        if len(documents) > 1:
            raise ValueError("together")

    with pytest.raises(ValueError, match=r"^together$"):
        naming_the_culprit(together, [a_document("a", "x")] * 2)


def test_a_fault_of_the_machine_is_nobodys() -> None:
    tries: list[int] = []

    def full(documents: list[Document]) -> None:
        tries.append(len(documents))
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        naming_the_culprit(full, [a_document("a", "x")] * 2)
    assert tries == [2]
