"""The process that measures a model. Only plain values go in and come out; torch is loaded inside."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ropewalk.evaluator.adapters.corpus import find_seen, fit_baselines, read_items
from ropewalk.evaluator.adapters.judging.bench import CaseFile, JudgedLook
from ropewalk.evaluator.adapters.worked_examples import worked_examples
from ropewalk.evaluator.domain.budget import FIRST, Try
from ropewalk.evaluator.domain.estimates import (
    PRODUCTION,
    SHORT,
    SUBJECTS,
    Contest,
    best_baseline,
    estimate_all,
    surer,
)
from ropewalk.evaluator.domain.examples import from_sources
from ropewalk.evaluator.domain.gate import Evidence
from ropewalk.evaluator.domain.metric import CANDIDATE, Effort, ItemScore, Measurement, Metric, ask
from ropewalk.evaluator.domain.metrics import METRICS, preference
from ropewalk.evaluator.domain.ngram import MAX_ORDER, NgramModel
from ropewalk.evaluator.domain.roles import BASE, GAIN, GATES, NGRAMS, Rules, with_preference, with_task_sets
from ropewalk.evaluator.domain.samples import NUM_SAMPLES, Sample, openings
from ropewalk.evaluator.domain.specialist import ShownAnswer
from ropewalk.evaluator.domain.tasks import Item, TaskSet
from ropewalk.evaluator.ports import Scorer
from ropewalk.events.data import BlockedTaskSet
from ropewalk.events.evaluation import Estimate
from ropewalk.recipes.formats import EXAMPLES
from ropewalk.recipes.recipe import Recipe
from ropewalk.stages.errors import StageError
from ropewalk.tasksets.section import TaskSetSection
from ropewalk.usecases.comparison import TaskSection

if TYPE_CHECKING:
    from ropewalk.evaluator.adapters.asked_sets import AskedSets
    from ropewalk.evaluator.adapters.scoring import ScoredModel  # torch: only in the child
    from ropewalk.evaluator.adapters.task_measuring import AskedTask

_NO_PAIR = (
    "no held-out record is a pair of answers that the chat template takes, so the preference cannot be judged: submit "
    "the run again if an earlier version of Ropewalk made its dataset, else change records or base_model"
)
_UNREAD = (
    "the chat template refuses every held-out conversation, so the model cannot be judged: hold out conversations as "
    "the template wants them, for example beginning with the user"
)


@dataclass(frozen=True, kw_only=True)
class Opponent:
    """The model to beat: its column in the scores, and where it lies: a folder or, for a base model, a hub id too.

    `dataset` is what it learnt from, where that is known.
    """

    column: str
    name: str
    uri: str
    model: str
    dataset: Path | None = None


@dataclass(frozen=True, kw_only=True)
class SetToAsk:
    """A task set in a fetched folder, and what was done to keep it from training; None: nobody looked for it.

    `bench` is what is known of one that is judged.
    """

    folder: Path
    dataset_version: str
    blocked: BlockedTaskSet | None
    bench: CaseFile | None = None


@dataclass(frozen=True, kw_only=True)
class MeasuringJob:
    """Fetched folders. Without an `opponent` the recipe's gate says which n-gram model is to beat.

    The recipe has the seed of the evaluation in place of its own.
    """

    checkpoint_id: str
    recipe: Recipe
    export: Path
    dataset: Path
    evalset: Path
    opponent: Opponent | None
    threads: int
    tried: Try = FIRST
    base: str = ""  # where the base model lies, if it is asked something whatever the opponent is
    segments: tuple[Path, ...] = ()  # of the corpus, where worked examples of it are shown
    task_minutes: float = math.inf  # in which the examples of a task are asked, and again those of task sets
    task_sets: tuple[SetToAsk, ...] = ()

    @property
    def times(self) -> int:
        """How much more is asked than at the first look: twice as much at every further one."""
        return 2 ** (self.tried.look - 1)

    @property
    def rules(self) -> Rules:
        """What the recipe's gate decides by."""
        rules = GATES[self.recipe.evaluation.gate]
        return with_preference(rules) if self.learns_preference else rules

    @property
    def learns_preference(self) -> bool:
        """Whether the one of two answers was to be preferred."""
        return self.recipe.derived.objective == "dpo"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything the report needs. What the opponent has learnt from is in none of the numbers, unless it is all."""

    evidence: Evidence
    scores: tuple[ItemScore, ...]
    num_baseline_tokens: int
    samples: tuple[Sample, ...] = ()
    task: TaskSection | None = None
    answers: tuple[ShownAnswer, ...] = ()
    task_sets: tuple[TaskSetSection, ...] = ()
    judged_sets: tuple[JudgedLook, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> list[ItemScore]:
        """The scores that the gain rests on."""
        return [row for row in self.scores if row.metric == self.evidence.rules.primary]


class NgramScorer:
    """An n-gram model as a scorer: it reads the tokens that the candidate reads, and continues nothing."""

    def __init__(self, model: NgramModel, order: int, candidate: "ScoredModel") -> None:
        self._model, self._order, self._candidate = model, order, candidate

    def takes(self, item: Item) -> bool:
        """What the candidate takes."""
        return self._candidate.takes(item)

    def bits(self, items: Sequence[Item]) -> list[float]:
        """The negative log2-likelihood of each item."""
        return [self._bits(item) for item in items]

    def margins(self, items: Sequence[Item]) -> None:
        """Nothing."""

    def likelihoods(self, items: Sequence[Item]) -> list[list[float]]:
        """The log-likelihood of every choice of each item behind its text, in nats."""
        return [[self._nats(*pair) for pair in self._candidate.choice_pairs(item)] for item in items]

    def complete(self, items: Sequence[Item]) -> None:
        """Nothing."""

    def answers(self, items: Sequence[Item]) -> None:
        """Nothing."""

    def _bits(self, item: Item) -> float:
        """With end tokens before the first token of a document."""
        bits = 0.0
        for document in self._candidate.documents(item):
            tokens = np.array([self._candidate.eos_id] * (MAX_ORDER - 1) + list(document.tokens), dtype=np.int64)
            # One cost per token: the end tokens before the first one are context only.
            costs = -np.log2(self._model.probabilities(tokens, self._order))
            bits += float(costs.sum() if document.counted is None else costs[np.array(document.counted)].sum())
        return bits

    def _nats(self, context: Sequence[int], said: Sequence[int]) -> float:
        tokens = np.array([self._candidate.eos_id] * (MAX_ORDER - 1) + [*context, *said], dtype=np.int64)
        return float(np.log(self._model.probabilities(tokens, self._order)[-len(said) :]).sum())


def measure(job: MeasuringJob, report: Callable[[object], None]) -> Measured:
    """Score, complete, compare. Raises StageError when nothing was held out or the base model does not load."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from ropewalk.evaluator.adapters.scoring import ScoredModel

    torch.set_num_threads(job.threads)
    disable_progress_bar()  # this process writes into a log
    held_out = read_items(job.evalset)
    if not any(item.num_bytes for item in held_out):
        raise StageError("no document was held out, so the model cannot be judged: raise evaluation.held_out_fraction")
    seen = _seen_by_opponent(held_out, job)
    # Where the opponent has seen everything, all of it is scored and the gate says that it decides nothing.
    unseen = [item for item in held_out if item.item_id not in (seen or ())] or held_out
    candidate = ScoredModel(job.export)
    scorers: dict[str, Scorer] = {CANDIDATE: candidate, **_load_others(job)}
    baselines, num_tokens = fit_baselines(job.dataset, candidate.vocab_size)
    scorers |= {name: NgramScorer(baselines, order, candidate) for order, name in enumerate(NGRAMS, start=1)}
    seed, (asked, left) = job.recipe.seed, _ask_documents(job, unseen, scorers)
    task = _ask_task(job, unseen, scorers, report) if job.recipe.task else None
    rules, everything = (task.rules, (*asked, *task.asked)) if task else (job.rules, asked)
    contest = _contest(job, _judged(job, everything, rules))
    sets = _ask_sets(job, scorers, contest, report)
    rules, everything = with_task_sets(rules, sets.deciding), (*everything, *sets.asked)
    judged = _judged(job, everything, rules)
    estimates = [*estimate_all(asked, contest, rules, seed), *estimate_all(sets.asked, contest, rules, seed)]
    estimates += estimate_all(task.asked, task.contest, rules, seed) if task else ()
    evidence = _evidence(job, tuple(estimates), judged, (rules, contest), task)
    num_seen = None if seen is None else len(seen)
    left |= {**({each.metric.name: task.num_left for each in task.asked} if task else {}), **dict(sets.left)}
    return Measured(
        evidence=replace(evidence, num_held_out=len(held_out), num_seen=num_seen, missing=sets.missing, left=left),
        scores=tuple(row for each in everything for row in each.rows),
        num_baseline_tokens=num_tokens,
        samples=_samples(everything) or _openings(candidate, judged.items, seed),
        task=task.section if task else None,
        answers=task.shown if task else (),
        task_sets=sets.sections,
        judged_sets=sets.judged,
        notes=sets.notes,
    )


