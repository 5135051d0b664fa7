"""Four raters in a real browser, by keyboard and by mouse, and a fifth whose link was revoked."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from parts.wanted_sheets import TASK_SET, a_link, a_sheet, labels_in, reviewing, want

from ropewalk.bus.bus import Bus
from ropewalk.events.label import LabelGiven, RaterRevoked
from ropewalk.storage.local import LocalObjects

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed: pip install -e '.[dev]'")
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no chromium is installed: apt install chromium")
BUDGET_S = 25.0


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


async def come_from_elsewhere(browser: Any, link: str, **screen: Any) -> Any:
    """A rater clicks the link in what is, to the browser, another site: a mail, a chat."""
    page = await (await browser.new_context(**screen)).new_page()
    await page.set_content(f'<a href="{link}">label answers</a>')
    await page.click("a")
    await page.wait_for_url(f"**/r/{TASK_SET}")
    return page


async def answer(page: Any, key: str, *, mouse: bool) -> None:
    """Press a key, or the button of that key, and wait for the next page."""
    async with page.expect_navigation():
        if mouse:
            await page.click(f'button[data-key="{key}"]')
        else:
            await page.keyboard.press(key)


async def label_all(page: Any, *, mouse: bool) -> list[float]:
    """Until nothing is left; how long each page took."""
    seconds = []
    while await page.locator("fieldset").count():
        began = time.monotonic()
        is_pair = await page.locator("section.answer").count() == 2
        text = await page.locator("section.answer").first.inner_text()
        key = ("a" if "adds" in text else "b") if is_pair else "3" if "adds" in text else "0"
        await answer(page, key, mouse=mouse)
        seconds.append(time.monotonic() - began)
    return seconds


async def test_four_raters_label_by_keys_and_by_mouse_and_a_fifth_is_turned_away(
    bus: Bus, tmp_path: Path, browser: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = LocalObjects(tmp_path / "store")
    await want(bus, objects, tmp_path, [a_sheet(number, pair=number % 2 == 0) for number in range(4)], raters_each=4)
    names = ("anna", "bert", "carl", "dora")
    async with reviewing(bus, objects) as address:
        revoked = await a_link(bus, "emil")
        await bus.publish(RaterRevoked(task_set_id=TASK_SET, rater="emil"))
        pages = [
            await come_from_elsewhere(
                browser,
                address + await a_link(bus, name),
                viewport={"width": (390, 1280)[number % 2], "height": 800},
                java_script_enabled=name != "dora",
            )
            for number, name in enumerate(names)
        ]
        by_mouse = (False, True, False, True)
        work = [label_all(page, mouse=mouse) for page, mouse in zip(pages, by_mouse, strict=True)]
        took = await asyncio.gather(*work)
        await answer(pages[0], "u", mouse=False)
        await answer(pages[0], "x", mouse=False)
        fifth = await (await browser.new_context()).new_page()
        assert (await fifth.goto(address + revoked)).status == 403
        for page in pages:
            assert "Nothing is left" in await page.inner_text("h1")
            assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    labels = [label for label in await labels_in(bus) if isinstance(label, LabelGiven)]
    right = {(label.rater, label.sheet_id): label.grade for label in labels if label.kind == "wanted"}
    assert {rater for rater, _ in right} == set(names)
    assert len(right) == 16
    by_sheet = {sheet: {grade for (_, other), grade in right.items() if other == sheet} - {-1} for _, sheet in right}
    assert all(len(grades) == 1 for grades in by_sheet.values())  # whichever answer stood first
    seconds = median(each for times in took for each in times)
    with capsys.disabled():
        print(f"\nmedian time per page: {seconds:.2f} s")
    assert seconds < BUDGET_S
