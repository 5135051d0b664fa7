"""`bake`: from the folder of a task to a run that bakes it into a small model."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import JsonValue

from ropewalk.cli.commands.submit import answered
from ropewalk.cli.commands.watch import watching
from ropewalk.cli.connecting import call, room_of, settings_of, store_of
from ropewalk.cli.exit_codes import INTERRUPTED, USAGE
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.dry_run import disk_in_words
from ropewalk.cli.screens.prices import Ways, prices_as_json, show_prices
from ropewalk.cli.screens.terminal import Listing, complain, console, done, print_json, say, titled
from ropewalk.cli.settings import user_name
from ropewalk.client.errors import ClientError
from ropewalk.corpus.baking import Baking, look_at_baking, num_ways, window_for_most
from ropewalk.corpus.judging import num_to_watch, too_few_to_judge
from ropewalk.corpus.preflight import disk_violations, recipe_violations
from ropewalk.corpus.task_checks import task_warning
from ropewalk.events.evaluation import GateDecided
from ropewalk.events.foreign import quoted
from ropewalk.recipes.bases import Base, find_base, is_base_name, sized
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.paths import with_absolute_paths
from ropewalk.recipes.recipe import Recipe
from ropewalk.recipes.sentences import bounded
from ropewalk.stages.child import run_child
from ropewalk.usecases.folder import read_task_folder
from ropewalk.usecases.prices import Tariff
from ropewalk.usecases.smaller_runs import FRACTIONS, has_curve, smaller_id
from ropewalk.usecases.switching import Taken, switches
from ropewalk.usecases.tariff import load_tariff

app = typer.Typer()


@app.command()
def bake(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Of the task, as `init usecase` makes it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show tokens, time, price, break-even; send none.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Only write the recipe there.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show the run until it is over.")] = False,
    curve: Annotated[
        bool, typer.Option("--curve", help="Two smaller runs beside it: what would more examples bring?")
    ] = False,
    prices: Annotated[Path | None, typer.Option("--prices", metavar="FILE", help="Your own price table.")] = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Bake one job into a small model, so that it needs no long prompt any more.

    Example: ropewalk bake my-task --dry-run
    """
    if dry_run and out is not None:
        raise ClientError("--dry-run writes nothing, and --out only writes the recipe: give one of them")
    place = Path(folder).expanduser().absolute()
    fields = with_absolute_paths(read_task_folder(place), place)
    if curve:
        fields["evaluation"] = _with_curve(fields.get("evaluation"))
    fields = _with_window(fields, state_dir)
    if dry_run:
        recipe, tariff = resolve_recipe(fields), load_tariff(prices)
        raise typer.Exit(0 if _show_dry_run(recipe, tariff, state_dir, as_json=as_json) else USAGE)
    if out is not None:
        _write(fields, out)
        return

    asked = call(lambda client: client.submit(fields, owner=user_name()), settings_of(state_dir))
    if as_json:
        print_json({"run_id": asked})
    else:
        say(asked)  # alone on standard output, for scripts
    if not follow:
        raise typer.Exit(answered(asked, state_dir))
    code = watching(asked, state_dir, is_new=True, as_json=as_json)
    if code not in (USAGE, INTERRUPTED) and has_curve(resolve_recipe(fields)):
        _follow_curve(asked, state_dir, as_json=as_json)
    raise typer.Exit(code)


def _with_curve(evaluation: JsonValue) -> JsonValue:
    return (evaluation if isinstance(evaluation, dict) else {}) | {"curve": True}


def _follow_curve(run_id: str, state_dir: Path | None, *, as_json: bool) -> None:
    """The smaller runs, which begin once the gate has decided; a run that came to no gate has none."""
    facts = call(lambda client: client.timeline(run_id), settings_of(state_dir))
    if not any(isinstance(stored.message, GateDecided) for stored in facts):
        return
    for smaller in (smaller_id(run_id, fraction) for fraction in FRACTIONS):
        if not as_json:
            say(f"for the learning curve: {smaller}")
        if watching(smaller, state_dir, is_new=True, as_json=as_json) == INTERRUPTED:
            return
    if not as_json:
        say(f"  `ropewalk report {run_id}` shows the curve, and what more examples would bring")


