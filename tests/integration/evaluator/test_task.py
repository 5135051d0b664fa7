"""A run with a task, judged on its held-out examples by models that are really asked."""

import json
import math
import shutil
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from ropewalk.bus.codec import Stored
from ropewalk.bus.once import RunningFold
from ropewalk.corpus.document import ChatMessage, Document, write_documents, write_records
from ropewalk.corpus.trained import STATES
from ropewalk.evaluator.adapters.judging.summoning import Means
from ropewalk.evaluator.adapters.task_measuring import AnswersProgress, Patience, answer_in_time
from ropewalk.evaluator.adapters.voices import Voice
from ropewalk.evaluator.app import build
from ropewalk.evaluator.domain.budget import Tries
from ropewalk.evaluator.domain.promotions import FACTS, Promotions
from ropewalk.evaluator.domain.tasks import Item
from ropewalk.evaluator.handlers import evaluate_checkpoint
from ropewalk.evaluator.ports import ExampleAnswer
from ropewalk.evaluator.settings import Settings
from ropewalk.events.checkpoint import CheckpointExported, ModelPromoted
from ropewalk.events.data import CorpusIngested, SegmentRef
from ropewalk.events.envelope import Envelope
from ropewalk.events.evaluation import EvaluationProgressed, EvaluationStarted
from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.chat.renderer import ChatRenderer
from ropewalk.recipes.recipe import SourceRecipe
from ropewalk.report.samples import specialist_of
from ropewalk.stages.errors import StageError
from ropewalk.storage.manifest import read_manifest

from .conftest import a_source, write_model, write_tokenizer

WANTED = '{"n":1}'
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
SOURCES = [
    {"path": "/examples.jsonl", "licence": "MIT", "format": "examples"},
    {"path": "/chats.jsonl", "licence": "MIT", "format": "chat"},  # read so that the model keeps what it knows
]
OWN = {"evaluation": {"gate": "full"}}  # as in a recipe that somebody writes: the built-in tiny one has an easier gate
ASKED, REPLAYED = (SourceRecipe(**source).source_id for source in SOURCES)
QUALITY = ("schema_validity", "field_accuracy", "exact_match")
METRICS = (*QUALITY, "prompt_tokens", "answer_tokens", "answer_seconds", "core_seconds")


