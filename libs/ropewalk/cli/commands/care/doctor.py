"""`doctor`: what is wrong with this machine or with a stack, and what to do about each."""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ropewalk.cli.options import AsJson, StateDir, layout
from ropewalk.cli.screens.terminal import done, print_json, say
from ropewalk.cli.settings import compose_project, named_bus
from ropewalk.client.settings import find_settings
from ropewalk.local.checkup.findings import Check, Remark, look_at_all
from ropewalk.local.checkup.machine import docker_checks, machine_checks
from ropewalk.local.checkup.stack import disk_findings, stack_checks, status_findings
from ropewalk.local.containers import Containers, with_containers
from ropewalk.local.layout import Layout
from ropewalk.local.lock import holder
from ropewalk.local.names import SERVICES
from ropewalk.local.stack import measure
from ropewalk.status.asking import Status, status_of

app = typer.Typer()


class Patient(StrEnum):
    """What can be looked at."""

    MACHINE = "machine"
    DOCKER = "docker"
    STACK = "stack"


What = Annotated[
    Patient | None,
    typer.Argument(
        metavar="[machine|docker|stack]",
        help="This machine, its container engine, or the stack; by default the stack if one runs or is named by "
        "ROPEWALK_NATS_URL, else the machine.",
        show_default=False,
    ),
]


@app.command()
def doctor(what: What = None, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Look for what is wrong with this machine or the stack, and say what to do about it.

    Takes 10 s at most; exit code 1 if something is wrong.

    Example: ropewalk doctor
    """
    place = layout(state_dir)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns about how TLS connections end
    chosen = what or (Patient.STACK if _stack_is_meant(place, state_dir) else Patient.MACHINE)
    findings = look_at_all(_checks(chosen, place, state_dir))
    if as_json:
        checks = [{**asdict(finding), "well": not finding.remedy} for finding in findings]
        print_json({"looked_at": chosen.value, "checks": checks})
    else:
        _show(findings)
    raise typer.Exit(1 if any(finding.remedy for finding in findings) else 0)


def _stack_is_meant(place: Layout, state_dir: Path | None) -> bool:
    return (state_dir is None and named_bus() is not None) or bool(holder(place))


def _checks(chosen: Patient, place: Layout, state_dir: Path | None) -> list[Check]:
    match chosen:
        case Patient.MACHINE:
            return machine_checks(place.state_dir)
        case Patient.DOCKER:
            return docker_checks()
    status = Check(
        name="status", ask=lambda: _status(place, state_dir), remedy="`ropewalk up` starts an embedded stack"
    )
    return [status, *stack_checks(find_settings(place.state_dir))]


def _status(place: Layout, state_dir: Path | None) -> Iterator[Remark]:
    bus = named_bus() if state_dir is None else None
    if bus is not None:
        found = status_of(bus, SERVICES)
        if project := compose_project():
            found = with_containers(found, Containers(project))
        yield from status_findings(found)
        yield from disk_findings(found.seen.disks)
        return
    measured = measure(place, over_s=0.0)
    yield from status_findings(Status(seen=measured.seen, problems=measured.problems))
    yield from disk_findings(measured.seen.disks)


def _show(findings: list[Remark]) -> None:
    for finding in findings:
        done(finding.what, good=not finding.remedy)
        if finding.remedy:
            say(f"  → {finding.remedy}", style="bold")
