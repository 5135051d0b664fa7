"""The last stage of a demo: its report card."""

import asyncio
from pathlib import Path

from ropewalk.demo.progress import DemoProgress
from ropewalk.local.layout import Layout
from ropewalk.report.card import ReportCard
from ropewalk.report.collect import collect
from ropewalk.report.files import WrittenCard, write_card
from ropewalk.report.gather import gather, wait_for_costs
from ropewalk.storage.connect import StoreAddress

_COST_TIMEOUT_S = 15.0


async def report_run(run: DemoProgress, layout: Layout, folder: Path) -> tuple[ReportCard, WrittenCard]:
    """Draw the card twice: the second one has the report's own time and cost."""
    run.show("report", status="running")
    async with run.stage("report"):
        await _write(run, layout, folder)
    await wait_for_costs(run.client, run.run_id, _COST_TIMEOUT_S)
    card, written = await _write(run, layout, folder)
    run.show("report", status="done", share=1.0)
    return card, written


async def _write(run: DemoProgress, layout: Layout, folder: Path) -> tuple[ReportCard, WrittenCard]:
    objects = StoreAddress(url=run.client.settings.objects_url).connect()
    card = collect(await gather(run.client, run.run_id, objects))
    return card, await asyncio.to_thread(write_card, card, layout.reports / run.run_id, folder)
