"""A task set goes from a file to the log and back, with the evaluator as a process of its own."""

import pytest
from parts.task_set_files import questions, write_task_set

from ropewalk.client import Client, ClientSettings
from ropewalk.client.errors import ClientError
from ropewalk.client.log import open_log, projections
from ropewalk.client.task_sets import add_task_set, find_task_set, freeze_task_set, known_version
from ropewalk.storage.local import LocalObjects


async def test_a_task_set_is_added_replaced_frozen_and_then_stays(nats_server, evaluator, tmp_path):
    settings, objects = ClientSettings(nats=nats_server.settings), LocalObjects(tmp_path / "objects")

    def known():
        with open_log(settings) as wire:
            return projections(wire, "task_sets")["task_sets"]

    first = find_task_set(str(write_task_set(tmp_path / "first")))
    other = find_task_set(str(write_task_set(tmp_path / "other", questions(80))))
    async with await Client.connect(settings) as client:
        for found, is_new in ((other, True), (other, False), (first, True)):
            assert await add_task_set(client, known(), objects, found) is is_new
        assert known_version(known(), "counting")[2]["content"] == first.content
        assert await freeze_task_set(client, known(), "counting") == ("counting@1", True)
        assert await freeze_task_set(client, known(), "counting@1") == ("counting@1", False)
        with pytest.raises(ClientError, match=r"counting@1 is frozen with other data .* version 2"):
            await add_task_set(client, known(), objects, other)
        shipped = find_task_set("arithmetic")
        assert await add_task_set(client, known(), objects, shipped)
    assert known()["arithmetic"]["versions"]["1"]["num_items"] == 96
    with pytest.raises(ClientError, match="there is no task set 'nothing'; registered: arithmetic@1, counting@1"):
        known_version(known(), "nothing")
    with pytest.raises(ClientError, match="there is no file 'nothing'; these ship: arithmetic, copying"):
        find_task_set("nothing")
