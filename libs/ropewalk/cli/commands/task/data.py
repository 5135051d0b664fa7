"""`data`: what is wrong with examples before a model learns it, and more of them if somebody wants them."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ropewalk.cli.commands.task.bake import base_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import Listing, complain, console, done, print_json, say, titled
from ropewalk.client.errors import ClientError
from ropewalk.client.model_process import in_own_process
from ropewalk.client.synthesis.making import MOST, SynthesisOrder
from ropewalk.client.synthesis.making import synthesise as synthesise_all
from ropewalk.corpus.example_findings import CheckedExamples, ExamplesToCheck, check_examples
from ropewalk.corpus.judging import LEAST_SHARE
from ropewalk.events.foreign import quoted
from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.recipes.formats import EXAMPLES
from ropewalk.recipes.paths import with_absolute_paths
from ropewalk.recipes.recipe import FormatName, Recipe, RecipeError, SourceRecipe
from ropewalk.stages.child import run_child
from ropewalk.usecases.endpoint import Endpoint, EndpointError, read_key
from ropewalk.usecases.folder import MADE, RECORDS, SCHEMA, TASK, read_schema, read_task_folder
from ropewalk.usecases.schema import check_schema

app = typer.Typer(name="data", no_args_is_help=True, help="Examples of a task.")


@app.command()
def check(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file of examples, or the folder of a task.")],
    as_json: AsJson = False,
) -> None:
    """Look for duplicates, conflicts, missing answers, personal data; exit code 1 if anything is found.

    Answers are held to the schema.json beside the examples, if there is one.

    Example: ropewalk data check my-task/examples.jsonl
    """
    place = Path(path).expanduser().absolute()
    file = place / RECORDS if place.is_dir() else place
    if not file.is_file():
        raise ClientError(f"{quoted(path)} is no file of examples and no folder of a task with {RECORDS}")
    beside = file.with_name(SCHEMA)
    schema = read_schema(beside) if beside.exists() else None
    if schema is not None and (fault := check_schema(schema)):
        raise RecipeError((fault,))
    made = [place / MADE] if (place / MADE).is_file() else []
    asked = ExamplesToCheck(sources=tuple(_source(each) for each in (file, *made)), schema=schema)
    if (place / TASK).exists():
        asked = _of_task(asked, read_task_folder(place))
    found = asyncio.run(run_child(check_examples, asked))  # a file may end the process of its reader
    if as_json:
        print_json({**asdict(found), "schema": str(beside) if schema is not None else ""})
    else:
        _show(found, has_schema=schema is not None)
    raise typer.Exit(1 if found.findings else 0)


@app.command()
def synthesise(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Of the task, as `init usecase` makes it.")],
    count: Annotated[int, typer.Option("--n", min=1, max=MOST, help="Variants that are to be in synthetic.jsonl.")],
    url: Annotated[str, typer.Option("--from", metavar="URL", help="OpenAI-compatible endpoint (…/v1).")] = "",
    model: Annotated[str, typer.Option(metavar="M", help="Which model of the endpoint writes.")] = "",
    key_file: Annotated[Path | None, typer.Option(metavar="F", help="File with the endpoint's key.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, max=1440, help="After which it ends with what there is.")] = 30,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a model write variants of the examples: an endpoint, to which examples are sent, or the task's base model.

    They are marked as synthetic for ever and never judge. The same call again goes on; exit code 1 if some are missing.

    Example: ropewalk data synthesise my-task --n 200 --from https://example.org/v1 --model big --key-file ~/key
    """
    place = Path(folder).expanduser().absolute()
    recipe = resolve_recipe(with_absolute_paths(read_task_folder(place), place))
    task = recipe.task
    if task is None or task.json_schema is None:
        raise RecipeError((f"without a {SCHEMA} nobody could tell which answers are good: write one",))
    order = SynthesisOrder(
        task=task,
        examples=recipe.sources[0],
        target=place / MADE,
        count=count,
        minutes=minutes,
        writer=_endpoint(url, model, key_file) if url else _base_writer(recipe, state_dir),
    )
    tell = (lambda _: None) if as_json else (lambda words: complain(f"… {words}", style="dim"))
    found = asyncio.run(in_own_process(synthesise_all, order, tell, "no more were made"))
    if as_json:
        print_json(asdict(found))
    else:
        done(f"{MADE} has {found.num_there:,}, {found.num_new:,} of them new", good=not found.ending)
        for reason, number in found.dropped.items():
            say(f"  {number:,} were left out: {reason}")
        say(f"  {found.ending}; the same call again goes on" if found.ending else "  next: `ropewalk data check`")
    raise typer.Exit(1 if found.ending else 0)


def _endpoint(url: str, model: str, key_file: Path | None) -> Endpoint:
    """Raises ClientError, which names the option."""
    if not model:
        raise ClientError("--model is missing: say which model of the endpoint writes")
    try:
        key = read_key(key_file)
    except EndpointError as error:
        raise ClientError(f"--key-file: {error}") from None
    try:
        return Endpoint(url=url, model=model, key=key)
    except EndpointError as error:
        raise ClientError(f"--from: {error}") from None


def _base_writer(recipe: Recipe, state_dir: Path | None) -> tuple[str, Path]:
    base, where = base_of(recipe, state_dir)
    if where is None:
        raise ClientError(
            f"base_model {quoted(recipe.base_model)} is neither imported nor a folder here: import it, or name an "
            "endpoint with --from"
        )
    return (base.name if base is not None else where.name), where


def _source(file: Path, key_field: str = "", form: FormatName = EXAMPLES) -> SourceRecipe:
    return SourceRecipe(path=str(file), licence="LicenseRef-checked", format=form, key_field=key_field)


def _of_task(asked: ExamplesToCheck, fields: dict[str, Any]) -> ExamplesToCheck:
    """With the inputs beside the examples, and what task.yaml says of them."""
    evaluation = fields.get("evaluation")
    share = evaluation.get("held_out_fraction") if isinstance(evaluation, dict) else None
    sources = tuple(
        _source(Path(each["path"]), str(each.get("key_field", "")), each["format"]) for each in fields["sources"]
    )
    return replace(asked, sources=sources, held_out_fraction=share if isinstance(share, float) else LEAST_SHARE)


def _show(found: CheckedExamples, *, has_schema: bool) -> None:
    console.print(titled("examples", Listing(("what", "how much"), _rows(found, has_schema))))
    if not found.findings:
        say("nothing was found")
        return
    rows = [(each.kind, f"{each.num_records:,}", ", ".join(each.places)) for each in found.findings]
    console.print(titled("found", Listing(("what", "records", "lines"), rows, numbers=("records",))))


def _rows(found: CheckedExamples, has_schema: bool) -> Iterator[tuple[str, str]]:
    yield "examples", f"{found.num_examples:,}" + ("" if found.is_all else ", and more that were not looked at")
    if found.num_synthetic:
        yield "of them synthetic", f"{found.num_synthetic:,} that a model wrote ({MADE}); none of them judges"
    for name, chars in (("inputs", found.input_chars), ("answers", found.answer_chars)):
        yield name, f"{chars[0]:,} characters in the middle, 95 % up to {chars[1]:,}, the longest {chars[2]:,}"
    yield "different answers", f"{found.num_answers:,}; the commonest is {found.commonest:.0%} of all"
    yield "schema", f"{SCHEMA} beside them" if has_schema else f"none: there is no {SCHEMA} beside them"
