"""Write the pages that follow from the code and from the measurements (`make docs`).

docs/events.md, docs/settings.md, docs/asyncapi.json, docs/measured.md, the picture docs/images/house.svg, and the
figures of README.md.
"""

import importlib.util
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ropewalk.events import checkpoint, data, drill, evaluation, monitoring, run, serving, training
from ropewalk.events.asyncapi import address, document
from ropewalk.events.base import Message, Value
from ropewalk.events.registry import MESSAGE_TYPES
from ropewalk.events.streams import stream_of

DOCS = Path(__file__).parent
FAMILIES = (run, data, training, checkpoint, evaluation, serving, monitoring, drill)
_FIGURES = re.compile(r"(<!-- figures: `make docs` -->).*?(<!-- end -->)", re.DOTALL)
_HEAD = "<!-- Written by `make docs`; edit the docstrings instead. -->\n\n"


def pages() -> dict[str, str]:
    """File name below docs/ -> text of every generated page."""
    measured = _script(DOCS / "measured.py")
    readme = (DOCS.parent / "README.md").read_text()
    return {
        "../README.md": re.sub(_FIGURES, lambda found: f"{found[1]}\n{measured.figures()}\n{found[2]}", readme),
        "events.md": _HEAD + "\n".join(_events()),
        "settings.md": _HEAD + "\n".join(_settings()),
        "asyncapi.json": json.dumps(document(), indent=1) + "\n",
        "measured.md": _HEAD.replace("docstrings", "benchmarks") + measured.page(),
        "images/house.svg": _script(DOCS / "house.py").picture(),
    }


def _events() -> Iterator[str]:
    yield "# Messages\n"
    yield "Everything that happens is one of these messages on NATS JetStream. The body is JSON; CloudEvents attributes"
    yield "travel as headers (`proto/ropewalk/v1/envelope.proto`). The same contract is in `proto/` (protobuf) and in"
    yield "`docs/asyncapi.json` (`ropewalk contracts` prints it).\n"
    for family in FAMILIES:
        yield f"## {family.__name__.rpartition('.')[2].capitalize()}\n"
        yield f"{_first_paragraph(family)}\n"
        for kind in _values_of(family):
            yield from _value(kind)


def _values_of(family: ModuleType) -> list[type[Value]]:
    members = [member for member in vars(family).values() if inspect.isclass(member)]
    return [
        each
        for each in members
        if issubclass(each, Value) and each.__module__ == family.__name__ and not each.__name__.startswith("_")
    ]


def _value(kind: type[Value]) -> Iterator[str]:
    yield f"### {kind.__name__}\n"
    yield f"{inspect.cleandoc(kind.__doc__ or '')}\n"
    if issubclass(kind, Message) and kind in MESSAGE_TYPES:
        yield f"Subject `{address(kind)}`, stream `{stream_of(kind.subject_prefix())}`.\n"
    yield "| field | type | |"
    yield "|---|---|---|"
    for name, field in kind.model_fields.items():
        yield f"| `{name}` | {_type(field.annotation)} | {_notes(field)} |"
    yield ""


def _type(annotation: object) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " \\| ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        value = arguments[1]
        return f"map of text to {_type(value)}" if value in (int, float) else "JSON object"
    plain = {str: "text", int: "integer", float: "number", bool: "true or false"}
    if annotation in plain:
        return plain[annotation]  # type: ignore[index]
    return str(getattr(annotation, "__name__", annotation))


def _notes(field: FieldInfo) -> str:
    default = "" if field.is_required() else f"default `{json.dumps(field.get_default(call_default_factory=True))}`"
    return "; ".join(part for part in (field.description or "", default) if part)


def _settings() -> Iterator[str]:
    yield "# Settings\n"
    yield "Where things are, read from the environment once at the start of a process. What to do is a recipe, not a"
    yield "setting. The embedded stack sets all of these itself.\n"
    interface = _script(DOCS.parent / "tests" / "interface.py")
    by_module: dict[str, dict[str, str]] = {"runtime": {}}
    seen: set[str] = set()
    for setting in sorted(interface.own_settings(), key=lambda each: ".runtime." not in each.owner.__module__):
        if setting.name in seen:
            continue
        seen.add(setting.name)
        section = setting.owner.__module__.split(".")[1].replace("_", "-")
        field = setting.owner.model_fields[setting.field]
        row = f"| `{setting.name}` | {_default(field)} | {field.description or ''} |"
        by_module.setdefault(section, {})[setting.name] = row
    for section, rows in by_module.items():
        yield f"## {section}\n"
        yield "| variable | default | |"
        yield "|---|---|---|"
        yield from rows.values()
        yield ""


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "made at the start"
    value = field.get_default()
    if value is None or value == "":
        return "empty"
    shown = str(value).replace(str(Path.home()), "~") if isinstance(value, Path) else json.dumps(value)
    return f"`{shown}`"


def _script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _first_paragraph(module: ModuleType) -> str:
    return " ".join(inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
        print(f"wrote docs/{name}")
