"""Checks run side by side and end in time; what a doctor finds of a machine and of a stack's answers."""

import threading
import time
from pathlib import Path

import pytest

from ropewalk.local.checkup.findings import Check, Remark, look_at_all
from ropewalk.local.checkup.machine import machine_checks
from ropewalk.local.checkup.stack import disk_findings, status_findings
from ropewalk.status.asking import Status
from ropewalk.status.seen import BrokerView, Disk, Seen, ServiceAnswer


def answering(name: str, *findings: Remark) -> Check:
    return Check(name=name, ask=lambda: findings, remedy="mend it")


def refusing(error: Exception) -> Check:
    def ask() -> list[Remark]:
        raise error

    return Check(name="disk", ask=ask, remedy="free it")


def test_a_check_that_hangs_is_found_in_time_and_the_others_keep_their_answers() -> None:
    never = threading.Event()
    began = time.monotonic()
    hanging = Check(name="bus", ask=lambda: [Remark(check=str(never.wait()), what="late")], remedy="start it")
    found = look_at_all([hanging, answering("clock", Remark(check="clock", what="it is right"))], deadline_s=0.1)
    assert time.monotonic() - began < 2
    assert [(each.what, each.remedy) for each in found] == [("bus: no answer in 0 s", "start it"), ("it is right", "")]
    never.set()


def test_an_error_becomes_its_own_words_with_the_remedy_of_the_check_on_one_line() -> None:
    (found,) = look_at_all([refusing(OSError("no\nroom"))])
    assert (found.check, found.remedy) == ("disk", "free it")
    assert "\n" not in found.what


def test_what_two_checks_say_in_the_same_words_is_told_once() -> None:
    away = Remark(check="bus", what="the bus is away", remedy="start it")
    assert look_at_all([answering("bus", away), answering("streams", away), answering("none")]) == [away]


def test_a_machine_is_looked_at_without_leaving_a_file(tmp_path: Path) -> None:
    found = {each.check: each for each in look_at_all(machine_checks(tmp_path / "not" / "there"))}
    assert set(found) == {each.name for each in machine_checks(tmp_path)}
    assert str(tmp_path) in found["sync"].what
    assert list(tmp_path.iterdir()) == []


def test_services_of_another_version_than_the_command_are_a_finding() -> None:
    services = (ServiceAnswer(service="trainer", answered=True, version="0.0.1"),)
    seen = Seen(now=0.0, broker=BrokerView(answers=True), services=services)
    versions = [each for each in status_findings(Status(seen=seen, problems=())) if each.check == "version"]
    assert "of version 0.0.1" in versions[0].what
    assert versions[0].remedy


@pytest.mark.parametrize(("free", "well"), [(90, True), (10, False)])
def test_a_disk_that_is_nearly_full_is_a_finding(free: int, well: bool) -> None:
    disk = Disk(holds="the objects", folder="/o", mounted_at="/o", total=100, free=free, full=False)
    (found,) = disk_findings((disk,))
    assert (not found.remedy) == well
