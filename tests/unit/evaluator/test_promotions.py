from ropewalk.evaluator.domain.promotions import Promotions
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ModelPromoted, ModelRolledBack
from ropewalk.events.serving import ModelRetired, TrafficShifted


def a_promotion(version: int, model: str = "pycode", alias: str = "production") -> ModelPromoted:
    return ModelPromoted(
        run_id=f"r-{version}",
        model=model,
        model_version=version,
        alias=alias,
        checkpoint_id=f"r-{version}-1-1",
        export_uri=f"exports/{version}",
        manifest_sha256="0",
        evaluation_uri="e",
    )


def a_retirement(version: int, model: str = "pycode") -> ModelRetired:
    return ModelRetired(run_id=f"r-{version}", model=model, model_version=version)


def a_rollback(version: int, before: int) -> ModelRolledBack:
    return ModelRolledBack.model_validate(a_promotion(version).model_dump() | {"from_version": before})


def a_shift(version: int, before: int, alias: str = "production") -> TrafficShifted:
    return TrafficShifted(
        run_id=f"r-{version}",
        model="pycode",
        alias=alias,
        model_version=version,
        previous_version=before,
        checkpoint_id=f"r-{version}-1-1",
    )


def opponent(*facts: Message, candidate: str = "mine", alias: str = "production") -> int:
    """The version to beat; 0: none."""
    known = Promotions()
    for fact in facts:
        known.add(fact)
    found = known.opponent("pycode", alias, candidate)
    return found.model_version if found else 0


def test_the_version_that_was_promoted_last_is_the_opponent() -> None:
    assert opponent() == 0
    assert opponent(a_promotion(1), a_promotion(2), a_promotion(3, "other")) == 2


def test_a_model_that_was_retired_is_no_opponent_and_one_that_was_superseded_does_not_hide_the_newest() -> None:
    promoted = (a_promotion(1), a_promotion(2))
    assert opponent(*promoted, a_retirement(1)) == 2
    assert opponent(*promoted, a_retirement(1), a_retirement(2)) == 0
    assert opponent(*promoted, a_retirement(2, "other")) == 2


def test_a_candidate_that_was_promoted_before_is_not_its_own_opponent() -> None:
    promoted = (a_promotion(1), a_promotion(2), a_promotion(2), a_promotion(3))
    assert opponent(*promoted, candidate="r-3-1-1") == 2
    assert opponent(a_promotion(1), candidate="r-1-1-1") == 0
    assert len([one for one in promoted if opponent(*promoted, candidate=one.checkpoint_id)]) == 4


def test_after_a_rollback_the_version_that_came_back_is_the_opponent() -> None:
    before = (a_promotion(1), a_promotion(2), a_retirement(1))
    assert opponent(*before, a_rollback(1, 2), a_shift(1, 2), a_retirement(2)) == 1


def test_a_rollback_that_serving_refused_changes_no_opponent() -> None:
    """The version did not load: the alias stayed where it was."""
    assert opponent(a_promotion(1), a_promotion(2), a_retirement(1), a_rollback(1, 2)) == 2


def test_the_opponent_is_what_the_runs_own_alias_points_to_and_production_where_nothing_carries_it() -> None:
    facts = (a_promotion(1), a_promotion(2, alias="canary"))
    assert (opponent(*facts), opponent(*facts, alias="canary"), opponent(*facts, alias="trial")) == (1, 2, 1)
    assert opponent(*facts, a_shift(1, 2, alias="canary"), alias="canary") == 1
