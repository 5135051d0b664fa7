"""`init`: from a folder of data to a recipe."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.options import AsJson
from ropewalk.cli.screens.dry_run import meant_elsewhere, show_data
from ropewalk.cli.screens.terminal import complain, done, print_json, say
from ropewalk.client.errors import ClientError
from ropewalk.corpus.draft import Draft, draft_recipe
from ropewalk.corpus.reading.sources import open_source
from ropewalk.events.foreign import quoted
from ropewalk.recipes.paths import scheme_of
from ropewalk.recipes.recipe import RecipeError, SourceRecipe
from ropewalk.stages.child import OnReport, run_child

app = typer.Typer()


@app.command()
def init(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder (or file) of texts, code or JSONL.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: NAME.yaml, here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at a folder and write a recipe for it, with the reason for every choice.

    Example: ropewalk init ~/notes
    """
    if scheme_of(folder) and (fault := open_source(SourceRecipe.model_construct(path=folder, licence="")).fault()):
        raise ClientError(f"{quoted(folder)}: {fault}")
    # `absolute`, not `resolve`: a recipe keeps the name that its owner knows, also where that is a link.
    place = Path(folder).expanduser().absolute()
    if not place.exists():
        plain = f"{quoted(folder)} does not exist: name a folder or a file with your data"
        raise ClientError(meant_elsewhere(str(place)) or plain)
    try:
        str(place).encode()
    except UnicodeEncodeError:  # file systems allow any bytes
        problem = f"the name {quoted(str(place))} is not UTF-8, and a recipe is: rename it, or link to it"
        raise ClientError(problem) from None
    draft = asyncio.run(run_child(look_at_data, place))  # a file may end the process of its reader
    show = (lambda _: None) if as_json else show_data
    if not draft.found.num_documents:
        show(draft.found)
        raise ClientError(f"nothing in {quoted(folder)} can be read as text, so there is no recipe for it")
    file = out or Path(f"{draft.fields['name']}.yaml")
    if file.exists():
        raise ClientError(f"{quoted(str(file))} exists already: choose another name with --out")
    if draft.shortfalls:
        show(draft.found)
        raise RecipeError(draft.shortfalls)
    file.write_text(draft.text, encoding="utf-8")
    if as_json:
        print_json({"file": str(file), "recipe": draft.fields, "why": draft.why, "warning": draft.warning})
        return
    show(draft.found)
    if draft.warning:
        complain(draft.warning, style="yellow")
    done(f"{file} is the recipe")
    if draft.fields.get("base_model") == "":
        say("  name in it the model to begin with (base_model), for example a folder that an earlier run exported")
    say(f"  next: `ropewalk submit {file} --dry-run` shows plan, time and price, `ropewalk submit {file} -f` starts it")


def look_at_data(folder: Path, _: OnReport) -> Draft:
    """A recipe for what is in the folder. For a child process."""
    return draft_recipe(folder)
