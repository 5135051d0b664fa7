"""`submit --dry-run`: the recipe, what follows from it, and what its data will give, before anything is spent."""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import asdict

from pydantic import JsonValue
from rich.table import Table

from ropewalk.cli.screens.terminal import Listing, complain, console, print_json, titled
from ropewalk.cli.settings import named_bus
from ropewalk.corpus.forecast import Forecast, forecast
from ropewalk.corpus.judging import too_few_to_judge
from ropewalk.corpus.pair_checks import look_at_pairs
from ropewalk.corpus.preflight import data_violations, disk_violations, recipe_violations, worker_violations
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import Limits
from ropewalk.corpus.reading.survey import Survey, SurveyLimits, survey
from ropewalk.corpus.task_checks import ExamplesSeen, look_at_examples, task_violations, task_warning
from ropewalk.events.foreign import quoted
from ropewalk.events.resources import Resources
from ropewalk.recipes.bases import Base
from ropewalk.recipes.disk import disk_needs
from ropewalk.recipes.paths import scheme_of
from ropewalk.recipes.quotation import quote
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.recipes.sentences import bounded
from ropewalk.runtime.settings import RuntimeSettings, read_settings
from ropewalk.stages.child import OnReport, run_child
from ropewalk.usecases.smaller_runs import all_smaller

_LOOK = SurveyLimits(seconds=10.0, num_bytes=256_000_000)  # a person waits: beyond this the rest is estimated
_MOST_KINDS = 12


def show_dry_run(recipe: Recipe, *, base: Base | None = None, free: int | None = None, as_json: bool) -> bool:
    """Print everything that can be known before the run. Returns whether it could be accepted.

    `base` is the import that the recipe names, `free` the bytes left on the disk of the objects.
    """
    violations = recipe_violations(recipe, base=base)
    found = asyncio.run(run_child(look_at_data, recipe.sources))  # a file may end the process of its reader
    seen = look_at_task(recipe)
    expected = forecast(recipe, found)
    # A recipe that is wrong in itself makes questions about its data meaningless, so those come second.
    violations = violations or data_violations(recipe, found) or _pair_violations(recipe)
    violations = violations or (task_violations(recipe, seen) if recipe.task else ())
    violations = bounded((*violations, *disk_violations(recipe, free), *worker_violations(recipe, _pools())))
    if as_json:
        print_json(_as_json(recipe, found, expected, violations) | {"warnings": list(_warnings(recipe, found, seen))})
        return not violations
    console.print(recipe_view(recipe), plan_view(recipe))
    show_data(found)
    if expected.num_tokens:  # without data there is neither time nor price to tell
        console.print(titled("this run, about", Listing(("what", "how much"), _forecast_rows(recipe, expected))))
    for violation in violations:
        complain(violation)
    for warning in _warnings(recipe, found, seen):
        complain(warning, style="yellow")
    return not violations


def look_at_data(sources: tuple[SourceRecipe, ...], _: OnReport) -> Survey:
    """What is in the sources, as far as ten seconds tell. For a child process."""
    return survey(sources, _LOOK)


def look_at_task(recipe: Recipe) -> ExamplesSeen:
    """The examples of a recipe that has a task, read in a child process."""
    return asyncio.run(run_child(look_at_examples, (recipe, Limits(), ANYWHERE))) if recipe.task else ExamplesSeen()


def _pair_violations(recipe: Recipe) -> tuple[str, ...]:
    """Where the base is an import, which lies in the stack's store, ingest looks at the pairs."""
    if recipe.derived.objective != "dpo":
        return ()
    return asyncio.run(run_child(look_at_pairs, (recipe, Limits(), ANYWHERE, None)))


def show_data(found: Survey) -> None:
    """Print what is there, and what of it will not be read."""
    console.print(titled("data" + (" (estimated from a part)" if found.is_estimate else ""), data_view(found)))
    if found.set_aside:
        console.print(titled("will be set aside", set_aside_view(found)))


def meant_elsewhere(path: str) -> str:
    """Why a path may be right though nothing is there, if the environment names a stack elsewhere; empty if not."""
    if named_bus() is None or scheme_of(path) or os.path.exists(path):
        return ""
    return (
        f"{quoted(path)} is not on this machine, at which this command looks: the services read the path as it is "
        "called inside the containers, where `/data` is the folder that DATA_DIR names; give it here as it is called "
        "here, and submit the recipe with the other"
    )


def _warnings(recipe: Recipe, found: Survey, seen: ExamplesSeen) -> tuple[str, ...]:
    """What keeps no run from being accepted, and will disappoint its owner."""
    few = too_few_to_judge(found.num_documents, recipe.evaluation.held_out_fraction) if found.num_documents else ""
    return tuple(filter(None, (few, task_warning(seen), *(meant_elsewhere(source.path) for source in recipe.sources))))


