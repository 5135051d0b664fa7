"""BLEU, chrF and ROUGE of a task set are those of sacrebleu and rouge-score, and are only shown."""

from types import SimpleNamespace

import pytest
import sacrebleu
from parts.task_set_files import write_task_set

from ropewalk.evaluator.domain.metrics.sets import rouge_l, sentence_bleu, sentence_chrf, set_metrics
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.ports import ExampleAnswer
from ropewalk.tasksets.errors import TaskSetError
from ropewalk.tasksets.shelf import read_task_set

PAIRS = [
    ("the cat sat on the mat", ["the cat is on the mat", "there is a cat on the mat"]),
    ("Die größeren Häuser stehen am Fluss.", ["Am Fluss stehen größere Häuser."]),
    ("return value + 1", ["return value + 1"]),
    ("", ["nothing was said"]),
    ("nothing in common", ["42"]),
]


def scored(metric, answer: str, right: list[str], *, fits: bool = True) -> float:
    said = ExampleAnswer(text=answer, prompt_tokens=1, answer_tokens=1, seconds=0.0, core_seconds=0.0, fits=fits)
    item = Item("i", "p", references=tuple(right))
    [found] = metric.score(SimpleNamespace(answers=lambda items: [said]), [item])
    return found.value


@pytest.mark.parametrize(("answer", "right"), PAIRS)
def test_bleu_and_chrf_of_an_item_are_those_of_sacrebleu(answer: str, right: list[str]) -> None:
    assert scored(sentence_bleu.METRIC, answer, right) == sacrebleu.sentence_bleu(answer, right).score
    assert scored(sentence_chrf.METRIC, answer, right) == sacrebleu.sentence_chrf(answer, right).score


@pytest.mark.parametrize(
    ("answer", "right", "wanted"),
    [  # by rouge-score 0.1.2, RougeScorer(["rougeL"]).score_multi(right, answer)
        ("the cat sat on the mat", ["the cat is on the mat", "there is a cat on the mat"], 0.8333333333333334),
        ("the gunman kill police", ["police killed the gunman", "police kill the gunman"], 0.5),
        ("Die größeren Häuser, 42!", ["Am Fluss stehen 42 größere Häuser."], 0.42857142857142855),
        ("", ["nothing was said"], 0.0),
    ],
)
def test_rouge_is_that_of_rouge_score_against_the_nearest_answer(answer: str, right: list[str], wanted: float) -> None:
    assert scored(rouge_l.METRIC, answer, right) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("metric", [sentence_bleu.METRIC, sentence_chrf.METRIC, rouge_l.METRIC])
def test_what_was_not_asked_shares_nothing_and_what_is_endless_ends(metric) -> None:
    assert scored(metric, "a b", ["a b"], fits=False) == 0.0
    assert scored(metric, "a b " * 20_000, ["a b " * 16_000] * 3) > 0.9
    assert "Correlation with people: not measured" in metric.definition


ITEMS = [{"question": f"say {n}", "answer": [str(n), "so"], "group": f"g{n}"} for n in range(24)]


def test_they_are_measured_where_a_task_set_names_them_and_only_there(tmp_path) -> None:
    plain = read_task_set(write_task_set(tmp_path / "a", ITEMS, type="generate")).definition
    assert [each.name for each in set_metrics(plain)] == ["counting@1/exact_match"]
    wanted = ["rouge_l", "sentence_bleu"]
    named = read_task_set(write_task_set(tmp_path / "b", ITEMS, type="generate", metrics=wanted)).definition
    assert [each.name for each in set_metrics(named)] == ["counting@1/sentence_bleu", "counting@1/rouge_l"]


@pytest.mark.parametrize("role", [{"role": "primary"}, {"role": "guardrail", "margin": 0.1}])
def test_they_get_no_role_in_a_gate(tmp_path, role: dict[str, object]) -> None:
    path = write_task_set(tmp_path, ITEMS, type="generate", metrics=["rouge_l"], gate={"rouge_l": role})
    with pytest.raises(TaskSetError, match="rouge_l is not measured against people's labels on this task set"):
        read_task_set(path)
    shown = write_task_set(tmp_path, ITEMS, type="generate", metrics=["rouge_l"], gate={"rouge_l": {}})
    assert read_task_set(shown).definition.used_split == "dev"
