from ropewalk.evaluator.domain.promotions import Promotions
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ModelPromoted, ModelRolledBack
from ropewalk.events.serving import ModelRetired


def a_promotion(version: int, model: str = "pycode") -> ModelPromoted:
    return ModelPromoted(
        run_id=f"r-{version}",
        model=model,
        model_version=version,
        alias="production",
        checkpoint_id=f"r-{version}-1-1",
        export_uri=f"exports/{version}",
        manifest_sha256="0",
        evaluation_uri="e",
    )


def a_retirement(version: int, model: str = "pycode") -> ModelRetired:
    return ModelRetired(run_id=f"r-{version}", model=model, model_version=version)


def opponent(*facts: Message, candidate: str = "mine") -> ModelPromoted | None:
    known = Promotions()
    for fact in facts:
        known.add(fact)
    return known.production("pycode", candidate)


def test_the_newest_promoted_version_of_the_model_is_the_opponent() -> None:
    assert opponent() is None
    assert opponent(a_promotion(1), a_promotion(2), a_promotion(3, "other")) == a_promotion(2)


def test_a_model_that_was_retired_is_no_opponent_and_one_that_was_superseded_does_not_hide_the_newest() -> None:
    promoted = (a_promotion(1), a_promotion(2))
    assert opponent(*promoted, a_retirement(1)) == a_promotion(2)
    assert opponent(*promoted, a_retirement(1), a_retirement(2)) is None
    assert opponent(*promoted, a_retirement(2, "other")) == a_promotion(2)


def test_a_candidate_that_was_promoted_before_is_not_its_own_opponent() -> None:
    promoted = (a_promotion(1), a_promotion(2), a_promotion(2), a_promotion(3))
    assert opponent(*promoted, candidate="r-3-1-1") == a_promotion(2)
    assert opponent(a_promotion(1), candidate="r-1-1-1") is None
    assert len([one for one in promoted if opponent(*promoted, candidate=one.checkpoint_id)]) == 4


def test_after_a_rollback_the_version_that_came_back_is_the_opponent() -> None:
    back = ModelRolledBack.model_validate(a_promotion(1).model_dump() | {"from_version": 2})
    assert opponent(a_promotion(1), a_promotion(2), a_retirement(1), back, a_retirement(2)) == back
