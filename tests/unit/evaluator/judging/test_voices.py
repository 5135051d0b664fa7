"""An endpoint's probabilities are a grade, its bare token is one, and what it does wrong is bounded."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from parts.judge_files import labelled, write_lines
from parts.writing_endpoint import a_writing_endpoint, completion

from ropewalk.evaluator.adapters.judging.examining import HearingOrder, examine
from ropewalk.evaluator.adapters.judging.voices import EndpointVoice, RecordedVoice
from ropewalk.stages.errors import StageError
from ropewalk.storage.local import LocalObjects
from ropewalk.tasksets.judges.definition import JudgeEndpoint
from ropewalk.tasksets.judges.prompt import JudgePrompt
from ropewalk.tasksets.judges.shelf import key_of, read_judge, store_judge

PROMPTS = [JudgePrompt((("user", f"Grade {number}"),), (0, 1, 2, 3)) for number in range(3)]
TOPS = [{"token": " 2", "logprob": -0.1}, {"token": "3", "logprob": -2.5}, {"token": "x" * 99, "logprob": -9.0}]


def a_voice(url: str, *, logprobs: bool = True, key: str = "") -> EndpointVoice:
    return EndpointVoice(JudgeEndpoint(url=url, model="big", logprobs=logprobs), key, time.monotonic() + 30)


def test_log_probabilities_of_the_next_token_are_read_and_the_key_is_sent() -> None:
    told = []
    with a_writing_endpoint() as endpoint:
        endpoint.body = json.dumps(
            {
                "choices": [{"message": {"content": "2"}, "logprobs": {"content": [{"top_logprobs": TOPS}]}}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 1},
            }
        ).encode()
        found = a_voice(endpoint.url, key="k").ask(PROMPTS, lambda: told.append(1))
        headers, body = endpoint.asked[0]
    assert (len(found), len(told)) == (3, 3)
    assert found[0].next_token == {" 2": -0.1, "3": -2.5, "xxxxxxxx": -9.0}
    assert (found[0].prompt_tokens, found[0].is_certain) == (7, False)
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == "Bearer k"
    assert (body["logprobs"], body["max_tokens"], body["temperature"]) == (True, 1, 0)


def test_without_probabilities_one_token_is_the_grade() -> None:
    with a_writing_endpoint(lambda _: " 3") as endpoint:
        (found,) = a_voice(endpoint.url, logprobs=False).ask(PROMPTS[:1], lambda: None)
        assert "logprobs" not in endpoint.asked[0][1]
    assert (found.next_token, found.is_certain) == ({"3": 0.0}, True)


def test_an_endpoint_that_refuses_or_breaks_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropewalk.evaluator.adapters.judging.voices._PAUSE_S", 0.0)
    with a_writing_endpoint() as endpoint:
        endpoint.status, endpoint.body = 400, b"no logprobs here"
        with pytest.raises(StageError, match="say `logprobs: false`"):
            a_voice(endpoint.url).ask(PROMPTS, lambda: None)
        endpoint.status, endpoint.body = 503, b"later"
        (told,) = a_voice(endpoint.url).ask(PROMPTS[:1], lambda: None)
        assert (told.next_token, told.num_retries) == ({}, 2)
        with pytest.raises(StageError, match="does not answer"):
            a_voice(endpoint.url).ask(PROMPTS * 3, lambda: None)
        endpoint.status, endpoint.body = 200, completion("3")
        with pytest.raises(TimeoutError):
            EndpointVoice(JudgeEndpoint(url=endpoint.url, model="m"), "", time.monotonic() - 1).ask(
                PROMPTS, lambda: None
            )


def test_a_judge_that_is_too_slow_is_told_how_far_it_came(tmp_path: Path) -> None:
    with a_writing_endpoint(lambda _: "3") as endpoint:
        labels = write_lines(tmp_path / "labels.jsonl", labelled(20))
        who = f"endpoint: {{url: '{endpoint.url}', model: big, logprobs: false}}"
        (tmp_path / "judge.yaml").write_text(f"id: slow\nuse_case: tests\n{who}\n")
        judge, objects = read_judge(tmp_path / "judge.yaml", labels), LocalObjects(tmp_path / "store")
        store_judge(objects, judge, tmp_path / "scratch")
        folder = objects.fetch(key_of(judge.content))
        order = HearingOrder(judge=folder, model=None, digest="", key="", minutes=0.0, threads=1)
        with pytest.raises(StageError, match="after 0 minutes 0 of 120 answers were there"):
            examine(order, lambda _: None)
        heard = examine(replace(order, minutes=1.0), lambda _: None)
    assert heard.card is not None
    assert (heard.card.tells_probabilities, heard.card.num_calls, heard.card.verdict) == (False, 120, "reject")
    assert len(heard.said.splitlines()) == 100, "asked again is the same question"


def test_a_recording_answers_what_it_heard_and_nothing_else() -> None:
    line = json.dumps({"prompt": PROMPTS[0].digest, "next_token": {"2": -0.5}}).encode()
    voice = RecordedVoice(line, "d")
    assert voice.ask(PROMPTS[:1], lambda: None)[0].next_token == {"2": -0.5}
    with pytest.raises(StageError, match="no answer to 2 of 3 questions"):
        voice.ask(PROMPTS, lambda: None)
    with pytest.raises(StageError, match="a line that is no answer"):
        RecordedVoice(b'{"prompt": 1}', "d")
