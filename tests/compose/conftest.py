"""A stack of compose.yaml that runs: `make compose-test` starts one. Without it these tests are skipped."""

from collections.abc import Iterator

import pytest
from parts.compose_stack import IS_ASKED_FOR, ComposeStack, running_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """The one that runs."""
    if not IS_ASKED_FOR:
        pytest.skip("no stack in containers: `make compose-test` starts one")
    yield from running_stack(tmp_path_factory.mktemp("compose"))