def _judged(job: MeasuringJob, asked: Sequence[Measurement], rules: Rules) -> Measurement:
    found = next((each for each in asked if each.metric.name == rules.primary), None)
    if found is None:
        raise StageError(_NO_PAIR if job.learns_preference else _UNREAD)
    return found


def _ask_sets(
    job: MeasuringJob, scorers: Mapping[str, Scorer], contest: Contest, report: Callable[[object], None]
) -> "AskedSets":
    from ropewalk.evaluator.adapters.set_measuring import ask_sets
    from ropewalk.evaluator.adapters.task_measuring import Patience

    patience = Patience(job.times * job.task_minutes / max(1, len(job.task_sets)), report, job.times, job.tried.level)
    asked_of = {name: scorers[name] for name in (CANDIDATE, contest.opponent)}
    return ask_sets(job.task_sets, asked_of, job.recipe.seed, patience)


def _ask_documents(
    job: MeasuringJob, held_out: Sequence[Item], scorers: Mapping[str, Scorer]
) -> tuple[tuple[Measurement, ...], dict[str, int]]:
    """What came of it, and by metric how many more the next look would ask."""
    recipe = job.recipe
    num_completions = job.times * recipe.evaluation.num_completions if recipe.profile == "code" else 0
    effort = Effort(recipe.seed, num_completions, job.times)
    documents = TaskSet("held-out documents", tuple(held_out))
    metrics = (*METRICS, *preference.metrics(scorers[BASE])) if job.learns_preference else METRICS
    asked, more = ask(metrics, scorers, documents, effort), Effort(recipe.seed, 2 * num_completions, 2 * job.times)

    def num_chosen(metric: Metric, much: Effort) -> int:
        return len(metric.select(documents, much).items)

    return asked, {each.metric.name: num_chosen(each.metric, more) - num_chosen(each.metric, effort) for each in asked}


