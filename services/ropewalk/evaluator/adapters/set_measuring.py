"""Asking the items of task sets: of the candidate and of its opponent, with each template. Needs torch."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate

from ropewalk.evaluator.adapters.asked_sets import (
    MOST_ANSWERS,
    AskedSets,
    item_of,
    not_to_be_asked,
    together,
    why_missing,
)
from ropewalk.evaluator.adapters.judged_measuring import ask_judged
from ropewalk.evaluator.adapters.measuring import SetToAsk
from ropewalk.evaluator.adapters.sandbox import Sandbox
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.adapters.task_measuring import Patience, answer_in_time, as_it_is
from ropewalk.evaluator.adapters.tested_programs import ProgramVoice
from ropewalk.evaluator.adapters.voices import Voice
from ropewalk.evaluator.domain.metric import Effort, Measurement, ask
from ropewalk.evaluator.domain.metrics.sets import set_metrics
from ropewalk.evaluator.domain.tasks import TaskSet
from ropewalk.evaluator.ports import Scorer
from ropewalk.stages.errors import StageError
from ropewalk.statistics.intervals import LEVEL
from ropewalk.tasksets.definition import FEWEST_ITEMS, WRITTEN, TaskSetFile
from ropewalk.tasksets.items import TaskItem
from ropewalk.tasksets.section import TaskSetSection
from ropewalk.tasksets.shelf import ReadTaskSet, stored_task_set

MOST_BYTES = 150_000  # of what is read for a task set, every choice with its prompt; as much as of held-out documents
_SPREAD = 3  # one item in so many is asked with every template


def ask_sets(sets: Sequence[SetToAsk], scorers: Mapping[str, Scorer], seed: int, patience: Patience) -> AskedSets:
    """Ask each set of the candidate and of its opponent, whom `scorers` have in this order.

    `patience` is for all of them together that make a model write.
    """
    return together(_ask_set(each, scorers, seed, patience) for each in sets)


def _ask_set(to_ask: SetToAsk, scorers: Mapping[str, Scorer], seed: int, patience: Patience) -> AskedSets:
    found = stored_task_set(to_ask.folder)
    if found.definition.is_judged:
        return ask_judged(to_ask, found, scorers, seed, patience)
    of, used = found.definition, _used(found, patience.times)
    if of.type == "code" and (fault := Sandbox().fault):
        said = (f"{of.full_name} was not asked: {fault}",)
        return AskedSets(missing=said) if of.deciding else AskedSets(notes=said)
    patience = replace(patience, minutes=patience.minutes / len(of.templates))
    try:
        asked, num_late = _ask(of, used, of.templates[0], (scorers, seed, patience))
    except StageError:
        asked, num_late = (), len(used)  # nothing was answered in time
    num_left = len(found.used()) - len(used) + num_late
    decides = bool(of.primary or of.guardrails)
    section = _section(to_ask, found, asked, _spreads(of, used, asked, (scorers, seed, patience)))
    if not decides:
        return AskedSets(asked=asked, sections=(section,))
    left = tuple((metric.name, num_left) for metric in set_metrics(of)) if to_ask.blocked else ()
    if fault := why_missing(of, len(asked[0].rows) if asked else 0, to_ask):
        return AskedSets(asked=asked, sections=(section,), left=left, missing=(f"{of.full_name} decides, and {fault}",))
    if any(len(each.scorers) < len(scorers) for each in asked):
        return AskedSets(asked=asked, sections=(section,), notes=(not_to_be_asked(of),))
    return AskedSets(asked=asked, sections=(section,), deciding=(of,), left=left)


def _ask(
    of: TaskSetFile, used: Sequence[TaskItem], template: str, how: tuple[Mapping[str, Scorer], int, Patience]
) -> tuple[tuple[Measurement, ...], int]:
    """What came of it, and how many items there was no time for. `how`: scorers, seed and patience.

    Raises StageError where nothing is answered in time.
    """
    (scorers, seed, patience), num_late = how, 0
    items = tuple(item_of(each, of, template) for each in used)
    asked_of = scorers
    if of.type in WRITTEN:
        until = time.monotonic() + 60 * patience.minutes
        voice_of = ProgramVoice if of.type == "code" else Voice
        voices = {
            name: voice_of(scorer, as_it_is, of.max_tokens, until, of.ends)
            for name, scorer in scorers.items()
            if isinstance(scorer, ScoredModel)
        }
        items = tuple(item for item in items if all(voice.takes(item) for voice in voices.values()))
        num_answered = answer_in_time(voices, items, patience) if items else 0
        items, asked_of, num_late = items[:num_answered], voices, len(items) - num_answered
    asked = ask(set_metrics(of), asked_of, TaskSet(f"items of {of.full_name}", items), Effort(seed))
    if of.used_split == "dev":
        return asked, num_late
    # What is said to a sealed item, and the item itself, is for nobody to read.
    bare = (tuple(replace(row, said={}, prompt_end="") for row in each.rows) for each in asked)
    return tuple(replace(each, rows=rows, items=()) for each, rows in zip(asked, bare, strict=True)), num_late


def _spreads(
    of: TaskSetFile,
    used: Sequence[TaskItem],
    asked: Sequence[Measurement],
    how: tuple[Mapping[str, Scorer], int, Patience],
) -> list[tuple[Measurement, ...]]:
    """The same items with each template, the first one first; nothing where there is only one."""
    if len(of.templates) < 2 or of.type == "rolling" or not asked:
        return []
    few = max(FEWEST_ITEMS, len(used) // _SPREAD)
    spread = [tuple(replace(each, rows=each.rows[:few]) for each in asked)]
    for template in of.templates[1:]:
        with suppress(StageError):  # nothing was answered in time: so much less is known
            spread.append(_ask(of, used[:few], template, how)[0])
    return [each for each in spread if each]


def _section(
    to_ask: SetToAsk, found: ReadTaskSet, asked: Sequence[Measurement], spread: Sequence[Sequence[Measurement]]
) -> TaskSetSection:
    of, names = found.definition, asked[0].scorers if asked else ()
    spreads = [
        {
            place.metric.name.partition("/")[2]: tuple(_level(each[at], name) for each in spread)
            for at, place in enumerate(spread[0] if spread else ())
        }
        for name in names
    ]
    return TaskSetSection(
        task_set=of.full_name,
        content=found.content,
        kind=of.type,
        split=of.used_split,
        num_items=len(asked[0].rows) if asked else 0,
        num_in_split=len(found.used()),
        num_clusters=len({row.cluster for row in asked[0].rows}) if asked else 0,
        spread=spreads[0] if spreads else {},
        opponent_spread=spreads[1] if len(spreads) > 1 else {},
        num_spread=len(spread[0][0].rows) if spread else 0,
        num_dropped=to_ask.blocked.num_dropped if to_ask.blocked else -1,
        scanned=to_ask.dataset_version if to_ask.blocked else "",
        definitions={metric.name.partition("/")[2]: metric.definition for metric in set_metrics(of)},
    )


def _level(asked: Measurement, scorer: str) -> float:
    return asked.metric.level(asked.values(scorer), asked.rows, 0, LEVEL).interval.value


def _used(found: ReadTaskSet, times: int) -> tuple[TaskItem, ...]:
    """The first items of the split in hash order, within `times` the bounds that let a set be asked in minutes."""
    items, of = found.used(), found.definition
    if of.type in WRITTEN:
        return items[: times * max(MOST_ANSWERS, of.min_items)]
    sizes = accumulate(sum(len(told) for told in _read_of(item, found)) for item in items)
    return items[: max(times * of.min_items, sum(size <= times * MOST_BYTES for size in sizes))]


def _read_of(item: TaskItem, found: ReadTaskSet) -> Iterator[bytes]:
    asked = item.asked(found.definition)
    yield from ((asked + choice).encode() for choice in item.choices or ("",))
