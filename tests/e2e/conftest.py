"""The stack that the tests end to end talk to: embedded, or with ROPEWALK_TEST_STACK=compose one in containers.

The second one is what `make compose-up` started; ROPEWALK_TEST_ENV names its `.env` if that is another file.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from parts.compose_stack import IS_ASKED_FOR, running_stack
from parts.embedded_stack import EmbeddedStack
from parts.user_stack import UserStack

from ropewalk.events.checkpoint import ModelPromoted
from ropewalk.events.run import RunCompleted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`@pytest.mark.embedded("why")` is about the embedded stack alone."""
    for item in items:
        if IS_ASKED_FOR and (mark := item.get_closest_marker("embedded")):
            item.add_marker(pytest.mark.skip(f"only embedded: {mark.args[0]}"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserStack]:
    """The stack for all tests."""
    if IS_ASKED_FOR:
        yield from running_stack(tmp_path_factory.mktemp("compose"))
    else:
        yield from _embedded(tmp_path_factory)


def _embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserStack]:
    """On a machine where the usual ports of the bus and the endpoint are taken."""
    with socket.socket() as taken_nats, socket.socket() as taken_openai:
        for taken, port in ((taken_nats, 4222), (taken_openai, 8080)):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # somebody else has it: taken all the same
                taken.bind(("127.0.0.1", port))
                taken.listen()
        stack = EmbeddedStack(tmp_path_factory.mktemp("state"))
        stack.up()
        yield stack
        stack.down()


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    """A stack that was not started yet, with a state folder of its own."""
    stack = EmbeddedStack(tmp_path / "state")
    yield stack
    stack.down()


@pytest.fixture(scope="session")
def small_recipe() -> dict[str, Any]:
    """The main job, small, under a model name that no other test promotes."""
    return {"base": "python-stdlib-tiny", "trials": 4, "promotion": {"model": "small"}}


@pytest.fixture(scope="session")
def promoted(stack: UserStack, small_recipe: dict[str, Any]) -> ModelPromoted:
    """A run submitted with plain nats-py, followed to its end; every module looks at this one."""

    async def publish() -> None:
        connection = await nats.connect(**stack.nats_options)
        body = json.dumps({"run_id": "small", "recipe": small_recipe}).encode()
        await connection.jetstream().publish("cmd.run.submit.v1.small", body)
        await connection.close()

    asyncio.run(publish())
    completed = stack.until("small", RunCompleted)
    assert completed.outcome == "promoted", stack.timeline("small")
    return stack.until("small", ModelPromoted)
