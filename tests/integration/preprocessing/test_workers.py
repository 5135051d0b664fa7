"""What a task raises arrives as what it is: a sentence as a sentence, an error as that error, without Ray around it."""

import pytest

from ropewalk.preprocessing.adapters.workers import Workers
from ropewalk.runtime.outcome import StageError


def refuse(sentence: str) -> tuple[int, float]:
    raise StageError(sentence)


def stumble(key: str) -> tuple[int, float]:
    raise KeyError(key)


def fill(number: int) -> tuple[int, float]:
    raise OSError(number, "No space left on device")


def test_errors_of_tasks_arrive_as_they_are() -> None:
    with Workers("", 1) as workers:
        with pytest.raises(StageError, match=r"^the document a\.txt cannot be read$"):
            workers.all(refuse, [("the document a.txt cannot be read",)])
        with pytest.raises(KeyError, match=r"^'which'$"):
            workers.all(stumble, [("which",)])
        with pytest.raises(OSError, match="No space") as raised:
            workers.all(fill, [(28,)])
        assert raised.value.errno == 28
