"""Random faults on real processes: nothing lost, nothing doubled, one end per run, no illegal sequence.

Ray's training workers are played by a group of forked processes here; killing real ones is part of the end-to-end
tests. The seed is printed always; `ROPEWALK_CHAOS_SEED` repeats its faults.
"""

import random

import pytest
from chaos.run import Report, Size, run_chaos
from chaos.settings import ChaosSettings

SETTINGS = ChaosSettings()
_QUICK = Size(num_faults=SETTINGS.faults or 60, num_runs=SETTINGS.runs or 60)
_LONG = Size(num_faults=SETTINGS.faults or 200, num_runs=SETTINGS.runs or 100)


def seed() -> int:
    return random.randrange(1_000_000) if SETTINGS.seed is None else SETTINGS.seed


async def played(size: Size, nats_server, folder) -> Report:
    """What came of as many faults and runs as were asked for."""
    chosen = seed()
    print(f"ROPEWALK_CHAOS_SEED={chosen}")
    folder.mkdir(exist_ok=True)
    report = await run_chaos(chosen, size, nats_server, nats_server.settings, folder)
    print(report)
    assert sum(report.counts.values()) == size.num_faults
    assert len(report.history.submitted) == size.num_runs
    return report


@pytest.mark.slow
async def test_sixty_faults_lose_nothing_and_double_nothing(nats_server, tmp_path) -> None:
    report = await played(_QUICK, nats_server, tmp_path / "stack")
    assert (report.violations, report.bad_exits) == ([], []), f"{report}\nlogs in {tmp_path}"


@pytest.mark.chaos
@pytest.mark.parametrize("part", range(5))
async def test_a_thousand_faults_lose_nothing_and_double_nothing(nats_server, tmp_path, part) -> None:
    report = await played(_LONG, nats_server, tmp_path / f"stack-{part}")
    assert (report.violations, report.bad_exits) == ([], []), f"{report}\nlogs in {tmp_path}"
