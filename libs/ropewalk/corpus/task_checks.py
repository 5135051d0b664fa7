"""Whether the examples of a task can teach it: asked before a run is accepted, and by a dry run."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ropewalk.corpus.reading.contents import Placed, contents
from ropewalk.corpus.reading.places import Reach
from ropewalk.corpus.reading.records import Flaw, Limits
from ropewalk.corpus.reading.sources import list_files
from ropewalk.events.foreign import cut, one_line
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.usecases.schema import AnswerChecker, check_schema

FEWEST_EXAMPLES = 10  # fewer teach nothing; a hundred are a beginning
_MOST, _SECONDS = 10_000, 5.0  # that are looked at: the rest is as they are


@dataclass(frozen=True, kw_only=True)
class ExamplesSeen:
    """What the first records of a task's sources are. `flaw` and `unfit` are the first of their kind, with the place.

    `num_examples` are people's: those that a model wrote judge nothing and are counted apart, in `num_synthetic`.
    `num_inputs` are without an answer. `is_all`: they were no more than a look may take.
    """

    schema_fault: str = ""
    num_examples: int = 0
    num_synthetic: int = 0
    num_inputs: int = 0
    num_set_aside: int = 0
    num_unfit: int = 0
    flaw: str = ""
    unfit: str = ""
    is_all: bool = True


def placed_examples(sources: Iterable[SourceRecipe], limits: Limits, reach: Reach) -> Placed:
    """Every record of the sources with its place, as ingest reads them."""
    for source in sources:
        for file in list_files(source, reach):
            yield from contents(file, source, limits)


def look_at_examples(asked: tuple[Recipe, Limits, Reach], _: Callable[[object], None]) -> ExamplesSeen:
    """Read the examples of a recipe with a task and hold them to its schema. For a child process."""
    recipe, limits, reach = asked
    schema = recipe.task.json_schema if recipe.task is not None else None
    if schema is not None and (fault := check_schema(schema)):
        return ExamplesSeen(schema_fault=fault)
    checker = AnswerChecker(schema) if schema is not None else None
    flaws: list[str] = []
    unfit: list[str] = []
    num_examples, num_synthetic, num_inputs, deadline = 0, 0, 0, time.monotonic() + _SECONDS
    for place, content in placed_examples(recipe.sources, limits, reach):
        if isinstance(content, Flaw):
            flaws.append(f"{one_line(place)}: {one_line(content.detail)}")
        elif content.is_answered:
            num_synthetic, num_examples = num_synthetic + bool(content.source), num_examples + (not content.source)
            if checker is not None and (misfit := checker.why_not(content.messages[-1].content)):
                unfit.append(f"{one_line(place)}: {misfit}")
        elif content.messages:
            num_inputs += 1
        if num_examples + num_synthetic + len(flaws) >= _MOST or time.monotonic() > deadline:
            break
    else:
        deadline = 0.0
    return ExamplesSeen(
        num_examples=num_examples,
        num_synthetic=num_synthetic,
        num_inputs=num_inputs,
        num_set_aside=len(flaws),
        num_unfit=len(unfit),
        flaw=next(iter(flaws), ""),
        unfit=next(iter(unfit), ""),
        is_all=not deadline,
    )


def task_violations(recipe: Recipe, seen: ExamplesSeen) -> tuple[str, ...]:
    """Why a run of the task would teach nothing."""
    if seen.schema_fault:
        return (f"field 'task.json_schema': {cut(seen.schema_fault, 600)}",)
    task = recipe.task
    fewest = max(FEWEST_EXAMPLES, task.shots + 2 if task is not None and "shots" in task.compare else 0)
    aside = f"; {seen.num_set_aside:,} records are set aside, the first is {seen.flaw}" if seen.num_set_aside else ""
    if seen.is_all and seen.num_examples < fewest:
        return (
            f"field 'sources': they give {seen.num_examples:,} examples, and this task needs {fewest} at least (a "
            f"hundred are a beginning): add records with `input` and `output`, and say `format: examples`{aside}",
        )
    num_answered = seen.num_examples + seen.num_synthetic
    if seen.num_set_aside > num_answered:
        return (f"field 'sources': mend them, as {num_answered:,} are examples that can be learned from{aside}",)
    if seen.num_unfit == num_answered:
        return (
            f"field 'task.json_schema': none of {num_answered:,} examples fits it; correct the schema or the "
            f"outputs, the first is {seen.unfit}",
        )
    return ()


def task_warning(seen: ExamplesSeen) -> str:
    """What keeps no run from being accepted, and teaches wrong answers; empty: nothing does."""
    if not seen.num_unfit:
        return ""
    num_answered = seen.num_examples + seen.num_synthetic
    return (
        f"{seen.num_unfit:,} of {num_answered:,} examples do not fit the task's schema and teach the model to "
        f"answer so: correct their outputs, the first is {seen.unfit}"
    )
