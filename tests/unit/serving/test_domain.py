"""Routes, version numbers, keys and admission, with plain values."""

import hashlib
from collections.abc import Sequence

import pytest

from ropewalk.events.base import Message
from ropewalk.events.serving import ModelDeployed, ModelDeploying, ModelRetired, TrafficShifted
from ropewalk.serving.domain.admission import Admission, FullError
from ropewalk.serving.domain.keys import KeyFileError, KeyRing
from ropewalk.serving.domain.routes import fold, version_number


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


def retired(number: int) -> ModelRetired:
    return ModelRetired(run_id="r", model="demo", model_version=number)


def names(*messages: Message) -> dict[str, int]:
    return {name: version.number for name, version in fold(messages).names().items()}


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
    assert fold(log).resolve("demo") is None
    assert fold(log).resolve("demo@x") is None


@pytest.mark.parametrize(
    ("log", "checkpoint", "number"),
    [([], "c1", 1), ([deployed(1), deployed(2)], "c9", 3), ([deployed(1), deployed(2)], "c1", 1)],
)
def test_a_checkpoint_keeps_its_number_and_a_new_one_gets_the_next(
    log: Sequence[Message], checkpoint: str, number: int
) -> None:
    assert version_number([*log, deployed(7, "other")], "demo", checkpoint) == number


def test_a_number_that_was_only_announced_is_taken_too() -> None:
    announced = ModelDeploying(run_id="r", model="demo", model_version=1, checkpoint_id="c1")
    assert version_number([announced], "demo", "c2") == 2


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
