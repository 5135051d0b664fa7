"""`ropewalk status` without the imports of the other commands, which take longer than the looking.

Whatever is not the plain case (an option it does not know, a stack that is down) is left to the command proper.
"""

from pathlib import Path

from ropewalk.cli.settings import default_state_dir


def answer(arguments: list[str]) -> bool:
    """Do what the command line says, if it is a plain `status`; whether it was done."""
    if arguments[:1] != ["status"]:
        return False
    as_json, state_dir = False, default_state_dir()
    words = iter(arguments[1:])
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--json":
            as_json = True
        elif name == "--state-dir" and (value := value if equals else next(words, "")):
            state_dir = Path(value)
        else:
            return False
    return _show(state_dir, as_json)


def _show(state_dir: Path, as_json: bool) -> bool:
    from ropewalk.cli.screens.status import show_status
    from ropewalk.local.errors import StackNotRunningError
    from ropewalk.local.layout import layout_of
    from ropewalk.local.stack import measure

    try:
        measured = measure(layout_of(state_dir))
    except StackNotRunningError:
        return False
    show_status(measured, as_json=as_json)
    return True
