"""Every command there is, in the order of `ropewalk --help`: what a newcomer needs first.

A module of `commands` is imported when one of its commands is run or asked for its own help, so that nobody waits for
libraries that his command does not need. Therefore the sentences below stand here and not only in those modules; a
test compares them.
"""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

_PANELS = {
    "First steps": {
        "demo": "Raw text to a watched endpoint in a few minutes, with a worker killed on the way; ends with a report"
        " card.",
        "up": "Start the embedded stack and leave it running.",
        "init": "Look at a folder and write a recipe for it, with the reason for every choice.",
        "plan": "Turn a budget into a size, tokens, rates, and the loss, time and price to expect, with intervals.",
        "data": "Examples of a task.",
        "bake": "Bake one job into a small model, so that it needs no long prompt any more.",
        "cost": "What requests cost, before and after a task is baked.",
        "submit": "Check a recipe and start a run of it.",
        "watch": "Show a run until it is over: stage, step, rate, loss, time left. Whoever stops watching stops"
        " nothing.",
        "report": "Write the report card of a run: its course, its numbers, samples of what the model says, and its"
        " recipe.",
        "complete": "Continue a text with the model that was promoted last, as it is generated, and say which model"
        " that is.",
        "chat": "Talk to a model that was trained on conversations: a line is a turn, Ctrl-D ends, /new begins anew.",
        "status": "Show endpoints and processes of the running stack, and what is wrong with it.",
        "down": "Stop the stack; no process stays behind. Unfinished runs continue at the next `ropewalk up`.",
        "models": "The models of the endpoint.",
    },
    "Runs": {
        "runs": "List the newest runs with their state, and how many there are.",
        "show": "Show the timeline of one run: what happened, and because of which earlier event.",
        "cancel": "Stop a run at its next checkpoint, or now.",
        "pause": "Let a run in training save a checkpoint, leave its place to others and wait until it is resumed.",
        "resume": "Let a paused run go on from its checkpoint, once there is room for it.",
        "lineage": "Show what something was made from and what was made from it, from the documents to the endpoint.",
        "checkpoints": "The checkpoints of a run.",
        "ledger": "The record of which samples each training step consumed.",
    },
    "Questions": {
        "eval": "Judgements of models.",
        "taskset": "Task sets: what models are asked, as data.",
        "query": "Ask the analytics database in SQL, or by the name of a query that ships.",
        "export-metrics": "Write the metrics of a run's training as files of TensorBoard, Weights & Biases (offline) or"
        " MLflow.",
        "what-was-live": "Which model version answered under which name at a time of the log, since when, and who let"
        " it.",
        "alarms": "Alarms of the watch over the traffic.",
    },
    "Operations": {
        "doctor": "Look for what is wrong with this machine or the stack, and say what to do about it.",
        "upgrade": "Say what this release will change in the stack that runs or last ran, and the order to do it in.",
        "logs": "Print the log of one process of the stack, embedded or in containers of a compose project.",
        "backup": "Keep the log in a folder: every fact, request, state, timer and dead letter. The stack may be up or"
        " down.",
        "restore": "Make the log of a backup that of the stack, which must be down, or of the server that"
        " ROPEWALK_NATS_URL names.",
        "replay": "Rebuild every projection from the log, as of a time or a sequence: a file each, and replay.json"
        " about them.",
        "fsck": "Compare the live projections with a rebuild from the log, and check the log itself; exit code 1 if"
        " not all well.",
        "contracts": "Print every message type as AsyncAPI 3, in YAML or JSON.",
        "bus": "The streams and consumers of the event log.",
        "dead": "Messages that a consumer rejected.",
        "drill": "Cause a fault in the running stack and see how it is taken.",
        "keys": "The users of the bus and their keys.",
    },
}
_MODULES = {"up": "stack", "down": "stack", "logs": "stack", "cancel": "submit", "chat": "complete"}
_MODULES |= {
    "bake": "task.bake",
    "cost": "task.cost",
    "data": "task.data",
    "taskset": "task.taskset",
    "eval": "task.eval",
}
_MODULES |= {"doctor": "care.doctor", "upgrade": "care.upgrade"}
_MODULES |= {"pause": "submit", "resume": "submit"}
_SPELLINGS = {"model": "models"}  # also understood, and not in the help
_MODULES |= {"restore": "backup", "fsck": "replay", "what-was-live": "replay", "export-metrics": "export_metrics"}
# the others have one of their own name


class LazyCommand(TyperCommand):
    """A line of the help. The command, or the group of commands, behind it is loaded when it is needed."""

    def load(self) -> TyperCommand | TyperGroup:
        """The real one."""
        name = str(self.name)
        group = typer.main.get_group(import_module(f"ropewalk.cli.commands.{_MODULES.get(name, name)}").app)
        return group if group.name == name else group.commands[name]  # type: ignore[return-value]

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Whoever runs a command or asks for its help makes a context first, and from then on has the real one."""
        return self.load().make_context(*arguments, **options)


class Tree(TyperGroup):
    """The root of the command line."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for panel, commands in _PANELS.items():
            # The order of this table is the order of the help, and the keys are what a typing error is compared with.
            for name, summary in commands.items():
                self.add_command(LazyCommand(name, help=summary, rich_help_panel=panel))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, which may be another spelling of it."""
        return super().get_command(ctx, _SPELLINGS.get(cmd_name, cmd_name))


app = typer.Typer(
    name="ropewalk",
    cls=Tree,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # 5 ms, which a list of runs need not wait for

        typer.echo(f"ropewalk {version('ropewalk')}")
        raise typer.Exit


@app.callback()
def root(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """From raw text to a governed, watched language-model endpoint."""
