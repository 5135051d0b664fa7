"""`query`: questions to the analytics database."""

import asyncio
from typing import Annotated

import typer

from ropewalk.cli.connecting import settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import Listing, console, print_json
from ropewalk.client.endpoints import query
from ropewalk.client.errors import ClientError
from ropewalk.client.queries import NamedQuery, named_queries
from ropewalk.events.foreign import quoted

app = typer.Typer()


@app.command("query")
def query_command(
    question: Annotated[str, typer.Argument(metavar="SQL|NAME", help="SQL, or the name of a shipped query.")] = "",
    listing: Annotated[bool, typer.Option("--list", help="List the shipped queries.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Ask the analytics database in SQL, or by the name of a query that ships.

    Example: ropewalk query "SELECT count() FROM ropewalk.request"
    """
    if listing:
        _print_names(named_queries(), as_json)
        return
    if not question.strip():
        raise ClientError('nothing was asked: write SQL, a name, or --list, for example `ropewalk query "SELECT 1"`')
    table = asyncio.run(query(settings_of(state_dir), _sql(question)))
    if as_json:
        print_json(table.as_records())
    else:
        rows = [[_cell(value) for value in row] for row in table.rows]
        console.print(Listing(table.columns, rows))


def _sql(question: str) -> str:
    """A single word is a name. Raises ClientError if nothing ships under it."""
    name = question.strip()
    # SQL has a space at the least; a name has letters, digits, `_` and `-` only.
    if not name.replace("_", "").replace("-", "").isalnum():
        return question
    known = {each.name: each.sql for each in named_queries()}
    if name not in known:
        raise ClientError(
            f"there is no query named {quoted(name)}: `ropewalk query --list` shows {', '.join(sorted(known))}"
        )
    return known[name]


def _print_names(queries: list[NamedQuery], as_json: bool) -> None:
    if as_json:
        print_json([{"name": each.name, "description": each.description, "sql": each.sql} for each in queries])
        return
    console.print(Listing(("name", "what it answers"), [(each.name, each.description) for each in queries]))


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
