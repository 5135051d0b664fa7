"""Raters on the page, over HTTP, against a real log."""

import asyncio
import hmac
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from parts.wanted_sheets import TASK_SET, a_link, a_sheet, labels_in, reviewing, want

from ropewalk.bus.bus import Bus
from ropewalk.evaluator.adapters.labelling import review_desk
from ropewalk.events.evaluation import JudgeAgain
from ropewalk.events.label import LabelGiven, LabelWithdrawn, RaterRevoked
from ropewalk.storage.local import LocalObjects

PAGE = f"/r/{TASK_SET}"


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "store")


@pytest.fixture
async def address(bus: Bus, objects: LocalObjects) -> AsyncIterator[str]:
    async with reviewing(bus, objects) as found:
        yield found


def fields_of(page: str, form: str) -> dict[str, str]:
    """The hidden fields of one of the page's two forms."""
    (body,) = re.findall(rf'action="{PAGE}/{form}">(.*?)</form>', page, re.DOTALL)
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', body)}


def what_it_asks(page: str) -> str:
    return re.findall(r"value \+ (\d+)", page)[0]


async def enter(client: httpx.AsyncClient, link: str) -> str:
    """Open the link, and then the page it leads to."""
    opened = await client.get(link)
    assert opened.status_code == 200
    assert link not in opened.text
    return (await client.get(PAGE)).text


async def test_a_label_is_in_the_log_before_the_next_page_and_undone_by_a_message(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(1), a_sheet(2)], raters_each=2)
    async with httpx.AsyncClient(base_url=address, follow_redirects=True) as client:
        page = await enter(client, await a_link(bus, "anna"))
        first = what_it_asks(page)
        assert "0 of 2, about" in page
        assert "correctness" in page
        after = await client.post(f"{PAGE}/label", data={**fields_of(page, "label"), "grade": "2"})
        assert "You said: 2." in after.text
        assert "1 of 2" in after.text
        (label,) = await labels_in(bus)
        assert isinstance(label, LabelGiven)
        assert (label.rater, label.grade, label.position, label.scale, label.kind) == ("anna", 2, 1, "0-3", "wanted")
        assert label.item_id == f"item-{first}"
        assert 0 <= label.seconds < 60
        assert what_it_asks(after.text) != first
        again = await client.post(f"{PAGE}/undo", data=fields_of(after.text, "undo"))
        assert what_it_asks(again.text) == first
        assert "/undo" not in again.text  # what others said may have been told of what is before it
        withdrawn = (await labels_in(bus))[-1]
        assert isinstance(withdrawn, LabelWithdrawn)
        assert (withdrawn.position, withdrawn.sheet_id) == (1, label.sheet_id)


async def test_a_sheet_is_shown_with_the_rubric_of_its_own_version(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    for version in (1, 2):
        sheet = replace(a_sheet(version), rubric=f"of version {version}")
        await want(bus, objects, tmp_path, [sheet], raters_each=1, version=version)
    async with httpx.AsyncClient(base_url=address, follow_redirects=True) as client:
        page = await enter(client, await a_link(bus, "anna"))
        after = await client.post(f"{PAGE}/label", data={**fields_of(page, "label"), "grade": "2"})
    assert {what_it_asks(each): "By version 2." in each for each in (page, after.text)} == {"1": False, "2": True}


async def test_a_page_that_is_posted_twice_stores_one_label(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(number) for number in range(3)], raters_each=2)
    async with httpx.AsyncClient(base_url=address, follow_redirects=True) as client:
        fields = fields_of(await enter(client, await a_link(bus, "anna")), "label")
        posts = [client.post(f"{PAGE}/label", data={**fields, "grade": grade}) for grade in "0123"]
        answers = await asyncio.gather(*posts)
        late = await client.post(f"{PAGE}/label", data={**fields, "grade": "1"})
        assert {answer.status_code for answer in (*answers, late)} == {200}
    assert len(await labels_in(bus)) == 1


async def test_a_link_that_is_revoked_expired_unknown_or_of_another_task_set_is_refused_at_once(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(1)], raters_each=1)
    link = await a_link(bus, "anna")
    async with httpx.AsyncClient(base_url=address) as client:
        page = await enter(client, link)
        await bus.publish(RaterRevoked(task_set_id=TASK_SET, rater="anna"))
        refused = [
            await client.get(link),
            await client.get(PAGE),
            await client.post(f"{PAGE}/label", data={**fields_of(page, "label"), "grade": "2"}),
            await client.get(await a_link(bus, "bert", seconds=-1)),
            await client.get(f"{PAGE}/{'a' * 43}"),
            await client.get((await a_link(bus, "carl")).replace(TASK_SET, "another")),
        ]
        assert [answer.status_code for answer in refused] == [403] * 6
        assert len({re.findall(r'role="alert">(.*?)<', answer.text)[0] for answer in refused}) == 1
        assert await labels_in(bus) == []
        assert (await client.get(await a_link(bus, "anna"))).status_code == 200  # invited anew


