"""Routes, version numbers, keys and admission, with plain values."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from ropewalk.events.base import Message
from ropewalk.events.serving import ModelDeployed, ModelDeploying, ModelRetired, TrafficShifted
from ropewalk.serving.domain.admission import Admission, FullError
from ropewalk.serving.domain.keys import KeyFileError, KeyRing
from ropewalk.serving.domain.routes import Routes, Told


def told(messages: Iterable[Message]) -> Told:
    """What is known after these facts."""
    known = Told()
    for message in messages:
        known.add(message)
    return known


def fold(messages: Iterable[Message]) -> Routes:
    """The routes after these facts."""
    return told(messages).routes


def deployed(number: int, model: str = "demo") -> ModelDeployed:
    return ModelDeployed(
        run_id=f"run-{number}",
        model=model,
        model_version=number,
        checkpoint_id=f"c{number}",
        checkpoint_uri="",
        export_uri=f"exports/{number}",
        evaluation_uri="",
        openai_url="",
        triton_grpc="",
        triton_model=f"{model}-v{number}",
        load_s=0.1,
    )


def shifted(number: int, alias: str = "production", model: str = "demo") -> TrafficShifted:
    return TrafficShifted(
        run_id="r", model=model, alias=alias, model_version=number, previous_version=0, checkpoint_id=f"c{number}"
    )


def split(weights: dict[int, int], model: str = "demo") -> TrafficShifted:
    targets = [{"model_version": number, "weight": weight} for number, weight in weights.items()]
    return TrafficShifted.model_validate(
        shifted(max(weights, key=weights.__getitem__), model=model).model_dump() | {"targets": targets}
    )


def retired(number: int) -> ModelRetired:
    return ModelRetired(run_id="r", model="demo", model_version=number)


def names(*messages: Message) -> dict[str, int]:
    """Each name with the one version behind it."""
    return {name: version.number for name, [version] in fold(messages).names().items()}


def test_a_candidate_answers_only_under_its_number() -> None:
    assert names(deployed(1)) == {"demo@1": 1}


def test_the_alias_moves_and_a_retired_version_is_gone() -> None:
    log = [deployed(1), shifted(1), deployed(2), shifted(2), retired(1)]
    assert names(*log) == {"demo": 2, "demo@2": 2}
    assert names(*log[:3]) == {"demo": 1, "demo@1": 1, "demo@2": 2}


def test_doubled_facts_change_nothing() -> None:
    log = [deployed(1), shifted(1), deployed(2), shifted(2), retired(1)]
    assert fold(message for message in log for _ in range(2)) == fold(log)


def test_models_and_aliases_do_not_mix() -> None:
    log = [deployed(1), deployed(1, "other"), shifted(1, "canary"), shifted(1, model="other")]
    assert names(*log) == {"demo@1": 1, "demo:canary": 1, "other": 1, "other@1": 1}
    assert fold(log).resolve("demo", "k") is None
    assert fold(log).resolve("demo@x", "k") is None


KEYS = [f"key-{number}" for number in range(20_000)]


def answers(routes: Routes, name: str = "demo") -> list[int]:
    """The version that each key gets."""
    return [version.number for key in KEYS if (version := routes.resolve(name, key))]


@pytest.mark.parametrize("weights", [{1: 1, 2: 1}, {1: 9, 2: 1}, {1: 199, 2: 1}, {1: 5, 2: 3, 3: 2}])
def test_keys_are_shared_out_by_weight(weights: dict[int, int]) -> None:
    """Within five standard deviations of the binomial distribution; the keys and so the outcome are always the same."""
    got = Counter(answers(fold([*map(deployed, weights), split(weights)])))
    for number, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(got[number] - len(KEYS) * share) < 5 * math.sqrt(len(KEYS) * share * (1 - share))


def test_a_key_always_gets_the_same_version_and_models_are_shared_out_independently() -> None:
    versions = [deployed(1), deployed(2), deployed(1, "other"), deployed(2, "other")]
    routes = fold([*versions, split({1: 1, 2: 1}), split({1: 1, 2: 1}, "other")])
    assert answers(routes) == answers(fold([*versions, split({2: 1, 1: 1})]))
    both = zip(answers(routes), answers(routes, "other"), strict=True)
    assert 9_500 < sum(one == other for one, other in both) < 10_500


def test_keys_only_move_to_a_version_that_gained_and_away_from_one_that_is_retired() -> None:
    versions = [deployed(1), deployed(2), deployed(3)]
    few, more = fold([*versions, split({1: 9, 2: 1})]), fold([*versions, split({1: 9, 2: 3})])
    moved = {pair for pair in zip(answers(few), answers(more), strict=True) if pair[0] != pair[1]}
    assert moved == {(1, 2)}
    all_three = [*versions, split({1: 5, 2: 3, 3: 2})]
    left = zip(answers(fold(all_three)), answers(fold([*all_three, retired(2)])), strict=True)
    assert {before for before, after in left if before != after} == {2}


def test_a_fact_of_before_there_were_weights_is_one_target_of_weight_1() -> None:
    written = json.loads(shifted(2).model_dump_json())
    assert written.pop("targets") == [{"model_version": 2, "weight": 1}]
    read = TrafficShifted.model_validate(written)
    assert set(answers(fold([deployed(1), deployed(2), read]))) == {2}
    assert fold([deployed(2), read]).previous("demo", "production") == 2


@pytest.mark.parametrize(
    ("targets", "says"),
    [
        ([{"model_version": 0}], "targets.0.model_version"),
        ([{"model_version": -1}], "targets.0.model_version"),
        ([{"model_version": True}], "targets.0.model_version"),
        ([{"model_version": 2, "weight": True}], "targets.0.weight"),
        ([{"model_version": 2}, {"model_version": 2, "weight": 3}], "a version twice"),
        ([{"model_version": 1}], "model_version 2 is not the heaviest"),
        ([{"model_version": 1, "weight": 3}, {"model_version": 2}], "model_version 2 is not the heaviest"),
    ],
)
def test_a_shift_to_senseless_targets_is_refused(targets: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        TrafficShifted.model_validate_json(json.dumps(json.loads(shifted(2).model_dump_json()) | {"targets": targets}))


def test_a_shift_to_unknown_versions_only_leaves_the_name_where_it_is() -> None:
    assert names(deployed(1), shifted(1), split({7: 1, 8: 2})) == {"demo": 1, "demo@1": 1}
    assert names(deployed(1), deployed(2), shifted(2), split({1: 1, 8: 2})) == {"demo": 1, "demo@1": 1, "demo@2": 2}


def test_a_deployment_of_before_there_were_kinds_is_on_triton() -> None:
    written = json.loads(deployed(1).model_dump_json())
    for name in ("backend", "backend_address", "backend_model"):
        del written[name]
    version = fold([ModelDeployed.model_validate(written | {"triton_grpc": "host:8001"})]).versions["demo", 1]
    assert (version.backend, version.address, version.target) == ("triton", "host:8001", "demo-v1")


def test_a_weight_must_be_a_share() -> None:
    for weights in ({1: 0}, {1: -1}, dict.fromkeys(range(1, 18), 1)):
        with pytest.raises(ValidationError, match="targets"):
            split(weights)


@pytest.mark.parametrize(
    ("log", "checkpoint", "number"),
    [([], "c1", 1), ([deployed(1), deployed(2)], "c9", 3), ([deployed(1), deployed(2)], "c1", 1)],
)
def test_a_checkpoint_keeps_its_number_and_a_new_one_gets_the_next(
    log: Sequence[Message], checkpoint: str, number: int
) -> None:
    given = told([*log, deployed(7, "other")])
    assert (given.version_number("demo", checkpoint) or given.next_number("demo")) == number


def test_a_number_that_was_only_announced_is_taken_too() -> None:
    announced = ModelDeploying(run_id="r", model="demo", model_version=1, checkpoint_id="c1")
    assert told([announced]).next_number("demo") == 2


def test_of_two_that_take_one_number_the_first_has_it() -> None:
    def announced(number: int, checkpoint: str) -> Message:
        return ModelDeploying(run_id="r", model="demo", model_version=number, checkpoint_id=checkpoint)

    log = [announced(1, "c1"), announced(1, "c2")]
    assert (told(log).version_number("demo", "c1"), told(log).version_number("demo", "c2")) == (1, None)
    assert told([*log, announced(2, "c2")]).version_number("demo", "c2") == 2


def test_keys_are_known_by_hash_from_settings_and_file() -> None:
    digest = hashlib.sha256(b"file-key").hexdigest()
    ring = KeyRing.of({"demo": "demo-key", "internal": ""}, f"# people\nalice {digest}\n")
    assert ring.key_id("Bearer demo-key") == "demo"
    assert ring.key_id("bearer file-key") == "alice"
    assert [ring.key_id(header) for header in ("", "Bearer ", "Bearer x", "demo-key")] == [None] * 4
    assert "demo-key" not in repr(ring)


def test_a_broken_line_of_the_keys_file_is_named() -> None:
    with pytest.raises(KeyFileError, match="line 2"):
        KeyRing.of({}, "\nalice plain-text-key")


def test_admission_is_bounded_and_counts_down() -> None:
    admission = Admission(1)
    with admission.admitted("a"), pytest.raises(FullError, match="1 requests"), admission.admitted("b"):
        assert admission.in_flight("a") == 1
    assert admission.in_flight("a") == 0
