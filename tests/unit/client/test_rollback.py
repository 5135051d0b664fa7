"""Which version an alias goes back to."""

from collections.abc import Callable
from typing import Any

import pytest

from ropewalk.bus.codec import Stored
from ropewalk.client.errors import ClientError
from ropewalk.client.rollback import Rollback, plan_rollback
from ropewalk.events.base import Message
from ropewalk.events.serving import ModelDeployed, ModelRetired, TrafficShifted
from ropewalk.projections.projector import Projector

Log = Callable[..., list[Stored[Message]]]


def deployed(version: int, *, again: bool = False) -> ModelDeployed:
    return ModelDeployed(
        run_id=f"r{version}",
        model="ant",
        model_version=version,
        checkpoint_id=f"c{version}",
        checkpoint_uri="u",
        export_uri="e",
        evaluation_uri="v",
        openai_url="o",
        triton_grpc="t",
        triton_model="m",
        load_s=1.0,
        again=again,
    )


def shifted(version: int, previous: int) -> TrafficShifted:
    return TrafficShifted(
        run_id=f"r{version}",
        model="ant",
        alias="production",
        model_version=version,
        previous_version=previous,
        checkpoint_id=f"c{version}",
    )


def retired(version: int, *, superseded: bool = True) -> ModelRetired:
    return ModelRetired(run_id=f"r{version}", model="ant", model_version=version, superseded=superseded)


def promotions(number: int) -> list[Message]:
    """Versions from 1, each promoted in the place of the one before."""
    facts: list[Message] = []
    for version in range(1, number + 1):
        facts += [deployed(version), shifted(version, version - 1)]
        facts += [retired(version - 1)] if version > 1 else []
    return facts


def planned(log: Log, facts: list[Message], name: str = "ant", to: int = 0) -> Rollback:
    projector = Projector(("registry",))
    for stored in log(*facts):
        projector.apply(stored)
    return plan_rollback({key: projector.view("registry", key) for key in projector.keys("registry")}, name, to)


def test_an_alias_goes_back_to_the_version_before_or_the_one_that_is_named(log: Log) -> None:
    facts = promotions(3)
    before, named = planned(log, facts), planned(log, facts, to=1)
    assert (before.from_version, before.to_version, before.run_id) == (3, 2, "r2")
    assert (named.from_version, named.to_version) == (3, 1)


def test_a_second_rollback_goes_further_back_and_not_forward_again(log: Log) -> None:
    facts = [*promotions(3), deployed(2, again=True), shifted(2, 3), retired(3)]
    assert planned(log, facts).to_version == 1
    assert planned(log, facts, to=3).to_version == 3


@pytest.mark.parametrize(
    ("facts", "asked", "sentence"),
    [
        ([], {}, "no version of 'ant' was ever 'production'"),
        (promotions(1), {}, "ant@1 is the first version that was production, so there is none to go back to"),
        (promotions(2), {"to": 2}, "ant@2 is production already; able to return: --to 1"),
        (promotions(2), {"to": 7}, "ant@7 was never production, so it cannot go back to it; able to return: --to 1"),
        ([*promotions(2), deployed(1), retired(1, superseded=False)], {}, "ant@1 is retired, so production cannot"),
        ([*promotions(3), retired(1, superseded=False)], {"to": 1}, "ant@1 is retired, so production cannot"),
        (promotions(2), {"name": "ant:canary"}, "no version of 'ant' was ever 'canary'"),
    ],
)
def test_what_cannot_go_back_is_refused_in_a_sentence(
    log: Log, facts: list[Message], asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ClientError) as refused:
        planned(log, facts, **asked)
    assert sentence in str(refused.value)
