"""A message type is added by editing four files: its class, its row in a contract, the handler, and their binding."""

import json

RUN, INGEST = "libs/ropewalk/events/run.py", "services/ropewalk/ingest"

TYPE = '''

class NoteRun(_Family, Request):
    """Write a note beside a run."""

    name: ClassVar[str] = "note"
    text: str = Field(max_length=80)
'''
HANDLER = '''

async def note_run(request: NoteRun, settings: Settings) -> Outcome:
    """Keep the note where the services keep their state."""
    (settings.state_dir / "note").write_text(request.text)
    return Done()
'''

WHAT_FOLLOWS = """
import json
from ropewalk.admin.access import rights_of
from ropewalk.admin.contracts import CONSUMERS
from ropewalk.events.asyncapi import document
from ropewalk.events.registry import MESSAGE_TYPES
from ropewalk.ingest.app import build
from ropewalk.ingest.settings import Settings

print(json.dumps({
    "registered": [kind.type_name() for kind in MESSAGE_TYPES],
    "operations": list(document()["operations"]),
    "made": [spec.durable for spec in CONSUMERS],
    "bound": [spec.durable for spec in build(Settings()).consumers()],
    "operator": rights_of("operator").publish,
    "ingest": rights_of("ingest").publish,
    "monitor": rights_of("monitor").publish,
}))
"""
SENT_AND_HANDLED = """
import asyncio, os, sys
from pathlib import Path
from ropewalk.admin.contracts import CONSUMERS
from ropewalk.admin.topology import apply_topology
from ropewalk.bus.bus import Bus
from ropewalk.bus.settings import NatsSettings
from ropewalk.events.run import NoteRun

note = Path(os.environ["ROPEWALK_STATE_DIR"]) / "note"

async def main():
    await apply_topology(NatsSettings())
    bus = await Bus.connect(NatsSettings(), "test")
    service = await asyncio.create_subprocess_exec(sys.executable, "-m", "ropewalk.ingest")
    try:
        await bus.publish(NoteRun(run_id="tern-1", text="held up by the tide"))
        async with asyncio.timeout(30):
            while not note.exists() or not note.read_text():
                await asyncio.sleep(0.05)
    finally:
        service.terminate()
        await service.wait()
        await bus.close()
    print(note.read_text())

asyncio.run(main())
"""


def test_a_message_type_is_four_files_and_what_two_commands_write(copy, nats_server, address_of, tmp_path) -> None:
    copy.insert(RUN, TYPE, before="\n\nclass RunAccepted(")
    copy.insert(f"{INGEST}/contract.py", 'NOTE = Reaction("note", run.NoteRun)\n', before="INGEST = ")
    copy.insert(f"{INGEST}/contract.py", "NOTE, ", after="listens=(")
    copy.insert(f"{INGEST}/handlers.py", "    NoteRun,\n", before="    RunAccepted,\n    RunCancelled,")
    copy.insert(f"{INGEST}/handlers.py", HANDLER)
    bound = "    service.on(contract.NOTE, lambda request: handlers.note_run(request, settings))\n"
    copy.insert(f"{INGEST}/app.py", bound, before="    return service")
    written = copy.written_by_commands()

    assert len(copy.edited) == 4
    assert written - copy.edited == {
        "docs/asyncapi.json",
        "docs/events.md",
        "proto/ropewalk/v1/run.proto",
        f"{INGEST}/__init__.py",
        "tests/golden/contract.json",
        "tests/golden/events/cmd.run.note.v1.json",
    }
    follows = json.loads(copy.run("-c", WHAT_FOLLOWS, ROPEWALK_STATE_DIR=str(tmp_path)))
    assert "ropewalk.cmd.run.note.v1" in follows["registered"]
    assert "receive.cmd.run.note.v1" in follows["operations"]
    assert "ingest__note" in set(follows["made"]) & set(follows["bound"])
    assert "cmd.run.note.v1.*" in follows["operator"]
    assert "$JS.API.CONSUMER.MSG.NEXT.CONTROL.ingest__note" in follows["ingest"]
    assert not [right for right in follows["monitor"] if "note" in right]
    assert "NoteRun" in (copy.root / INGEST / "__init__.py").read_text().partition("Listens:")[2]

    place = {"ROPEWALK_STATE_DIR": str(tmp_path), **address_of(nats_server)}
    assert copy.run("-c", SENT_AND_HANDLED, **place) == "held up by the tide\n"


def test_a_fact_that_its_contract_does_not_list_is_one_that_the_service_may_not_say(copy, tmp_path) -> None:
    copy.insert(RUN, TYPE.replace("Request", "Event"), before="\n\nclass RunAccepted(")
    ask = (
        "from ropewalk.admin.access import USERS, rights_of\n"
        "print([user for user in USERS if 'evt.run.note.v1.*' in rights_of(user).publish])"
    )
    assert copy.run("-c", ask) == "[]\n"
    copy.insert(f"{INGEST}/contract.py", "run.NoteRun, ", after="emits=(")
    assert copy.run("-c", ask) == "['ingest']\n"
