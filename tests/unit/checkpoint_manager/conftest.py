"""An object store for handlers: a real folder."""

from pathlib import Path

import pytest

from ropewalk.storage.local import LocalObjects


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")
