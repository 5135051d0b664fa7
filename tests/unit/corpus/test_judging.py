"""Before a run it is said whether its model can be judged."""

import pytest

from ropewalk.corpus.judging import too_few_to_judge


@pytest.mark.parametrize(
    ("documents", "share", "words"),
    [
        (25, 0.2, "of 25 about 5 will be held out and the gate needs 20"),
        (25, 0.03, "have at least 100 documents"),
        (60, 0.2, "have at least 100 documents, or set evaluation.held_out_fraction to 0.37"),
        (44, 0.4, "of 44 about 17 will be held out"),
        (1, 0.03, "of 1 about 1 will be held out"),
    ],
)
def test_too_few_documents_are_counted_with_what_is_needed(documents: int, share: float, words: str) -> None:
    assert words in too_few_to_judge(documents, share)


@pytest.mark.parametrize(("documents", "share"), [(100, 0.03), (60, 0.37), (10_000, 0.01)])
def test_enough_documents_need_no_words(documents: int, share: float) -> None:
    assert too_few_to_judge(documents, share) == ""