def _ask_task(
    job: MeasuringJob, held_out: Sequence[Item], scorers: Mapping[str, Scorer], report: Callable[[object], None]
) -> "AskedTask":
    """The base model is asked beside production, too."""
    from ropewalk.evaluator.adapters.scoring import ScoredModel
    from ropewalk.evaluator.adapters.task_measuring import Patience, ask_task

    recipe, names = job.recipe, (job.checkpoint_id, job.opponent.name if job.opponent else "")
    assert recipe.task is not None
    base = scorers.get(BASE) or _load_base(job)
    found = {CANDIDATE: scorers[CANDIDATE], SHORT: base} | {
        name: scorer for name, scorer in scorers.items() if name == PRODUCTION
    }
    models = {name: model for name, model in found.items() if isinstance(model, ScoredModel)}
    sources = frozenset(source.source_id for source in recipe.sources if source.format == EXAMPLES)
    shots = worked_examples(job.dataset, job.segments, sources, recipe.task.shots, recipe.seed) if job.segments else []
    patience = Patience(job.times * job.task_minutes, report, job.times)
    return ask_task(recipe, from_sources(held_out, sources), models, shots, names, patience)


def _evidence(
    job: MeasuringJob,
    estimates: tuple[Estimate, ...],
    judged: Measurement,
    rules_of: tuple[Rules, Contest],
    task: "AskedTask | None",
) -> Evidence:
    """What the gate is shown, but for the numbers of documents. The primary gain is as sure as this try must be."""
    rules, contest = rules_of
    beaten = task.contest if task and rules.primary in {each.metric.name for each in task.asked} else contest
    return Evidence(
        estimates=surer(estimates, judged, beaten, rules, seed=job.recipe.seed, level=job.tried.level),
        rules=rules,
        tried=job.tried,
        margin=job.recipe.evaluation.margin if (margin := rules.of[rules.primary + GAIN].margin) is None else margin,
        opponent=beaten.name,
        num_held_out=0,
        num_seen=0,
        is_model=contest.opponent == PRODUCTION,
        column=task.contest.opponent if task else contest.opponent,
    )


