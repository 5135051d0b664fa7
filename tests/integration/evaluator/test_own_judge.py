"""A model of ours grades from its logits, the same whether or not it kept what it had read."""

import time
from pathlib import Path

import pytest
import torch

from ropewalk.corpus.document import ChatMessage
from ropewalk.evaluator.adapters.judging.own_model import OwnModelVoice
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.stages.errors import StageError
from ropewalk.tasksets.judges.prompt import JudgePrompt

GRADES = (0, 1, 2, 3)
PROMPTS = [JudgePrompt((("user", f"Is {text} a sum?"),), GRADES) for text in ("one", "one and two", "two")]


@pytest.fixture
def folder(world) -> Path:
    return world.objects.fetch("exports/trained")


def a_voice(folder: Path, until: float = 60.0) -> OwnModelVoice:
    return OwnModelVoice(folder, "tiny", "d", time.monotonic() + until)


def test_a_grade_does_not_depend_on_what_was_asked_before(folder: Path) -> None:
    told = []
    together = a_voice(folder).ask([*PROMPTS, PROMPTS[0]], lambda: told.append(1))
    alone = [a_voice(folder).ask([each], lambda: None)[0] for each in [*PROMPTS, PROMPTS[0]]]
    assert len(told) == 4
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.next_token == pytest.approx(theirs.next_token, abs=1e-4)
    assert together[0].next_token != pytest.approx(together[2].next_token, abs=1e-4)


def test_the_grade_is_the_models_own_probability_of_the_digit(folder: Path) -> None:
    scored = ScoredModel(folder)
    ids = scored.prompt_ids([ChatMessage(role="user", content="Is one a sum?")]) + scored._encoder.text("Grade: 0")
    with torch.inference_mode():
        logprobs = scored.model(torch.tensor([ids[:-1]])).logits[0, -1].log_softmax(-1)
    (told,) = a_voice(folder).ask(PROMPTS[:1], lambda: None)
    assert told.next_token["0"] == pytest.approx(float(logprobs[ids[-1]]), abs=1e-4)
    assert set(told.next_token) == {"0", "1", "2", "3"}


def test_what_does_not_fit_has_no_grade_and_time_ends(folder: Path, tmp_path: Path) -> None:
    long = JudgePrompt((("user", "sum " * 200),), GRADES)
    first, second = a_voice(folder).ask([long, PROMPTS[0]], lambda: None)
    assert (first.next_token, len(second.next_token)) == ({}, 4)
    with pytest.raises(TimeoutError):
        a_voice(folder, until=-1.0).ask(PROMPTS, lambda: None)
    with pytest.raises(StageError, match="cannot be loaded as a judge"):
        OwnModelVoice(tmp_path, "nothing", "d", 0.0)
