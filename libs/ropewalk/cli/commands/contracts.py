"""`contracts`: the messages of the bus as an AsyncAPI 3 document."""

import typer
import yaml

from ropewalk.cli.options import AsJson
from ropewalk.cli.screens.terminal import console, print_json
from ropewalk.events.asyncapi import document

app = typer.Typer()


@app.command()
def contracts(as_json: AsJson = False) -> None:
    """Print every message type as AsyncAPI 3, in YAML or JSON.

    Example: ropewalk contracts --json > asyncapi.json
    """
    content = document()
    if as_json:
        print_json(content)
    else:
        console.print(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), soft_wrap=True)
