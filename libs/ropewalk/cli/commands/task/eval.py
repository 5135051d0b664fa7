"""`eval again`: judgements of models."""

import typer

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.terminal import done, print_json
from ropewalk.client.judging_again import judge_again

app = typer.Typer(name="eval", no_args_is_help=True, help="Judgements of models.")


@app.callback()
def _group() -> None:
    """Keeps `again` a word of its own while there is no other."""


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