async def test_what_is_wrong_is_answered_with_a_sentence_and_stores_nothing(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(1)], raters_each=1)
    clients = [httpx.AsyncClient(base_url=address) for _ in range(3)]
    async with clients[0] as client, clients[1] as stranger, clients[2] as nobody:
        fields = fields_of(await enter(client, await a_link(bus, "anna")), "label")
        theirs = fields_of(await enter(stranger, await a_link(bus, "bert")), "label")
        forged = {**fields, "asked": fields["asked"].replace('"position":1', '"position":9')}
        label = f"{PAGE}/label"
        faults = [
            (400, await client.post(label, data={**fields, "grade": "4"})),
            (400, await client.post(label, data={**fields, "grade": "two"})),
            (400, await client.post(label, data=fields)),
            (400, await client.post(label, data={**theirs, "grade": "2"})),
            (400, await client.post(label, data={**forged, "grade": "2"})),
            (400, await client.post(label, data={"grade": "2"})),
            (400, await client.post(label, content=b"grade=\xff")),
            (413, await client.post(label, content=b"a" * 20_000)),
            (405, await client.get(label)),
            (405, await client.put(PAGE)),
            (404, await client.get("/")),
            (404, await client.get(f"{PAGE}/a/b/c")),
            (403, await client.get("/r/another")),
            (403, await nobody.post(label, data={**fields, "grade": "2"})),
        ]
        assert [answer.status_code for _, answer in faults] == [status for status, _ in faults]
        for _, answer in faults:
            (sentence,) = re.findall(r'role="alert">(.*?)<', answer.text)
            assert sentence.endswith(".")
    assert await labels_in(bus) == []


def marked(secret: str, told: str) -> dict[str, str]:
    """A form as a rater can make it, who knows their own secret."""
    return {"asked": told, "mark": hmac.new(secret.encode(), told.encode(), "sha256").hexdigest()}


async def test_a_form_that_its_rater_forged_is_refused_with_a_sentence(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(1)], raters_each=1)
    link = await a_link(bus, "anna")
    secret = link.rpartition("/")[2]
    async with httpx.AsyncClient(base_url=address) as client:
        asked = json.loads(fields_of(await enter(client, link), "label")["asked"])
        changes: list[dict[str, object]] = [
            {"kind": "evil"},
            {"kind": "repeat"},
            {"opened": "x"},
            {"opened": float("nan")},
            {"opened": float("-inf")},
            {"shown_first": 10**40},
            {"shown_first": -1},
            {"shown_first": "zz"},
            {"position": 0},
            {"position": 10**40},
            {"position": "1"},
            {"sheet_id": []},
            {"sheet_id": "a" * 201},
        ]
        told = [json.dumps({**asked, **change}) for change in changes]
        for each in (*told, "[]", "{}", "null", "1", '"x"', "", "not json", "[" * 2000, '{"position":1e400}'):
            for form in ("label", "undo"):
                answer = await client.post(f"{PAGE}/{form}", data={**marked(secret, each), "grade": "1"})
                assert (answer.status_code, form, each) == (400, form, each)
                assert "What was posted is no form of this page: open the page again." in answer.text
        assert await labels_in(bus) == []
        assert (await client.get(PAGE)).status_code == 200


async def test_a_form_does_not_say_what_its_sheet_is_for_and_the_log_does(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(number) for number in range(20)], raters_each=1)
    async with httpx.AsyncClient(base_url=address, follow_redirects=True) as client:
        page = await enter(client, await a_link(bus, "anna"))
        while "Nothing is left" not in page:
            fields = fields_of(page, "label")
            assert json.loads(fields["asked"]).keys() == {"position", "sheet_id", "shown_first", "opened"}
            page = (await client.post(f"{PAGE}/label", data={**fields, "grade": "1"})).text
    labels = [label for label in await labels_in(bus) if isinstance(label, LabelGiven)]
    by_kind = {kind: [each for each in labels if each.kind == kind] for kind in ("wanted", "repeat", "gold")}
    assert len(by_kind["wanted"]) == 20
    assert {each.item_id for each in by_kind["gold"]} == {"gold"}
    assert by_kind["repeat"]
    for each in by_kind["repeat"]:
        assert each.sheet_id in {label.sheet_id for label in by_kind["wanted"] if label.position < each.position - 4}


async def test_a_label_of_unknown_duration_does_not_end_a_rater_s_page(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(1), a_sheet(2)], raters_each=1)
    async with httpx.AsyncClient(base_url=address, follow_redirects=True) as client:
        page = await enter(client, await a_link(bus, "anna"))
        await client.post(f"{PAGE}/label", data={**fields_of(page, "label"), "grade": "1"})
        (label,) = await labels_in(bus)
        await bus.publish(label.model_copy(update={"seconds": float("nan"), "position": 2}))
        page = (await client.get(PAGE)).text
        assert "1 of 2, about" in page


