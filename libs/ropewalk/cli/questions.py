"""`query`: questions to the analytics database."""

import asyncio
from typing import Annotated

import typer
from rich.table import Table as RichTable

from ropewalk.cli.app import AsJson, StateDir, app, console, print_json, settings_of
from ropewalk.client.endpoints import Table, query
from ropewalk.client.errors import ClientError
from ropewalk.client.queries import NamedQuery, named_queries


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
        console.print(_view(table))


def _sql(question: str) -> str:
    """A single word is a name. Raises ClientError if nothing ships under it."""
    name = question.strip()
    if not name.replace("_", "").replace("-", "").isalnum():
        return question
    known = {each.name: each.sql for each in named_queries()}
    if name not in known:
        raise ClientError(f"there is no query named {name!r}: `ropewalk query --list` shows {', '.join(sorted(known))}")
    return known[name]


def _print_names(queries: list[NamedQuery], as_json: bool) -> None:
    if as_json:
        print_json([{"name": each.name, "description": each.description, "sql": each.sql} for each in queries])
        return
    table = RichTable(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("name", style="bold")
    table.add_column("what it answers")
    for each in queries:
        table.add_row(each.name, each.description)
    console.print(table)


def _view(table: Table) -> RichTable:
    view = RichTable(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for column in table.columns:
        view.add_column(column, overflow="fold")
    for row in table.rows:
        view.add_row(*(_cell(value) for value in row))
    return view


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