def _write(fields: dict[str, JsonValue], out: Path) -> None:
    if out.exists():
        raise ClientError(f"{quoted(str(out))} exists already: choose another name with --out")
    out.write_text(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
    done(f"{out} is the recipe")
    say(f"  next: `ropewalk submit {out} -f` starts it")


def _with_window(fields: dict[str, JsonValue], state_dir: Path | None) -> dict[str, JsonValue]:
    """The fields of a recipe, with windows that hold the examples where they say no length and the base lies here."""
    recipe = resolve_recipe(fields)
    if recipe.training.context_length is not None or room_of(state_dir) is None:  # a bucket would send all of the base
        return fields
    _, folder = base_of(recipe, state_dir)
    window = asyncio.run(run_child(window_for_most, (recipe, folder))) if folder is not None else 0
    training = recipe.training.model_dump(mode="json", exclude_unset=True) | {"context_length": window}
    return {**fields, "training": training} if window else fields


def base_of(recipe: Recipe, state_dir: Path | None) -> tuple[Base | None, Path | None]:
    """The import that a recipe names, and the folder of its base model; of a hub id only the stack knows one."""
    if not is_base_name(recipe.base_model):
        return None, Path(recipe.base_location) if recipe.base_model.startswith(("/", "~", ".")) else None
    objects = store_of(state_dir)
    base = find_base(objects, recipe.base_model)
    return base, objects.fetch(base.key) if base is not None else None


def _show_dry_run(recipe: Recipe, tariff: Tariff, state_dir: Path | None, *, as_json: bool) -> bool:
    """Returns whether a run could be accepted."""
    base, folder = base_of(recipe, state_dir)
    faults = recipe_violations(recipe, base=base)
    recipe = recipe if faults else sized(recipe, base)
    # a file may end the process of its reader
    baking = asyncio.run(run_child(look_at_baking, (recipe, None if faults else folder)))
    full = disk_violations(recipe, room_of(state_dir)) if baking.training is not None else ()
    violations = bounded(faults or (*baking.violations, *full))
    ways = _ways(baking, tariff)
    if as_json:
        told = {"violations": list(violations), "usd_per_1000_requests": prices_as_json(ways, tariff)}
        print_json(asdict(baking) | told)
        return not violations
    console.print(titled(f"task {recipe.name}", Listing(("what", "how much"), _rows(recipe, baking))))
    if ways:
        show_prices(ways, tariff)
        say("  seconds of an answer are estimated from the size of the model, for one core at full batch")
    for violation in violations:
        complain(violation)
    few = too_few_to_judge(baking.seen.num_examples, recipe.evaluation.held_out_fraction)
    cut = baking.requests.too_long(recipe) if baking.requests is not None and not violations else ""
    found = (task_warning(baking.seen), few if baking.seen.num_examples else "", cut)
    for warning in filter(None, found):
        complain(warning, style="yellow")
    return not violations


def _rows(recipe: Recipe, baking: Baking) -> Iterator[tuple[str, str]]:
    seen, held_out = baking.seen, baking.num_held_out
    more, watched = "" if seen.is_all else "at least ", num_to_watch(seen.num_examples)
    parts = f"{seen.num_examples - held_out - watched:,} to learn from, {held_out:,} to judge by"
    parts += f", {watched:,} to watch the training by" if watched else ""
    yield "examples", "not looked at" if seen.schema_fault else f"{more}{seen.num_examples:,}: about {parts}"
    if seen.num_synthetic:
        yield "synthetic", f"{seen.num_synthetic:,} beside them that a model wrote: learnt from, never judged by"
    if seen.num_inputs and recipe.task is not None:
        asked = f"the base model is asked {recipe.task.samples} times for each first, whose time is not estimated"
        yield "without an answer", f"{more}{seen.num_inputs:,}: {asked}"
    if recipe.derived.objective == "distill":
        yield "objective", "distill: the base model with the instruction teaches, whose time is not estimated"
    if seen.num_set_aside:
        yield "set aside", f"{seen.num_set_aside:,} records, the first is {seen.flaw}"
    yield "base model", f"{recipe.base_model}, {recipe.adapter}"
    if (counted := baking.requests) is None and baking.violations:
        return
    if counted is None:
        yield "tokens, time and price", "not known here: they are if base_model is a folder on this machine or imported"
        return
    ratio = counted.now / counted.after
    yield "tokens sent, now", f"{counted.now:,.0f} a request with the instruction ({counted.num_counted} were counted)"
    yield "tokens sent, after", f"{counted.after:,.0f} a request without it: {ratio:.1f} times fewer"
    yield "tokens that come back", f"{counted.answer:,.0f} a request"
    if (quote := baking.training) is not None:
        minutes, kind = quote.seconds.value / 60, quote.device
        yield "training", f"about {minutes:.0f} minutes on {kind}, from the size of the model"
        ways = num_ways(recipe.task) if recipe.task is not None else 0
        yield (
            "judging it",
            f"about {baking.judging_s / 60:.0f} minutes more, {ways} ways of asking; less if answers end",
        )
        usd = quote.usd.value + 2 * baking.judging_s / 3600 * recipe.derived.usd_per_cpu_hour
        yield "price of both", f"about ${usd:.4f}"
        yield "disk", disk_in_words(recipe)
    if baking.curve:
        minutes = (sum(each.seconds.value for each in baking.curve) + baking.curve_judging_s) / 60
        usd = sum(each.usd.value for each in baking.curve)
        usd += 2 * baking.curve_judging_s / 3600 * recipe.derived.usd_per_cpu_hour
        yield "learning curve", f"about {minutes:.0f} minutes and ${usd:.4f} more: two smaller runs after it"
        yield "", "each leaves about as much on the disk"


def _ways(baking: Baking, tariff: Tariff) -> Ways:
    """From every way to answer with the long prompt to the baked model on one own core; empty where not known."""
    if (counted := baking.requests) is None or baking.training is None:
        return {}
    now, after = (
        Taken(prompt_tokens=tokens, answer_tokens=counted.answer, core_seconds=seconds)
        for tokens, seconds in ((counted.now, counted.seconds_now), (counted.after, counted.seconds_after))
    )
    found = switches(tariff, now, after, baking.training.usd.value)
    return {name: (switch,) for name, switch in found.items()}