def _contest(job: MeasuringJob, judged: Measurement) -> Contest:
    """Against the model to beat and, for one that was trained from nothing, the best n-gram model."""
    if job.opponent is not None and job.recipe.has_base:
        others = {BASE: f"the {SUBJECTS[BASE]}"} if job.learns_preference and job.opponent.column != BASE else {}
        return Contest(job.checkpoint_id, job.opponent.column, job.opponent.name, others)  # a task is asked elsewhere
    baseline = NGRAMS[0] if job.rules.is_easy else best_baseline(judged, NGRAMS)
    name = f"the {SUBJECTS[baseline]}"
    if job.opponent is None:
        return Contest(job.checkpoint_id, baseline, name)
    return Contest(job.checkpoint_id, job.opponent.column, job.opponent.name, {baseline: name})


def _seen_by_opponent(held_out: Sequence[Item], job: MeasuringJob) -> set[str] | None:
    """The n-gram models learn from the candidate's own training tokens, which hold nothing that is held out."""
    if job.opponent is None:
        return set()
    return find_seen(held_out, job.evalset, job.opponent.dataset) if job.opponent.dataset else None


def _load_others(job: MeasuringJob) -> dict[str, Scorer]:
    """The opponent, and the base where a preference is judged."""
    found: dict[str, Scorer] = {}
    if job.opponent:
        found[job.opponent.column] = _load_opponent(job.opponent, job.export)
    if job.learns_preference and BASE not in found:
        found[BASE] = _load_base(job)
    return found


def _load_base(job: MeasuringJob) -> "ScoredModel":
    return _load_opponent(Opponent(column=BASE, name="", uri=job.recipe.base_model, model=job.base), job.export)


def _load_opponent(opponent: Opponent, export: Path) -> "ScoredModel":
    """A base model reads with the candidate's tokenizer: its own, which may have gained a chat template."""
    from ropewalk.evaluator.adapters.scoring import ScoredModel

    if opponent.column != BASE:
        return ScoredModel(opponent.model)
    try:
        return ScoredModel(opponent.model, tokenizer=export)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StageError(
            f"base_model {opponent.model!r} cannot be loaded any more, so the model cannot be compared with it: "
            f"{reason}"
        ) from None


def _samples(asked: Sequence[Measurement]) -> tuple[Sample, ...]:
    """What the candidate said when it was measured, of different files; nothing where it was not made to speak."""
    said = [row for each in asked for row in each.rows if CANDIDATE in row.said]
    # A dict keeps the last of equal keys, so going backwards leaves the first of every file.
    by_path = {row.path: Sample(row.path, row.prompt_end, row.said[CANDIDATE]) for row in reversed(said)}
    return tuple(reversed(by_path.values()))[:NUM_SAMPLES]


def _openings(candidate: Scorer, items: Sequence[Item], seed: int) -> tuple[Sample, ...]:
    """For people who read the report; nothing is counted from it."""
    chosen = openings(items, seed)
    said = candidate.complete(chosen) or ()
    return tuple(Sample(item.path, item.shown, each.text) for item, each in zip(chosen, said, strict=False))
