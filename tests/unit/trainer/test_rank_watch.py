"""What a watch asks of hosts and says of their ranks. The hosts are plain values; the clock is moved by hand."""

from dataclasses import dataclass, field

from ropewalk.trainer.adapters.watch import RankWatch
from ropewalk.trainer.domain.recovery import diagnose
from ropewalk.trainer.domain.sight import Sight


@dataclass
class ARank:
    """A host that answers until `silent`."""

    rank: int
    state: str = "S"
    silent: bool = False
    gone: bool = False
    asked: list[str] = field(default_factory=list)

    def sight(self) -> Sight | None:
        if self.silent:
            return None
        return Sight(
            rank=self.rank,
            step=7,
            phase="step",
            silent_s=0.1,
            usual_s=0.2,
            state=self.state,
            ran_s=0.0,
            queued_s=0.0,
        )

    def stacks(self) -> str:
        self.asked.append("stacks")
        return f"stack of {self.rank}"

    def machine_answers(self) -> bool:
        return not self.gone


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def looked(made: RankWatch, clock: Clock, seconds: float) -> list[str]:
    found: list[str] = []
    for _ in range(int(2 * seconds)):
        clock.now += 0.5
        found += [symptom.text for symptom in made.look()]
    return found


def a_watch(ranks: list[ARank], kept: list[dict[int, str]], clock: Clock) -> RankWatch:
    def keep(stacks: dict[int, str]) -> str:
        kept.append(stacks)
        return "runs/r/stacks/1-1"

    return RankWatch(ranks=ranks, longest_s=300, batch_size=4, on_slow=lambda _: None, keep=keep, clock=clock)


def test_a_hang_is_said_once_with_the_stacks_of_all_ranks_kept() -> None:
    clock = Clock()
    ranks, kept = [ARank(0), ARank(1)], []
    made = a_watch(ranks, kept, clock)
    assert looked(made, clock, 60) == []
    ranks[1].state = "T"
    [text] = looked(made, clock, 30)
    assert "rank 1 was stopped" in text
    assert kept == [{0: "stack of 0", 1: "stack of 1"}]
    assert made.stacks_uri == "runs/r/stacks/1-1"


def test_ranks_that_have_not_begun_are_waited_for() -> None:
    clock = Clock()
    ranks = [ARank(0), ARank(1, silent=True)]
    assert looked(a_watch(ranks, [], clock), clock, 120) == []


def test_a_host_that_was_stopped_itself_is_named() -> None:
    clock = Clock()
    ranks = [ARank(0), ARank(1)]
    made = a_watch(ranks, [], clock)
    looked(made, clock, 5)
    ranks[1].silent = True
    assert looked(made, clock, 15) == []
    assert looked(made, clock, 10) == ["rank 1 has a host that is silent in phase step of step 7"]


def test_of_hosts_that_say_nothing_those_whose_machine_does_not_answer_are_lost_and_none_hangs() -> None:
    clock = Clock()
    ranks, kept = [ARank(0), ARank(1), ARank(2)], []
    made = a_watch(ranks, kept, clock)
    looked(made, clock, 5)
    ranks[1].silent = ranks[2].silent = ranks[2].gone = True
    assert looked(made, clock, 19) == []
    clock.now += 2
    diagnosis = diagnose(made.look())
    assert (diagnosis.cause, diagnosis.ranks) == ("node_lost", (2,))
    assert diagnosis.detail == "the machine of worker 2 does not answer any more: it is lost or cut off"
    assert (made.hang, kept) == (None, [])
