"""Write what follows from the code and from the measurements (`make docs`).

The pages docs/events.md, docs/settings.md, docs/recipe-fields.md, docs/asyncapi.json and docs/measured.md, the picture
docs/images/house.svg, the figures of README.md, and in the docstring of every service the lists of what it listens to
and what it emits, which follow from its contract.
"""

import importlib.util
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from faststream.specification.asyncapi import AsyncAPI
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from ropewalk.admin.contracts import CONTRACTS
from ropewalk.events.asyncapi import address, document
from ropewalk.events.base import Message, Value
from ropewalk.events.contract import Contract, Stage
from ropewalk.events.registry import FAMILIES, MESSAGE_TYPES
from ropewalk.events.streams import stream_of
from ropewalk.monitor.app import build as build_monitor
from ropewalk.monitor.settings import Settings as MonitorSettings
from ropewalk.recipes.caps import CapsRecipe
from ropewalk.recipes.judgement import EvaluationRecipe, PromotionRecipe
from ropewalk.recipes.recipe import Plan, Recipe, SourceRecipe
from ropewalk.recipes.task import TaskRecipe
from ropewalk.recipes.training import TrainingRecipe
from ropewalk.runtime.broker import SharedBroker
from ropewalk.runtime.service import Service
from ropewalk.runtime.settings import RuntimeSettings
from ropewalk.telemetry.catalogue import METRICS, prometheus_name
from ropewalk.telemetry.names import named

DOCS = Path(__file__).parent
SERVICES = DOCS.parent / "services" / "ropewalk"
_LISTS = re.compile(r"^Listens: .*?^Emits: .*?(?=^$|\"\"\")", re.DOTALL | re.MULTILINE)
_FIGURES = re.compile(r"(<!-- figures: `make docs` -->).*?(<!-- end -->)", re.DOTALL)
_METRICS = re.compile(r"(<!-- metrics[^>]*-->).*?(<!-- end -->)", re.DOTALL)
_HEAD = "<!-- Written by `make docs`; edit the docstrings instead. -->\n\n"


def pages() -> dict[str, str]:
    """File name, seen from here, -> text of everything that is written."""
    services = {SERVICES / name.replace("-", "_") / "__init__.py": contract for name, contract in CONTRACTS.items()}
    measured, training, finetune = (_script(DOCS / f"measured{part}.py") for part in ("", "_training", "_finetune"))
    readme = (DOCS.parent / "README.md").read_text()
    telemetry = (DOCS / "telemetry.md").read_text()
    return {
        "../README.md": re.sub(_FIGURES, lambda found: f"{found[1]}\n{measured.figures()}\n{found[2]}", readme),
        "events.md": _HEAD + "\n".join(_events()),
        "recipe-fields.md": _HEAD + "\n".join(_recipe_fields()),
        "telemetry.md": re.sub(_METRICS, lambda found: f"{found[1]}\n{_metrics()}\n{found[2]}", telemetry),
        "settings.md": _HEAD + "\n".join(_settings()),
        "asyncapi.json": json.dumps(_with_questions(document()), indent=1) + "\n",
        **{f"../{path.relative_to(DOCS.parent)}": _with_lists(path, each) for path, each in services.items()},
        "measured.md": _HEAD.replace("docstrings", "benchmarks")
        + measured.page()
        + training.section()
        + finetune.section(),
        "images/house.svg": _script(DOCS / "house.py").picture(),
    }


def _metrics() -> str:
    """Every metric as Prometheus names it, with its labels and what it says."""
    rows = ["| metric | kind | labels | what it says |", "|---|---|---|---|"]
    for name, metric in METRICS.items():
        labels = ", ".join(f"`{label.replace('.', '_')}`" for label in named(dict.fromkeys(metric.labels, "")))
        rows.append(f"| `{prometheus_name(name)}` | {metric.kind} | {labels} | {metric.says} |")
    return "\n".join(rows)


def _with_lists(path: Path, contract: Contract) -> str:
    """The text of a service's package with the lists that its contract says."""
    heard = [
        f"{row.kind.__name__} (stage `{row.name}`)" if isinstance(row, Stage) else row.kind.__name__
        for row in contract.listens
    ]
    heard += [f"`{subject}` (table)" for spec in contract.tables for subject in spec.subjects]
    lists = (("Listens", heard), ("Emits", [kind.__name__ for kind in contract.emits]))
    lines = [textwrap.fill(f"{heading}: {', '.join(names)}.", 120) + "\n" for heading, names in lists]
    return _LISTS.sub(lambda _: "".join(lines), path.read_text())


