"""What a run with a task saves: what its evaluation measured, what the log recorded of its cost, and a price table."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk.bus.codec import Stored
from ropewalk.client.client import Client
from ropewalk.client.errors import NotMeasurableError
from ropewalk.events.base import Message, last_of
from ropewalk.events.monitoring import CostRecorded
from ropewalk.events.training import TimeAccount, TrainingCompleted
from ropewalk.report.gather import unpriced, wait_for_costs
from ropewalk.report.samples import specialist_of
from ropewalk.storage.objects import ObjectStore
from ropewalk.usecases.comparison import CANDIDATE, CORE_SECONDS, TaskSection
from ropewalk.usecases.prices import Switch, Tariff
from ropewalk.usecases.switching import Taken, switches

SPENT = ("prompt_tokens", "answer_tokens", CORE_SECONDS)
_PRICED_S = 5.0  # the monitor prices a stage within moments of its end


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """What the log recorded: `usd` and seconds of all stages, and what the seconds of the training went into."""

    usd: float
    usd_by_stage: dict[str, float]
    cpu_seconds: float
    gpu_seconds: float
    usd_per_cpu_hour: float
    usd_per_gpu_hour: float
    account: TimeAccount


@dataclass(frozen=True, kw_only=True)
class CostComparison:
    """`ways` are by today's way: at the measured means, then with the least and the most saving of their intervals."""

    run_id: str
    section: TaskSection
    run: RunCost
    ways: dict[str, tuple[Switch, Switch, Switch]]


async def compare_costs(client: Client, run_id: str, objects: ObjectStore, tariff: Tariff) -> CostComparison:
    """Raises UnknownRunError, NotMeasurableError where the run has no task, no evaluation or no price yet."""
    await wait_for_costs(client, run_id, _PRICED_S)
    timeline = await client.timeline(run_id)
    specialist = await asyncio.to_thread(specialist_of, timeline, objects)
    return compared(run_id, timeline, specialist.section if specialist else None, tariff)


def compared(
    run_id: str, timeline: Sequence[Stored[Message]], section: TaskSection | None, tariff: Tariff
) -> CostComparison:
    """From what the log and the evaluation say. Raises NotMeasurableError."""
    if section is None:
        raise NotMeasurableError(
            f"run {run_id} has no evaluation of a task to read: only a run that bakes one and was judged is compared "
            f"(`ropewalk show {run_id}` says how far it is)"
        )
    told = [section.levels.get(name, {}) for name in (section.before, CANDIDATE)]
    if any(metric not in levels for levels in told for metric in SPENT):
        raise NotMeasurableError(f"the evaluation of run {run_id} does not say what a request took: evaluate it anew")
    if waiting := unpriced(timeline):
        raise NotMeasurableError(
            f"run {run_id} is not priced yet ({', '.join(sorted(waiting))}): ask again when the monitor runs"
        )
    run = run_cost(timeline)
    return CostComparison(run_id=run_id, section=section, run=run, ways=ways_of(section, tariff, run.usd))


def run_cost(timeline: Sequence[Stored[Message]]) -> RunCost:
    """The bill of a run of which a stage was priced."""
    messages = [stored.message for stored in timeline]
    costs = [each for each in messages if isinstance(each, CostRecorded)]
    trained = last_of(messages, TrainingCompleted)
    return RunCost(
        usd=sum(each.usd for each in costs),
        usd_by_stage={
            stage: sum(each.usd for each in costs if each.stage == stage)
            for stage in dict.fromkeys(each.stage for each in costs)
        },
        cpu_seconds=sum(each.cpu_seconds for each in costs),
        gpu_seconds=sum(each.gpu_seconds for each in costs),
        usd_per_cpu_hour=costs[-1].usd_per_cpu_hour,
        usd_per_gpu_hour=costs[-1].usd_per_gpu_hour,
        account=trained.account if trained is not None else TimeAccount(),
    )


def ways_of(section: TaskSection, tariff: Tariff, training: float) -> dict[str, tuple[Switch, Switch, Switch]]:
    """See CostComparison; `training` in USD."""
    bounds = (("value", "value"), ("lower", "upper"), ("upper", "lower"))
    found = [
        switches(tariff, taken(section, section.before, now), taken(section, CANDIDATE, after), training)
        for now, after in bounds
    ]
    return {name: (found[0][name], found[1][name], found[2][name]) for name in found[0]}


def taken(section: TaskSection, name: str, bound: str = "value") -> Taken:
    """What a request took of whom the evaluation asked, at the `value`, `lower` or `upper` of each interval."""
    tokens, answer, seconds = (float(getattr(section.levels[name][metric], bound)) for metric in SPENT)
    return Taken(prompt_tokens=tokens, answer_tokens=answer, core_seconds=seconds)
