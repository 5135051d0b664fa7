"""A judge goes from a file to its card and to its suspension, with the evaluator as a process of its own."""

import pytest
from parts.judge_files import a_recorded_judge, labelled, write_lines

from ropewalk.client import Client, ClientSettings
from ropewalk.client.errors import ClientError
from ropewalk.client.judges.asking import add_judge, audit_judge, known_judge
from ropewalk.client.log import open_log, projections
from ropewalk.events.judge import JudgeAudited
from ropewalk.storage.local import LocalObjects


async def test_a_judge_is_asked_gets_its_card_and_is_suspended_when_it_drifts(nats_server, evaluator, tmp_path):
    settings, objects = ClientSettings(nats=nats_server.settings), LocalObjects(tmp_path / "objects")
    later = labelled(60, first=100)

    def known():
        with open_log(settings) as wire:
            return projections(wire, "judges")["judges"]

    def says(given):
        return max(0.0, given.labels["anna"] - (int(given.question.split()[2][1:]) >= 100))

    judge = a_recorded_judge(tmp_path / "made", says, more=later)
    async with await Client.connect(settings) as client:
        fact = await add_judge(client, objects, judge, lambda *_: None)
        assert fact.card.verdict == "replace"
        more = write_lines(tmp_path / "later.jsonl", later)
        audited = await audit_judge(client, known(), objects, "replay", more, lambda *_: None)
        assert isinstance(audited, JudgeAudited)
        suspended = known_judge(known(), "replay")["suspended"]
        assert "its grades moved away from people's" in suspended["reason"]
        with pytest.raises(ClientError, match="judge replay is suspended: register it with labels"):
            await audit_judge(client, known(), objects, "replay", more, lambda *_: None)
    with pytest.raises(ClientError, match="there is no judge 'nobody'; registered: replay"):
        known_judge(known(), "nobody")
