"""The tables of rights agree with what the services say of themselves and with what their code makes."""

import ast
import re
from pathlib import Path

import pytest

from ropewalk.admin.access import STAGE_EMITS, USERS, emitted_by, rights_of
from ropewalk.admin.contracts import CONTRACTS, SERVICE_USERS
from ropewalk.events.registry import MESSAGE_TYPES
from ropewalk.events.run import StageState

ROOT = Path(__file__).parents[3]
SERVICES = ROOT / "services" / "ropewalk"
STAGES = ROOT / "libs" / "ropewalk" / "stages"
DRILLS = ROOT / "libs" / "ropewalk" / "drills"
NAMES = {kind.__name__ for kind in MESSAGE_TYPES}


def names(kinds) -> set[str]:
    return {kind.__name__ for kind in kinds}


def said_after(heading: str, service: str) -> set[str]:
    """The message types after `Listens:` or `Emits:` in the docstring of a service."""
    text = (SERVICES / service.replace("-", "_") / "__init__.py").read_text()
    words = re.split(r"\n\n|\n[A-Z][a-z]+:|\"\"\"", text.partition(heading)[2])[0]
    return {word for word in re.findall(r"[A-Za-z]+", words) if word in NAMES}


def made_in(folder: Path) -> set[str]:
    """The message types that the code of a folder makes: `Type(...)`, `Type.model_validate(...)`."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                maker = node.func
                if isinstance(maker, ast.Attribute) and maker.attr in {"model_validate", "model_validate_json"}:
                    maker = maker.value
                if isinstance(maker, ast.Name) and maker.id in NAMES:
                    found.add(maker.id)
    return found


@pytest.mark.parametrize("service", SERVICE_USERS)
def test_the_docstring_of_a_service_says_what_is_in_its_contract(service: str) -> None:
    assert said_after("\nListens:", service) == names(row.kind for row in CONTRACTS[service].listens)
    assert said_after("\nEmits:", service) == names(CONTRACTS[service].emits)


# What a service reads in the log and says again as it stands: a checkpoint's export, to be judged once more.
SAID_AGAIN = {"evaluator": {"CheckpointExported"}}


@pytest.mark.parametrize("service", SERVICE_USERS)
def test_a_service_may_publish_what_its_code_makes(service: str) -> None:
    made = made_in(SERVICES / service.replace("-", "_"))
    assert names(CONTRACTS[service].emits) == made | SAID_AGAIN.get(service, set())


def test_a_fact_that_nobody_says_is_one_that_the_released_contract_holds() -> None:
    """An event is said by a service, by the stage runner or by a drill, or says of itself that nobody does."""
    said = {kind.__name__ for service in SERVICE_USERS for kind in emitted_by(service)} | made_in(DRILLS)
    silent = {kind for kind in MESSAGE_TYPES if kind.plane == "evt" and kind.__name__ not in said}
    assert names(silent) == {"SignalComputed", "TrainingFailed"}
    assert all("Nobody says this" in (kind.__doc__ or "") for kind in silent)


def test_what_the_stage_runner_makes_is_what_every_stage_may_publish() -> None:
    facts = {kind.__name__ for kind in MESSAGE_TYPES if kind.plane == "evt"}
    assert made_in(STAGES) & facts == names(STAGE_EMITS)


def test_a_contract_is_that_of_the_service_it_lies_in() -> None:
    assert [contract.service for contract in CONTRACTS.values()] == list(SERVICE_USERS)
    assert CONTRACTS["trainer"].stages == ("search", "train")


@pytest.mark.parametrize("service", SERVICE_USERS)
def test_a_contract_is_data_about_messages_and_stands_on_nothing_else(service: str) -> None:
    contract = ast.parse((SERVICES / service.replace("-", "_") / "contract.py").read_text())
    modules = {node.module or "" for node in ast.walk(contract) if isinstance(node, ast.ImportFrom)}
    assert [module for module in modules if not module.startswith("ropewalk.events")] == []
    assert not [node for node in ast.walk(contract) if isinstance(node, ast.Import | ast.FunctionDef)]


@pytest.mark.parametrize("service", SERVICE_USERS)
def test_rights_of_a_service_name_whole_types_consumers_and_stages_and_nothing_wider(service: str) -> None:
    allowed = {f"{kind.subject_prefix()}.*" for kind in emitted_by(service)}
    contract = CONTRACTS[service]
    stages, durables = contract.stages, {f"{spec.stream}.{spec.durable}" for spec in contract.consumers}
    for subject in rights_of(service).publish:
        plane = subject.split(".")[0]
        if contract.watches and (plane == "ctl" or re.search(r"\.(LIST|NAMES|INFO)\b", subject)):
            continue  # who watches a deployment may ask what there is, and the other services how they are
        if plane in {"evt", "cmd", "tel", "log"}:
            assert subject in allowed
        elif plane == StageState.plane:
            assert subject.split(".")[2] in {*stages, "ending", "pool", "capacity"}
        elif subject.startswith("$KV"):
            assert subject.split(".")[2] in stages
        elif "CONSUMER" in subject or plane in {"dlq", "$JS.ACK"}:
            assert any(durable in subject for durable in durables)
        else:
            assert plane in {"$JS", "sched", "due"}
            assert subject != "$JS.API.>"


@pytest.mark.parametrize("user", [user for user in USERS if user != "supervisor"])
def test_only_the_supervisor_may_change_streams_and_consumers(user: str) -> None:
    for subject in rights_of(user).publish:
        assert not re.search(r"CREATE|UPDATE|DELETE|PURGE|RESTORE|LEADER|PEER", subject)


def test_nobody_may_delete_or_purge_anything() -> None:
    for user in USERS:
        assert not [right for right in rights_of(user).publish if re.search(r"DELETE|PURGE|API\.>", right)]


@pytest.mark.parametrize(
    ("ending", "services"),
    [
        ("evt.run.rejected.v1.*", {"ingest"}),
        ("evt.run.completed.v1.*", {"serving", "checkpoint-manager"}),
        ("evt.run.cancelled.v1.*", {"ingest"}),
    ],
)
def test_a_run_is_ended_well_only_by_who_decides_that(ending: str, services: set[str]) -> None:
    assert {name for name in SERVICE_USERS if ending in rights_of(name).publish} == services


def test_people_write_into_dead_letters_only_marks_beside_them() -> None:
    letters = {user: {right for right in rights_of(user).publish if right.startswith("dlq")} for user in USERS}
    assert letters["supervisor"] == set()
    assert letters["operator"] == letters["maintainer"] == {"dlq.*.*.*"}


def test_inboxes_are_read_by_their_owner_only() -> None:
    owners = {}
    for user in USERS:
        for subject in rights_of(user).subscribe:
            if subject.startswith("_INBOX_"):
                assert owners.setdefault(subject, user) == user
    assert set(owners.values()) == set(USERS)


def test_an_operator_can_ask_for_runs_and_state_no_fact() -> None:
    publish = rights_of("operator").publish
    assert {"cmd.run.submit.v1.*", "cmd.run.cancel.v1.*"} <= set(publish)
    assert [right for right in publish if right.startswith(("evt", "state", "tel", "log", "$KV"))] == []