def talk(number: int) -> list[dict[str, str]]:
    question = f"step_{number % 5}?" + "!" * (number // 5)
    return [{"role": "user", "content": question}, {"role": "assistant", "content": WANTED}]


@pytest.fixture(scope="module")
def task_world(fixed_parts):
    """A model that has learnt the one answer, the examples it is asked, and those it learnt from."""
    root, objects = fixed_parts.root / "task", fixed_parts.objects
    root.mkdir()
    texts = [a_source(number) for number in range(90)]
    write_tokenizer(root / "model", texts)
    encoder, chats = Encoder(root / "model"), ChatRenderer(root / "model")
    ids = [token for number in range(25) for token in encoder.prompt(chats.conversation(talk(number))).ids]
    chats.close()
    write_model(root / "model", np.array(ids * 4, dtype=np.int64), 150)
    objects.publish(root / "model", "exports/specialist", {})
    (root / "examples").mkdir()
    items = [
        {"item_id": str(n), "source_id": source, "path": f"{n}", "messages": talk(n)}
        for source, numbers in ((ASKED, range(25)), (REPLAYED, range(25, 30)))
        for n in numbers
    ]
    write_records(root / "examples" / "items.jsonl.zst", items)
    objects.publish(root / "examples", "evalsets/examples", {})
    shutil.copytree(objects.fetch("datasets/v"), root / "d", ignore=shutil.ignore_patterns("manifest.json"))
    states = [{"doc_id": f"d{n}", "path": "p", "content": "", "state": "kept"} for n in range(33)]
    write_records(root / "d" / STATES, states)
    objects.publish(root / "d", "datasets/task", read_manifest(objects.fetch("datasets/v")).meta)
    (root / "s").mkdir()
    common: dict[str, Any] = {"path": "p", "licence": "MIT", "fetched_at": "", "num_bytes": 1}
    turns = tuple(ChatMessage(**turn) for turn in talk(3))
    long = (ChatMessage(role="user", content="step_0? " * 40), turns[1])  # in an opponent's prompt it would be seen
    learnt = [(ASKED, turns)] * 3 + [(REPLAYED, long)] * 30
    write_documents(
        root / "s" / "documents.jsonl.zst",
        [
            Document(doc_id=f"d{n}", source_id=source, messages=messages, **common)
            for n, (source, messages) in enumerate(learnt)
        ],
    )
    objects.publish(root / "s", "segments/s", {})
    return fixed_parts


async def judge(world, name: str, minutes: float = 10.0, more: dict[str, object] | None = None, **task: object):
    for key in world.objects.list("evaluations"):
        world.objects.delete(key)
    given = {"instruction": "Say n.", "json_schema": SCHEMA, "shots": 1, "max_answer_tokens": 12} | task
    base = str(world.objects.fetch("exports/untrained"))
    log = (more or {}).pop("log", [])
    stage = world.stage(
        "evalsets/examples",
        mode="finetune",
        base_model=base,
        profile="prose",
        sources=SOURCES,
        task=given,
        **OWN | (more or {}),
    )
    stage.bus.messages[0] = stage.bus.messages[0].model_copy(update={"uri": "datasets/task"})
    segment = SegmentRef(segment_id="s", uri="segments/s", num_documents=3, num_bytes=3)
    ingested = CorpusIngested(run_id="r", segments=(segment,), num_documents=3, num_bytes=3, num_quarantined=0)
    stage.bus.messages.extend([ingested, *log])
    export = CheckpointExported(
        run_id="r",
        checkpoint_id="r-7-40",
        checkpoint_uri="c",
        step=1,
        uri=f"exports/{name}",
        manifest_sha256="0",
        num_parameters=1,
        num_bytes=1,
    )
    promotions = RunningFold(Promotions(), lambda known, item: known.add(item.message), *FACTS)
    tries = RunningFold(Tries(), lambda known, item: known.add(item.message))
    completed, decided = await evaluate_checkpoint(stage, export, Means(task_minutes=minutes), promotions, tries)
    (begun,) = [each for each in stage.emitted if isinstance(each, EvaluationStarted)]
    assert begun.gate_set == decided.gate_set
    told = [each for each in stage.emitted if isinstance(each, EvaluationProgressed)]
    assert told[-1].num_answers == told[-1].num_asked > 0
    return completed, decided, world.objects.fetch(completed.uri)


def stored_of(message) -> list[Stored]:
    envelope = Envelope(id="1", type="t", source="s", time="", run_id="r")
    return [Stored(sequence=1, time=datetime(2026, 1, 1, tzinfo=UTC), envelope=envelope, message=message)]


async def test_a_specialist_is_compared_with_the_base_in_every_way_and_promoted(task_world) -> None:
    completed, decided, folder = await judge(task_world, "specialist")
    estimates = {each.metric: each for each in completed.estimates}
    assert estimates["field_accuracy"].value == estimates["schema_validity"].value == 1.0
    assert estimates["field_accuracy"].lower < 1.0  # 25 examples do not exclude every error
    for metric in METRICS:
        assert {metric, *(f"{column}_{metric}" for column in ("base", "instruction", "shots"))} <= set(estimates)
        assert estimates[f"{metric}_gain"].subject == "the base model with the instruction"
    prompts = [estimates[f"{column}prompt_tokens"].value for column in ("", "base_", "instruction_", "shots_")]
    assert prompts[0] == prompts[1] < prompts[2] < prompts[3]
    assert all(0 < estimates[f"{column}core_seconds"].value < 1 for column in ("", "base_", "instruction_", "shots_"))
    assert decided.decision == "promote"
    assert decided.baseline == "the base model with the instruction"
    assert decided.comparison == estimates["field_accuracy_gain"]
    assert decided.reasons[0].startswith(
        "the candidate's answers are right in 100% of the fields against 0% of the base model with the instruction "
        "(95% interval of the gain "
    )
    task = json.loads((folder / "report.json").read_text())["task"]
    assert (task["version"], task["opponent"], task["num_examples"], task["num_held_out"]) == (1, "instruction", 25, 25)
    assert prompts[3] < prompts[2] + 40  # the example shown is one of the task
    assert set(task["levels"]["shots"]) == set(task["gains"]["shots"]) == set(METRICS) <= set(task["definitions"])
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert {row["metric"]: len(row["values"]) for row in rows if row["metric"] in METRICS} == dict.fromkeys(METRICS, 4)
    (stored,) = stored_of(completed)
    specialist = specialist_of([stored], task_world.objects)
    assert (specialist.section.before, specialist.section.num_threads) == ("instruction", 1)
    assert specialist.answers[0].after == specialist.answers[0].wanted == WANTED
    shown = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert [each["said"]["candidate"] for each in shown] == [WANTED] * len(shown) != []


async def test_a_run_that_is_only_judged_is_no_try_meets_nobody_that_serves_and_is_refused_in_a_sentence(task_world):
    served = ModelPromoted(
        run_id="earlier",
        model="pycode",
        model_version=1,
        alias="production",
        checkpoint_id="earlier-1-1",
        export_uri="exports/specialist",
        manifest_sha256="0",
        evaluation_uri="e",
    )
    _, counted, _ = await judge(task_world, "untrained", 10.0, {"log": [served]}, compare=[])
    assert (counted.gate_set, counted.try_number, counted.judged_only) == ("pycode/1", 1, False)
    only = {"log": [served], "promotion": {"model": "pycode", "promote": False}}
    completed, decided, folder = await judge(task_world, "specialist", 10.0, only, compare=[])
    assert (decided.gate_set, decided.try_number, decided.judged_only) == ("", 0, True)
    assert (decided.decision, decided.word) == ("reject", "judged only")
    assert decided.reasons[0] == "the recipe has promotion.promote false, so this run is judged and never promoted"
    assert "right in 100% of the fields against 0% of the base model with the short prompt" in decided.reasons[1]
    assert {each.metric: each.value for each in completed.estimates}["field_accuracy"] == 1.0
    levels = json.loads((folder / "report.json").read_text())["task"]["levels"]
    assert set(levels) == {"candidate", "base"}  # nobody else was asked


async def test_a_prompt_beyond_the_context_is_a_miss_and_said(task_world) -> None:
    completed, decided, _ = await judge(task_world, "specialist", instruction="Say n. " * 100)
    estimates = {each.metric: each.value for each in completed.estimates}
    assert estimates["instruction_exact_match"] == 0.0
    assert any("25 of 25 prompts do not fit the context of 'instruction'" in reason for reason in decided.reasons)


async def test_a_model_that_answers_no_better_than_the_base_is_not_promoted(task_world) -> None:
    _, decided, _ = await judge(task_world, "untrained", compare=["instruction"])
    assert decided.decision != "promote"


async def test_a_task_that_nobody_can_answer_in_time_is_refused_with_the_remedy(task_world) -> None:
    with pytest.raises(StageError, match=r"not even 16 .* within 1e-09 minutes: raise evaluator_task_minutes"):
        await judge(task_world, "untrained", minutes=1e-9)


class Slow:
    """A voice for which only so many rounds are in time."""

    def __init__(self, rounds: int) -> None:
        self.rounds, self.asked = rounds, []

    def expect(self, items) -> None:
        self.expected = len(items)

    def answers(self, items, on_ended) -> None:
        if len(self.asked) == self.rounds:
            raise TimeoutError("late")
        self.asked.append(len(items))
        on_ended(1)


def test_only_examples_that_everybody_answered_in_time_are_scored() -> None:
    items, told = [Item(str(number), "p") for number in range(100)], []
    quick, slow = Slow(9), Slow(2)
    assert answer_in_time({"quick": quick, "slow": slow}, items, Patience(10, told.append)) == 16 + 64
    assert (quick.asked, slow.asked, quick.expected) == ([16, 64, 20], [16, 64], 100)
    assert told == [(0, 200), (16, 200), (32, 200), (96, 200), (160, 200), (180, 200)]
    told.clear()
    progress = AnswersProgress(told.append, 9)
    progress.more(1)  # long after the last word, which never was: at once
    progress.more(1)
    progress.tell(5)
    assert told == [(1, 9), (5, 9)]
    with pytest.raises(StageError, match="not even 16 held-out examples were answered by slow within 10 minutes"):
        answer_in_time({"slow": Slow(0)}, items, Patience(10))
    assert answer_in_time({"quick": Slow(9)}, items, Patience(math.inf)) == 100


def test_prompts_that_do_not_fit_are_counted_among_the_examples_that_are_scored() -> None:
    voice, (scored, late) = Voice(None, lambda turns: turns, 8), (Item("1", "p"), Item("2", "p"))  # type: ignore[arg-type]
    unasked = ExampleAnswer(text="", prompt_tokens=0, answer_tokens=0, seconds=0.0, core_seconds=0.0, fits=False)
    voice._answers = dict.fromkeys((scored, late), unasked)  # the round of the second one was begun in vain
    assert voice.num_unfit([scored]) == 1


def test_an_evaluation_may_be_silent_for_as_long_as_an_opponent_may_be_asked(tmp_path) -> None:
    service = build(Settings(state_dir=tmp_path, evaluator_task_minutes=600))
    (spec,) = service._specs
    assert spec.stall_s > 600 * 60