def _pools() -> dict[str, Resources]:
    """The pool of the stack on this machine; of a stack elsewhere nothing is known without asking it."""
    if named_bus():
        return {}
    runtime = read_settings(RuntimeSettings)
    return {runtime.pool_name: runtime.pool_room}


def recipe_view(recipe: Recipe) -> Table:
    """What a person wrote."""
    fields = ((name, value) for name, value in recipe.as_json().items() if name not in ("plan", "sources"))
    rows = [(name, _in_words(value)) for name, value in fields]
    rows += [("source", f"{source.path} ({source.licence}, {source.format})") for source in recipe.sources]
    return titled(f"recipe {recipe.name} · {recipe.sha256()[:12]}", Listing(("field", "value"), rows))


def plan_view(recipe: Recipe) -> Table:
    """What follows from it."""
    rows = [
        (name, _figure(getattr(recipe.derived, name)), field.description or "")
        for name, field in type(recipe.derived).model_fields.items()
    ]
    return titled("derived plan", Listing(("field", "value", "unit"), rows, numbers=("value",)))


def _figure(value: float | str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def _in_words(value: JsonValue) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items() if item != "")
    return str(value)


def data_view(found: Survey) -> Listing:
    """What is there, by kind of file."""
    rows = [
        (f"{kind.suffix or 'no suffix'} ({kind.kind})", f"{kind.num_files:,}", _mb(kind.num_bytes), "")
        for kind in found.kinds[:_MOST_KINDS]
    ]
    if more := found.kinds[_MOST_KINDS:]:
        total = f"{sum(kind.num_files for kind in more):,}", _mb(sum(kind.num_bytes for kind in more))
        rows.append((f"{len(more)} more kinds", *total, ""))
    documents = f"{found.num_documents:,} documents, {_mb(found.text_bytes)} of text"
    if found.num_conversations:
        documents += f", {found.num_conversations:,} conversations"
    files = f"{found.num_files:,}" if found.is_all_listed else f"over {found.num_files:,}"
    rows.append(("all", files, _mb(found.num_bytes), documents))
    return Listing(("kind", "files", "size", "gives"), rows, numbers=("files", "size"))


def set_aside_view(found: Survey) -> Listing:
    """What will not be read, and why."""
    rows = [
        (each.reason.replace("_", " "), f"{each.num_records:,}", "; ".join(each.examples)) for each in found.set_aside
    ]
    return Listing(("reason", "records", "for example"), rows, numbers=("records",))


def disk_in_words(recipe: Recipe) -> str:
    """What the run leaves in the object store."""
    needs = disk_needs(recipe)
    return (
        f"{_mb(needs.total_bytes)} at most: {needs.num_checkpoints} checkpoints of {_mb(needs.checkpoint_bytes)}, "
        f"and the model of {_mb(needs.export_bytes)}"
    )


def _forecast_rows(recipe: Recipe, expected: Forecast) -> Iterator[tuple[str, str]]:
    yield "tokens in the data", f"{expected.num_tokens:,} (estimated)"
    yield "tokens read by training", f"{expected.tokens_read:,}: the data is read {expected.epochs:.2g} times (epochs)"
    yield (
        "not foreseen",
        "duplicates and documents that quote held-out ones are dropped later: data that repeats itself gives fewer "
        "tokens, which are read more often",
    )
    yield (
        "time",
        (
            f"{expected.minutes:.0f} minutes: data {expected.data_minutes:.1f}, search {expected.search_minutes:.1f}, "
            f"training {expected.training_minutes:.1f}, evaluation and deployment {expected.other_minutes:.1f}"
        ),
    )
    gpu_hours = f" and {expected.gpu_hours:.2f} GPU-hours" if expected.gpu_hours else ""
    yield "price", f"${expected.usd:.4f} for {expected.cpu_hours:.2f} CPU-hours{gpu_hours}"
    yield "disk", disk_in_words(recipe)
    if quotes := [quote(each) for each in all_smaller(recipe)]:
        minutes, usd = sum(each.seconds.value for each in quotes) / 60, sum(each.usd.value for each in quotes)
        more = "two smaller runs after it, each of which leaves about as much on the disk"
        yield "learning curve", f"about {minutes:.0f} minutes of training and ${usd:.4f} more: {more}"


def _as_json(recipe: Recipe, found: Survey, expected: Forecast, violations: tuple[str, ...]) -> dict[str, object]:
    return {
        "recipe": recipe.as_json(),
        "recipe_sha256": recipe.sha256(),
        "data": {**asdict(found), "num_files": found.num_files, "num_bytes": found.num_bytes},
        "forecast": {**asdict(expected), "minutes": expected.minutes},
        "disk": asdict(disk_needs(recipe)),
        "violations": list(violations),
    }


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 100_000 else f"{num_bytes / 1e3:,.1f} kB"
