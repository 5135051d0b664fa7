import pytest

from ropewalk.checkpoint_manager.settings import Settings


def test_the_internal_key_is_the_one_that_serving_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEWALK_SERVING_INTERNAL_KEY", "shared")
    assert Settings().endpoint.internal_key == "shared"


def test_the_internal_key_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEWALK_SERVING_INTERNAL_KEY", "shared-secret")
    assert "shared-secret" not in repr(Settings())
