"""Which models there are, as the log tells of them."""

from collections.abc import Callable

import pytest

from ropewalk.bus.codec import Stored
from ropewalk.cli.commands.models import _facts
from ropewalk.client.errors import ClientError
from ropewalk.client.models import ModelVersion, answering, chosen, newest_promoted, versions_of
from ropewalk.events.base import Message
from ropewalk.events.serving import ModelDeployed, ModelRetired, RouteTarget, TrafficShifted
from ropewalk.projections.projector import Projector

Log = Callable[..., list[Stored[Message]]]


def deployed(model: str, version: int) -> ModelDeployed:
    return ModelDeployed(
        run_id=f"{model}-{version}",
        model=model,
        model_version=version,
        checkpoint_id=f"c{version}",
        checkpoint_uri="u",
        export_uri="e",
        evaluation_uri="v",
        openai_url="http://here/v1",
        triton_grpc="t",
        triton_model="m",
        load_s=1.0,
    )


def shifted(model: str, version: int, alias: str = "production") -> TrafficShifted:
    return TrafficShifted(
        run_id=f"{model}-{version}",
        model=model,
        alias=alias,
        model_version=version,
        previous_version=version - 1,
        checkpoint_id=f"c{version}",
    )


def retired(model: str, version: int) -> ModelRetired:
    return ModelRetired(run_id=f"{model}-{version}", model=model, model_version=version)


def versions(log: Log, *messages: Message) -> list[ModelVersion]:
    projector = Projector(("registry",))
    for stored in log(*messages):
        projector.apply(stored)
    return versions_of({key: projector.view("registry", key) for key in projector.keys("registry")})


def test_the_newest_promotion_counts_and_not_the_alphabet(log: Log) -> None:
    found = versions(log, deployed("zebra", 1), shifted("zebra", 1), deployed("ant", 1), shifted("ant", 1))
    assert newest_promoted(found).full_name == "ant@1"  # type: ignore[union-attr]
    found = versions(log, deployed("ant", 1), shifted("ant", 1), deployed("zebra", 1), shifted("zebra", 1))
    assert newest_promoted(found).full_name == "zebra@1"  # type: ignore[union-attr]


def test_versions_that_share_a_name_say_their_shares_and_the_heaviest_is_the_newest(log: Log) -> None:
    targets = (RouteTarget(model_version=1), RouteTarget(model_version=2, weight=3))
    split = shifted("ant", 2).model_copy(update={"targets": targets})
    found = versions(log, deployed("ant", 1), deployed("ant", 2), split)
    assert [each.names_with_shares for each in found] == [("ant (1 of 4)",), ("ant (3 of 4)",)]
    assert newest_promoted(found) == answering(found, "ant") == found[1]
    left = versions(log, deployed("ant", 1), deployed("ant", 2), split, retired("ant", 1))
    assert [each.names_with_shares for each in left] == [(), ("ant",)]
    alone = versions(log, deployed("ant", 1), shifted("ant", 1))[0]
    assert (alone.names_with_shares, alone.shares) == (("ant",), {})


def test_what_was_deployed_and_not_promoted_is_not_the_newest(log: Log) -> None:
    found = versions(log, deployed("ant", 1), shifted("ant", 1), deployed("ant", 2))
    assert newest_promoted(found).full_name == "ant@1"  # type: ignore[union-attr]


def test_a_retired_version_answers_under_no_name_and_the_one_before_is_the_newest(log: Log) -> None:
    facts = [deployed("ant", 1), shifted("ant", 1), deployed("bee", 1), shifted("bee", 1), retired("bee", 1)]
    found = versions(log, *facts)
    assert newest_promoted(found).full_name == "ant@1"  # type: ignore[union-attr]
    assert [(each.full_name, each.answers, each.names) for each in found] == [
        ("ant@1", True, ("ant",)),
        ("bee@1", False, ()),
    ]
    assert found[1].retired_at


def test_a_superseded_version_may_return_until_it_is_retired_by_hand(log: Log) -> None:
    superseded = retired("ant", 1).model_copy(update={"superseded": True})
    facts = [deployed("ant", 1), deployed("ant", 2), superseded]
    assert [each.may_return for each in versions(log, *facts)] == [True, True]
    barred = versions(log, *facts, retired("ant", 1))
    assert [each.may_return for each in barred] == [False, True]
    assert dict(_facts(versions(log, *facts)[0]))["answers as"] == "nothing: it was superseded and can come back"
    assert dict(_facts(barred[0]))["answers as"] == "nothing: it is retired"


def test_without_a_promotion_there_is_no_newest(log: Log) -> None:
    assert newest_promoted(versions(log, deployed("ant", 1))) is None


def test_an_alias_of_another_name_is_part_of_the_name(log: Log) -> None:
    (version,) = versions(log, deployed("ant", 1), shifted("ant", 1, "canary"), shifted("ant", 1))
    assert version.names == ("ant:canary", "ant")


def test_a_word_means_a_version_an_alias_or_all_of_a_model(log: Log) -> None:
    facts = [deployed("ant", 1), shifted("ant", 1), deployed("ant", 2), shifted("ant", 2, "canary")]
    found = versions(log, *facts)
    assert [each.version for each in chosen(found, "ant@2")] == [2]
    assert [each.version for each in chosen(found, "ant:canary")] == [2]
    assert [each.version for each in chosen(found, "ant")] == [1, 2]
    assert [each.version for each in chosen(found, "ant:production")] == [1]
    with pytest.raises(ClientError, match=r"there is no model 'bee\\x1b'; models: ant@1, ant@2$"):
        chosen(found, "bee\x1b")


def test_one_answers_under_a_name_and_retired_ones_are_not_named_as_there(log: Log) -> None:
    facts = [deployed("ant", 1), shifted("ant", 1), deployed("ant", 2), shifted("ant", 2), retired("ant", 1)]
    found = versions(log, *facts)
    assert [answering(found, name).version for name in ("ant", "ant:production", "ant@2")] == [2, 2, 2]
    for name in ("ant@1", "ant:canary", "bee"):
        with pytest.raises(ClientError, match=rf"as '{name}'; models: ant@2 \(1 retired: `ropewalk models list --all`"):
            answering(found, name)
