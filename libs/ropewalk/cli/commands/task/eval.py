"""`eval show|report|compare|again|label|judges|raters`: judgements of models, and who judges."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ropewalk.cli.commands.task import judges, raters
from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.compared import show_compared
from ropewalk.cli.screens.judged_sets import show_judged
from ropewalk.cli.screens.terminal import done, print_json, say
from ropewalk.client.judged_sets import judged_sets
from ropewalk.client.judges.raters import invite_rater, own_name
from ropewalk.client.judging_again import judge_again

if TYPE_CHECKING:
    from ropewalk.client import Client

app = typer.Typer(name="eval", no_args_is_help=True, help="Judgements of models.")
app.add_typer(judges.app)
app.add_typer(raters.app)


@app.command()
def show(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show what the last evaluation of a run says about task sets; `ropewalk report` has all the rest.

    Example: ropewalk eval show python-stdlib-261123-101500-1a2b
    """
    settings = settings_of(state_dir)
    found = judged_sets(call(lambda client: client.timeline(run), settings), settings.store.connect())
    if as_json:
        told = [
            {
                **each.section.model_dump(mode="json"),
                "estimates": [estimate.model_dump(mode="json") for estimate in each.estimates],
            }
            for each in found
        ]
        print_json({"run_id": run, "task_sets": told})
        return
    for each in found:
        show_judged(each)
    if not found:
        say("no task set was asked: `evaluation: {task_sets: [copying@1]}` in a recipe names some")


@app.command()
def again(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Judge a run whose decision is deferred once more, on twice as much of what is held out.

    Example: ropewalk eval again python-stdlib-261123-101500-1a2b
    """
    look = call(lambda client: judge_again(client, run), settings_of(state_dir))
    if as_json:
        print_json({"run_id": run, "look": look})
    else:
        done(f"{run} is judged once more (look {look}); `ropewalk watch {run}` shows it")


@app.command()
def label(
    task_set: raters.TaskSet,
    rater: Annotated[str, typer.Option("--rater", metavar="NAME", help="Who labels.", show_default=False)] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Label answers yourself: a link for a day, under your own name on this machine.

    Example: ropewalk eval label explaining
    """
    name = rater or own_name()
    link = call(lambda client: invite_rater(client, task_set, name, days=1), settings_of(state_dir))
    raters.show_link(link, name, as_json=as_json)


@app.command()
def report(
    run: RunId,
    look: Annotated[int, typer.Option("--look", min=0, help="Which judgement of the run; 0: the newest.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Default: evaluation-RUN.html, here.")
    ] = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Write one page and one picture of an evaluation: the verdict, every difference, levels, judges, examples.

    Example: ropewalk eval report python-stdlib-261123-101500-1a2b
    """
    from ropewalk.report.evaluation.gather import gather_evaluation  # with numpy, for which `show` does not wait
    from ropewalk.report.evaluation.page import write_evaluation

    html = (out or Path(f"evaluation-{run}.html")).expanduser()
    if html.suffix != ".html":
        raise typer.BadParameter(f"{str(html)!r} must end with .html; the picture is written beside it")
    settings = settings_of(state_dir)
    objects = settings.store.connect()
    found = call(lambda client: gather_evaluation(client, run, look, objects), settings)
    png = write_evaluation(found, html)
    if as_json:
        told = {"run_id": run, "look": found.report.look, "verdict": found.decided.word}
        print_json({**told, "html": str(html), "png": str(png)})
    else:
        say(f"evaluation of {run}, {found.decided.word}: {html} and {png}")


@app.command()
def compare(
    one: Annotated[str, typer.Argument(metavar="A", help="A run id, as `ropewalk runs` lists them.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The run to compare it with.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs on the items that both were scored on, with clustered intervals.

    Example: ropewalk eval compare python-stdlib-261123-101500-1a2b python-stdlib-261124-101500-5c6d
    """
    from ropewalk.report.evaluation.compare import Judged  # with numpy, for which `show` does not wait
    from ropewalk.report.evaluation.compare import compare as compared
    from ropewalk.report.evaluation.sealed import decision_of, read_rows, read_sealed

    settings = settings_of(state_dir)
    objects = settings.store.connect()

    async def judged(client: "Client", run: str) -> Judged:
        uri = decision_of(await client.timeline(run)).evaluation_uri
        return Judged(report=read_sealed(objects, uri), rows=tuple(read_rows(objects, uri)))

    async def both(client: "Client") -> tuple[Judged, Judged]:
        return await judged(client, one), await judged(client, other)

    found = compared(*call(both, settings))
    if as_json:
        print_json({"better": one, "than": other, "differences": [each.model_dump(mode="json") for each in found]})
    else:
        show_compared(one, other, found)
