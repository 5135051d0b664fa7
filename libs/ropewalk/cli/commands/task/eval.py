"""`eval show|again|label|judges|raters`: judgements of models, and who judges."""

from typing import Annotated

import typer

from ropewalk.cli.commands.task import judges, raters
from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.judged_sets import show_judged
from ropewalk.cli.screens.terminal import done, print_json, say
from ropewalk.client.judged_sets import judged_sets
from ropewalk.client.judges.raters import invite_rater, own_name
from ropewalk.client.judging_again import judge_again

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