async def test_a_page_is_answered_within_a_bound_while_the_log_is_away_and_as_before_once_it_is_back(
    nats_server: Any,
    bus: Bus,
    objects: LocalObjects,
    address: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(review_desk, "_STORED_S", 1.0)
    await want(bus, objects, tmp_path, [a_sheet(1)], raters_each=1)
    link = await a_link(bus, "anna")
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        fields = fields_of(await enter(client, link), "label")
        nats_server.stop()
        began = time.monotonic()
        answers = await asyncio.gather(
            client.get(PAGE),
            client.get(link),
            client.post(f"{PAGE}/label", data={**fields, "grade": "1"}),
            client.post(f"{PAGE}/undo", data=fields),
        )
        assert time.monotonic() - began < 5
        assert {answer.status_code for answer in answers} == {503}
        assert all("The log does not answer" in answer.text for answer in answers)
        nats_server.start()
        deadline = time.monotonic() + 30
        while (await client.get(PAGE)).status_code != 200:
            assert time.monotonic() < deadline
        assert (await client.post(f"{PAGE}/label", data={**fields, "grade": "1"})).status_code == 303
    assert len(await labels_in(bus)) == 1


@pytest.mark.parametrize("method", ["work", "look_again"])
async def test_each_question_to_the_log_has_a_bound(
    bus: Bus, objects: LocalObjects, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(review_desk, "_STORED_S", 0.2)
    monkeypatch.setattr(review_desk, "wanted_now", never)
    desk = review_desk.ReviewDesk(bus, objects)
    async with asyncio.timeout(5):  # were it this one, it would not be raised within
        with pytest.raises(TimeoutError):
            await getattr(desk, method)(TASK_SET)


async def test_what_was_not_foreseen_is_answered_under_the_same_headers(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(1)], raters_each=1)

    async def broken(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(review_desk.ReviewDesk, "work", broken)
    async with httpx.AsyncClient(base_url=address) as client:
        await client.get(await a_link(bus, "anna"))
        answer = await client.get(PAGE)
    assert answer.status_code == 500
    assert "a fault of ours" not in answer.text
    assert re.findall(r'role="alert">(.*?)<', answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_nothing_comes_from_elsewhere_is_kept_by_a_browser_or_obeyed_as_markup(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    sheet = a_sheet(1)
    evil = type(sheet)(**{**vars(sheet), "answers": ("<script>alert(1)</script>\n  two" + "x" * 9_000,)})
    await want(bus, objects, tmp_path, [evil], raters_each=1)
    link = await a_link(bus, "anna")
    async with httpx.AsyncClient(base_url=address) as client:
        cookie = (await client.get(link)).headers["set-cookie"]
        answer = await client.get(PAGE)
        assert f"Path={PAGE}" in cookie
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\n  two" in answer.text
        assert "x" * 8_193 not in answer.text
        assert "anna" not in answer.text
        for each in (answer, await client.get("/review.css"), await client.get("/review.js"), await client.get("/")):
            assert "default-src 'none'" in each.headers["content-security-policy"]
            assert each.headers["cache-control"] == "no-store"
            assert each.headers["x-content-type-options"] == "nosniff"
            assert each.headers["referrer-policy"] == "no-referrer"
        assert not re.findall(r"(?:src|href)=\"(?!/)", answer.text)


async def test_the_last_label_has_the_run_looked_at_again_once(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(1), a_sheet(2)], raters_each=2)

    async def asked() -> int:
        return len([item async for item in bus.read(f"{JudgeAgain.subject_prefix()}.r1")])

    for rater in ("anna", "bert"):
        async with httpx.AsyncClient(base_url=address, follow_redirects=True) as client:
            page = await enter(client, await a_link(bus, rater))
            for grade in ("2", "-1"):
                assert await asked() == 0
                page = (await client.post(f"{PAGE}/label", data={**fields_of(page, "label"), "grade": grade})).text
            assert "Nothing is left to label" in page
            await client.get(PAGE)
    assert await asked() == 1


async def test_four_raters_at_once_are_each_answered_within_300_ms(
    bus: Bus, objects: LocalObjects, address: str, tmp_path: Path
) -> None:
    await want(bus, objects, tmp_path, [a_sheet(number, pair=number % 2 == 0) for number in range(8)], raters_each=4)
    waited: list[float] = []

    async def work(rater: str) -> None:
        async with httpx.AsyncClient(base_url=address) as client:
            page = await enter(client, await a_link(bus, rater))
            while "Nothing is left" not in page:
                began = time.monotonic()
                kept = await client.post(f"{PAGE}/label", data={**fields_of(page, "label"), "grade": "1"})
                waited.append(time.monotonic() - began)
                assert kept.status_code == 303
                page = (await client.get(PAGE)).text
                waited.append(time.monotonic() - began - waited[-1])

    await asyncio.gather(*map(work, ("anna", "bert", "carl", "dora")))
    labels = [label for label in await labels_in(bus) if isinstance(label, LabelGiven)]
    assert len({(label.rater, label.sheet_id) for label in labels if label.kind == "wanted"}) == 32
    assert sorted(waited)[int(0.95 * len(waited))] < 0.3, sorted(waited)[-5:]
