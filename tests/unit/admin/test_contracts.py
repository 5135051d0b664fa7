"""What the contracts promise, the seven services bind: a row of `listens` has a handler."""

import importlib
from collections.abc import Iterator

import pytest

from ropewalk.admin.contracts import CONSUMERS, SERVICE_USERS
from ropewalk.events.consumers import ConsumerSpec


def bound() -> Iterator[ConsumerSpec]:
    for name in SERVICE_USERS:
        package = f"ropewalk.{name.replace('-', '_')}"
        settings = importlib.import_module(f"{package}.settings").Settings()
        yield from importlib.import_module(f"{package}.app").build(settings).consumers()


@pytest.fixture
def said(tmp_path, monkeypatch) -> list[ConsumerSpec]:
    monkeypatch.setenv("ROPEWALK_STATE_DIR", str(tmp_path))
    return list(bound())


def test_every_consumer_of_the_contracts_is_bound_by_its_service_and_no_other(said: list[ConsumerSpec]) -> None:
    promised = {spec.durable: spec for spec in CONSUMERS}
    assert {spec.durable: spec for spec in said} == promised, "a row of a contract without handler, or the reverse"
    assert len({(spec.stream, spec.durable) for spec in CONSUMERS}) == len(CONSUMERS) == len(said)
