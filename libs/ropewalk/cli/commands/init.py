"""`init`: from a folder of data to a recipe."""

import asyncio
import shlex
from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.options import AsJson
from ropewalk.cli.screens.dry_run import meant_elsewhere, show_data
from ropewalk.cli.screens.terminal import complain, done, print_json, say
from ropewalk.client.errors import ClientError
from ropewalk.corpus.draft import Draft, draft_recipe, name_of
from ropewalk.corpus.reading.sources import open_source
from ropewalk.events.foreign import one_line, quoted
from ropewalk.recipes.paths import scheme_of
from ropewalk.recipes.recipe import RecipeError, SourceRecipe
from ropewalk.stages.child import OnReport, run_child
from ropewalk.usecases.folder import TASK, write_task_folder

app = typer.Typer()


@app.command()
def init(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder (or file) of texts, code or JSONL.")],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="With `usecase`: the folder of a task to make.")] = "",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: NAME.yaml, here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look at a folder and write a recipe for it, with the reason for every choice.

    `ropewalk init usecase NAME` makes a folder with a task instead: one job, to be baked into a small model.

    Example: ropewalk init ~/notes
    """
    if name:
        _init_use_case(folder, name, out, as_json=as_json)
        return
    place = _place_of(folder)
    if (place / TASK).is_file():
        raise ClientError(f"{quoted(folder)} is the folder of a task: `ropewalk bake {shlex.quote(folder)} --dry-run`")
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


def _place_of(folder: str) -> Path:
    """Raises ClientError for what is not there or cannot be named in a recipe."""
    if scheme_of(folder) and (fault := open_source(SourceRecipe.model_construct(path=folder, licence="")).fault()):
        raise ClientError(f"{quoted(folder)}: {fault}")
    # `absolute`, not `resolve`: a recipe keeps the name that its owner knows, also where that is a link.
    place = Path(folder).expanduser().absolute()
    if not place.exists():
        plain = f"{quoted(folder)} does not exist: name a folder or a file with your data"
        if folder == "usecase":
            plain = "the task has no name: `ropewalk init usecase NAME` makes a folder for it"
        raise ClientError(meant_elsewhere(str(place)) or plain)
    try:
        str(place).encode()
    except UnicodeEncodeError:  # file systems allow any bytes
        problem = f"the name {quoted(str(place))} is not UTF-8, and a recipe is: rename it, or link to it"
        raise ClientError(problem) from None
    return place


def _init_use_case(word: str, name: str, out: Path | None, *, as_json: bool) -> None:
    if word != "usecase" or out is not None:
        raise typer.BadParameter("give one folder with your data, or `usecase` and the name of a task, without --out")
    place = Path(name).expanduser()
    files = write_task_folder(place, name_of(place.absolute()))
    if as_json:
        print_json({"folder": str(place), "files": list(files)})
        return
    done(f"{one_line(str(place))} is the task: {', '.join(files)}")
    say("  fill them in: the long prompt of today, the schema of an answer, a hundred examples or more")
    shown = shlex.quote(one_line(name))
    say(f"  name in task.yaml the model to begin with (base_model); next: `ropewalk bake {shown} --dry-run`")


def look_at_data(folder: Path, _: OnReport) -> Draft:
    """A recipe for what is in the folder. For a child process."""
    return draft_recipe(folder)