def _with_questions(api: dict[str, Any]) -> dict[str, Any]:
    """The document of the messages, and what services are asked on `ctl.*`, as FastStream describes it."""
    brokers = [Service(name, RuntimeSettings()).broker for name in CONTRACTS if name != "monitor"]
    brokers.append(build_monitor(MonitorSettings()).broker)
    for broker in brokers:
        described = AsyncAPI(broker, schema_version="3.0.0").to_specification().to_json()
        asked = json.loads(described.replace(":SubscribeMessage", ".Question"))  # AsyncAPI allows no colon in a name
        schemas = asked["components"]["schemas"]
        for name, channel in sorted(asked["channels"].items()):
            api["channels"][name] = {key: channel[key] for key in ("address", "messages")}
            api["channels"][name]["description"] = channel["description"].partition("\n\n")[0]
            if "{name}" in channel["address"]:
                api["channels"][name]["parameters"] = {"name": {"description": "what is asked"}}
            api["operations"][f"receive.{name}"] = _operation_with_reply(api, asked, name, _reply_of(broker, name))
        assert not set(schemas) & {kind.__name__ for kind in MESSAGE_TYPES}, "a question is named as a message"
        api["components"]["messages"] |= dict(sorted(asked["components"]["messages"].items()))
        api["components"]["schemas"] |= dict(sorted(schemas.items()))
    api["info"]["tags"].append({"name": "ctl", "description": "questions; nothing of them is stored"})
    return api


def _operation_with_reply(api: dict[str, Any], asked: dict[str, Any], name: str, reply: Any) -> dict[str, Any]:
    """FastStream's operation, and the answer, which FastStream leaves out; an answer of bytes has no schema."""
    operation: dict[str, Any] = {**asked["operations"][name], "tags": [{"name": "ctl"}]}
    if reply is not bytes:
        schema = TypeAdapter(reply).json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
        asked["components"]["schemas"] |= {**schema.pop("$defs", {}), reply.__name__: schema}
        payload = {"$ref": f"#/components/schemas/{reply.__name__}"}
        asked["components"]["messages"][reply.__name__] = {"title": reply.__name__, "payload": payload}
        answers = {reply.__name__: {"$ref": f"#/components/messages/{reply.__name__}"}}
        api["channels"][f"{name}.reply"] = {"address": None, "messages": answers}
        channel = {"$ref": f"#/channels/{name}.reply"}
        operation["reply"] = {
            "channel": channel,
            "messages": [{"$ref": f"{channel['$ref']}/messages/{reply.__name__}"}],
        }
    return operation


def _reply_of(broker: SharedBroker, title: str) -> Any:
    """The type of the answer, as its subscriber is annotated."""
    (asked,) = (each for each in broker.subscribers if each.specification.name == title)
    return get_type_hints(asked.calls[0].handler._original_call)["return"]


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
    if type(None) in arguments:
        return _type(arguments[0])
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " \\| ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        value = arguments[1]
        is_typed = value in (int, float) or (inspect.isclass(value) and issubclass(value, Value))
        return f"map of text to {_type(value)}" if is_typed else "JSON object"
    plain = {str: "text", int: "integer", float: "number", bool: "true or false"}
    if annotation in plain:
        return plain[annotation]  # type: ignore[index]
    return str(getattr(annotation, "__name__", annotation))


def _notes(field: FieldInfo) -> str:
    if field.is_required():
        return field.description or ""
    default = json.dumps(field.get_default(call_default_factory=True), default=_differing)
    return "; ".join(part for part in (field.description or "", f"default `{default}`") if part)


def _differing(value: Value) -> dict[str, object]:
    return value.model_dump(exclude_defaults=True)


_PARTS = {
    "sources": SourceRecipe,
    "evaluation": EvaluationRecipe,
    "promotion": PromotionRecipe,
    "training": TrainingRecipe,
    "task": TaskRecipe,
    "caps": CapsRecipe,
    "plan": Plan,
}


def _recipe_fields() -> Iterator[str]:
    yield "# Fields of a recipe\n"
    yield "Only what has no default must be written; [recipes.md](recipes.md) shows recipes. The plan is derived from"
    yield "`size` and `minutes`: `ropewalk submit RECIPE --dry-run` shows it.\n"
    for part, kind in {"": Recipe, **_PARTS}.items():
        yield f"## {part.capitalize() or 'Recipe'}\n"
        yield f"{_first_paragraph(kind)}\n"
        yield "| field | type | default | |"
        yield "|---|---|---|---|"
        for name, field in kind.model_fields.items():
            if name not in _PARTS:
                default = "derived" if kind in (Plan, TrainingRecipe) else _default(field)
                row = f"{_type(field.annotation)} | {default} | {field.description or ''} |"
                yield f"| `{f'{part}.' if part else ''}{name}` | {row}"
        yield ""


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
    if field.is_required():
        return "required"
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


def _first_paragraph(module: object) -> str:
    return " ".join(inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
        print(f"wrote {(DOCS / name).resolve().relative_to(DOCS.parent.resolve())}")
