"""`data check`: what is wrong with examples, before a model learns it."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.options import AsJson
from ropewalk.cli.screens.terminal import Listing, console, print_json, say, titled
from ropewalk.client.errors import ClientError
from ropewalk.corpus.example_findings import CheckedExamples, check_examples
from ropewalk.events.foreign import quoted
from ropewalk.recipes.formats import EXAMPLES
from ropewalk.recipes.recipe import RecipeError, SourceRecipe
from ropewalk.stages.child import run_child
from ropewalk.usecases.folder import RECORDS, SCHEMA, read_schema
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
    file = Path(path).expanduser().absolute()
    file = file / RECORDS if file.is_dir() else file
    if not file.is_file():
        raise ClientError(f"{quoted(path)} is no file of examples and no folder of a task with {RECORDS}")
    beside = file.with_name(SCHEMA)
    schema = read_schema(beside) if beside.exists() else None
    if schema is not None and (fault := check_schema(schema)):
        raise RecipeError((fault,))
    source = SourceRecipe(path=str(file), licence="LicenseRef-checked", format=EXAMPLES)
    found = asyncio.run(run_child(check_examples, (source, schema)))  # a file may end the process of its reader
    if as_json:
        print_json({**asdict(found), "schema": str(beside) if schema is not None else ""})
    else:
        _show(found, has_schema=schema is not None)
    raise typer.Exit(1 if found.findings else 0)


def _show(found: CheckedExamples, *, has_schema: bool) -> None:
    console.print(titled("examples", Listing(("what", "how much"), _rows(found, has_schema))))
    if not found.findings:
        say("nothing was found")
        return
    rows = [(each.kind, f"{each.num_records:,}", ", ".join(each.places)) for each in found.findings]
    console.print(titled("found", Listing(("what", "records", "lines"), rows, numbers=("records",))))


def _rows(found: CheckedExamples, has_schema: bool) -> Iterator[tuple[str, str]]:
    yield "examples", f"{found.num_examples:,}" + ("" if found.is_all else ", and more that were not looked at")
    for name, chars in (("inputs", found.input_chars), ("answers", found.answer_chars)):
        yield name, f"{chars[0]:,} characters in the middle, 95 % up to {chars[1]:,}, the longest {chars[2]:,}"
    yield "different answers", f"{found.num_answers:,}; the commonest is {found.commonest:.0%} of all"
    yield "schema", f"{SCHEMA} beside them" if has_schema else f"none: there is no {SCHEMA} beside them"
