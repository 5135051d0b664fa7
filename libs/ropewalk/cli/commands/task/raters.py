"""`eval raters invite|revoke|list`: people who grade answers of a task set on the evaluator's page."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import Listing, console, done, minute, print_json, say
from ropewalk.client.judges.raters import RaterLink, figures_of, invite_rater, revoke_rater
from ropewalk.events.moments import moment_of

app = typer.Typer(name="raters", no_args_is_help=True, help="Raters: people who grade answers.")

TaskSet = Annotated[str, typer.Argument(metavar="TASKSET", help="A task set, as `ropewalk taskset list` has it.")]
Rater = Annotated[str, typer.Argument(metavar="RATER", help="A name for a person; models and judges are not told it.")]
Days = Annotated[int, typer.Option("--days", min=1, max=365, help="How long the link is good.")]


@app.command()
def invite(
    task_set: TaskSet, rater: Rater, days: Days = 30, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """Make a link with which a person labels answers. Whoever has it is that person, so hand it over in private.

    Example: ropewalk eval raters invite explaining anna
    """
    link = call(lambda client: invite_rater(client, task_set, rater, days), settings_of(state_dir))
    show_link(link, rater, as_json=as_json)


@app.command()
def revoke(task_set: TaskSet, rater: Rater, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """End all links of a rater at once; the labels stay.

    Example: ropewalk eval raters revoke explaining anna
    """
    call(lambda client: revoke_rater(client, task_set, rater), settings_of(state_dir))
    if as_json:
        print_json({"rater": rater, "revoked": True})
    else:
        done(f"no link of {rater} is good any more")


@app.command("list")
def list_raters(task_set: TaskSet, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List the raters of a task set: until when, how many labels, how fast, how often others say the same.

    Example: ropewalk eval raters list explaining
    """
    found = call(lambda client: figures_of(client, task_set), settings_of(state_dir))
    if as_json:
        print_json([asdict(each) for each in found])
        return
    rows = [
        (
            each.rater,
            _until(each.until_unix),
            str(each.num_labels),
            "–" if each.median_s is None else f"{each.median_s:.0f}",
            "–" if each.agreement is None else f"{each.agreement:.0%} of {each.num_shared} sheets",
        )
        for each in found
    ]
    if rows:
        heads = ("rater", "until (UTC)", "labels", "median s", "others say the same")
        console.print(Listing(heads, rows, numbers=("labels", "median s")))
    else:
        say(f"nobody is invited to {task_set} yet: `ropewalk eval raters invite {task_set} NAME`")


def show_link(link: RaterLink, rater: str, *, as_json: bool) -> None:
    """A link and until when it is good."""
    if as_json:
        print_json({"rater": rater, **asdict(link)})
    else:
        done(f"{rater} may label until {_until(link.until_unix)} UTC, at")
        say(f"  {link.url}")


def _until(unix: float) -> str:
    if not unix:
        return "revoked"
    told = minute(moment_of(unix).isoformat())
    return told if time.time() < unix else f"{told} (over)"
