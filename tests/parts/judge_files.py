"""Judges as files: a rubric that ships, labelled answers, and a recording of what a judge says to all it is asked."""

import json
import math
from collections.abc import Callable
from pathlib import Path

from ropewalk.evaluator.domain.judging.controls import CONTROLS
from ropewalk.events.judge import JudgeCard
from ropewalk.tasksets.judges.labels import JudgedAnswer
from ropewalk.tasksets.judges.prompt import judge_prompt
from ropewalk.tasksets.judges.shelf import ReadJudge, read_judge

TRUE = {0: "a cat", 1: "the sum", 2: "the product, as a text", 3: "the product"}


def labelled(count: int = 40, first: int = 0, **more: object) -> list[dict[str, object]]:
    """Answers that three people graded nearly alike."""
    return [
        {
            "criterion": "correctness",
            "question": f"What does f{number} return?",
            "answer": TRUE[number % 4],
            "cluster": f"c{number // 2}",
            "labels": {"anna": number % 4, "ben": min(3, number % 4 + (number % 7 == 0)), "cleo": number % 4},
            **more,
        }
        for number in range(first, first + count)
    ]


def write_lines(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def a_recorded_judge(
    folder: Path,
    says: Callable[[JudgedAnswer], float],
    records: list[dict[str, object]] | None = None,
    more: list[dict[str, object]] | None = None,
) -> ReadJudge:
    """A judge that says a grade, whatever stands around the answer; a blank one gets 0."""
    folder.mkdir(exist_ok=True)
    labels = write_lines(folder / "labels.jsonl", labelled() if records is None else records)
    (folder / "judge.yaml").write_text("id: replay\nuse_case: tests\nrecorded: said.jsonl\nvalid_days: 30\n")
    (folder / "said.jsonl").write_text("{}\n")
    found = read_judge(folder / "judge.yaml", labels)
    asked = [
        *found.answers,
        *(read_judge(folder / "judge.yaml", write_lines(folder / "m", more)).answers if more else ()),
    ]
    criterion, lines = found.rubric.criteria["correctness"], []
    for each in asked:
        prompts = [judge_prompt(criterion, each), *(ask(criterion, each) for ask in CONTROLS.values())]
        for prompt in prompts:
            blank = "\n\nanswer" in prompt.turns[1][1].rpartition("<<<answer")[2]
            lines.append({"prompt": prompt.digest, "next_token": _near(0.0 if blank else says(each))})
    write_lines(folder / "said.jsonl", lines)
    return read_judge(folder / "judge.yaml", labels)


def _near(grade: float) -> dict[str, float]:
    """Log-probabilities whose expectation is a grade."""
    low = min(2, int(grade))
    share = grade - low
    return {str(low): math.log(max(1e-9, 1 - share)), str(low + 1): math.log(max(1e-9, share))}


def a_card(identity: str) -> JudgeCard:
    return JudgeCard(
        identity=identity,
        model="m",
        model_digest="d",
        prompt_version=1,
        rubric="default@1",
        rubric_digest="r",
        decoding="greedy",
        tells_probabilities=True,
        use_case="tests",
        labels_digest="l",
        valid_until="2027-01-01T00:00:00+00:00",
        criteria=(),
        num_calls=1,
        num_retries=0,
        prompt_tokens=1,
        answer_tokens=1,
        seconds=1.0,
        usd=0.0,
    )
