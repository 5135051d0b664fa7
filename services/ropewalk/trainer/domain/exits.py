"""What the exit of a worker's process says. Pure: a status and what the kernel counted, in; a symptom, out."""

import signal

from ropewalk.trainer.domain.recovery import Symptom

_BROKEN = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT})
_SHELL = 128  # a shell between us and the process adds this to the number of a signal


def symptom_of_exit(rank: int, code: int, *, num_oom_kills: int = 0) -> Symptom | None:
    """None if it ended well. `code` is as subprocess gives it: negative for a signal.

    `num_oom_kills` is how many processes the kernel killed for memory while this one lived: a SIGKILL is then taken
    for one of them, since nothing else says so.
    """
    number = -code if code < 0 else code - _SHELL
    if code == 0:
        return None
    if number not in set(signal.Signals):
        return Symptom(kind="raised", text=f"the process of worker {rank} ended with status {code}", rank=rank)
    text = f"the process of worker {rank} was killed by {signal.Signals(number).name}"
    if number == signal.SIGKILL and num_oom_kills > 0:
        text += f" while the kernel killed for memory ({num_oom_kills} times)"
        return Symptom(kind="out_of_memory", text=text, rank=rank)
    if number in _BROKEN:
        return Symptom(kind="crashed", text=f"{text}: native code broke", rank=rank)
    if number in (signal.SIGTERM, signal.SIGALRM):
        return Symptom(kind="pre_empted", text=f"{text}: it was told to leave and was not done in time", rank=rank)
    return Symptom(kind="died", text=text, rank=rank)
