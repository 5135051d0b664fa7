"""What a second attempt would end in again, and how it is told."""

import errno
import json

import pytest
from pydantic import TypeAdapter, ValidationError

from ropewalk.stages.faults import in_one_line, is_of_the_work
from ropewalk.storage.manifest import ManifestError
from ropewalk.storage.objects import ObjectNotFoundError


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        IndexError(),
        TypeError("x"),
        ZeroDivisionError(),
        RecursionError(),
        AssertionError(),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        json.JSONDecodeError("x", "y", 0),
    ],
)
def test_what_data_brings_about_is_of_the_work(error: Exception) -> None:
    assert is_of_the_work(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "full"),
        ConnectionError(),
        TimeoutError(),
        MemoryError(),
        RuntimeError("CUDA"),
        ManifestError("key", "torn"),
        ObjectNotFoundError("gone"),
        KeyboardInterrupt(),
    ],
)
def test_what_machines_and_stores_bring_about_is_not(error: BaseException) -> None:
    assert not is_of_the_work(error)


def test_an_error_of_many_lines_becomes_one_without_escapes() -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(int).validate_python("\x1b[31m no\nnumber" * 1000)
    line = in_one_line(raised.value)
    assert line.isprintable()
    assert line.startswith("ValidationError: ")
    assert len(line) < 1200


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert in_one_line(KeyError("x")) == "KeyError: 'x'"
