"""What users can turn: every setting and every CLI option. `make freeze` accepts the present list.

Run as a script it writes tests/golden/interface.txt, which test_architecture compares: a new dial is a decision.
"""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[1]
FROZEN = ROOT / "tests" / "golden" / "interface.txt"


@dataclass(frozen=True)
class Setting:
    """One environment variable and the class that reads it."""

    name: str
    owner: type[BaseSettings]
    field: str

    @property
    def default(self) -> object:
        """What counts when the variable is not set."""
        return self.owner.model_fields[self.field].get_default(call_default_factory=True)


def settings_classes() -> list[type[BaseSettings]]:
    """Every settings class of libraries and services, each once."""
    found = []
    for root in ("libs", "services"):
        for path in sorted((ROOT / root / "ropewalk").glob("*/settings.py")):
            module = importlib.import_module(f"ropewalk.{path.parent.name}.settings")
            found += [
                member
                for member in vars(module).values()
                if isinstance(member, type)
                and issubclass(member, BaseSettings)
                and member.__module__ == module.__name__
            ]
    return found


def settings_of(owner: type[BaseSettings]) -> Iterator[Setting]:
    """The variables that a class and the classes nested in it read, inherited ones included."""
    for field, info in owner.model_fields.items():
        nested = info.annotation
        if isinstance(nested, type) and issubclass(nested, BaseSettings):
            yield from settings_of(nested)
            continue
        for name in _names(owner, field, info):
            yield Setting(name, owner, field)


def own_settings() -> list[Setting]:
    """Every setting, listed at the class that declares it."""
    return [
        setting
        for owner in settings_classes()
        for setting in settings_of(owner)
        if setting.owner is owner and setting.field in vars(owner).get("__annotations__", {})
    ]


def cli_options() -> list[str]:
    """`ropewalk <command> <option>` for every option and argument, except --help."""
    from ropewalk.cli.tree import app

    return sorted(_options(typer.main.get_command(app), "ropewalk"))


def lines() -> list[str]:
    """The frozen text."""
    return [*cli_options(), *sorted({setting.name for setting in own_settings()})]


def _names(owner: type[BaseSettings], field: str, info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias] if isinstance(alias, str) else [f"{owner.model_config.get('env_prefix', '')}{field}".upper()]


def _options(command: Any, path: str) -> Iterator[str]:
    for parameter in command.params:
        if parameter.name != "help":
            is_option = parameter.param_type_name == "option"
            yield f"{path} {max(parameter.opts, key=len) if is_option else parameter.name.upper()}"
    for name, child in getattr(command, "commands", {}).items():
        child = child.load() if hasattr(child, "load") else child
        yield f"{path} {name}"
        yield from _options(child, f"{path} {name}")


if __name__ == "__main__":
    FROZEN.write_text("\n".join(lines()) + "\n")
    sys.stdout.write(f"wrote {FROZEN.relative_to(ROOT)}: {len(lines())} lines\n")
