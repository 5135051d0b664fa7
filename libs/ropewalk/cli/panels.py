"""The order in which `ropewalk --help` shows the commands: what a newcomer needs first."""

import typer
from typer.models import CommandInfo, TyperInfo

_PANELS: dict[str, tuple[str, ...]] = {
    "First steps": ("demo", "up", "init", "submit", "watch", "report", "complete", "chat", "models", "status", "down"),
    "Runs": ("runs", "show", "cancel", "ledger", "lineage"),
    "Questions": ("query", "what-was-live", "alarms"),
    "Operations": ("logs", "dead", "bus", "keys", "backup", "restore", "replay", "fsck", "drill", "contracts"),
}
_ORDER = {name: place for place, name in enumerate(name for names in _PANELS.values() for name in names)}


def arrange(app: typer.Typer) -> None:
    """Give every command its panel and its place; one that is in none comes last."""
    for command in app.registered_commands:
        command.rich_help_panel = _panel(command)
    for group in app.registered_groups:
        group.rich_help_panel = _panel(group)
    app.registered_commands.sort(key=lambda command: _ORDER.get(_word(command), len(_ORDER)))


def _panel(info: CommandInfo | TyperInfo) -> str:
    return next((panel for panel, names in _PANELS.items() if _word(info) in names), "Other")


def _word(info: CommandInfo | TyperInfo) -> str:
    """What is typed."""
    return str(info.name or getattr(info.callback, "__name__", ""))
