"""What a stage asks of a pool, and what a pool has: the one place that knows which resources are counted."""

from typing import Any

from pydantic import Field

from ropewalk.events.base import Value

_ROUNDING = 1e-9  # of sums of CPUs, which may be parts of one


class Resources(Value):
    """A demand, or the size of a pool. Nothing is asked for by default, and a pool has no GPUs unless it says so."""

    cpus: float = 0.0
    gpus: int = Field(default=0, description="whole GPUs")
    gpu_kind: str = Field(default="", description="`h100` for example; a demand without one takes any kind")
    memory_bytes: int = Field(default=0, description="a pool that names none does not count it")

    def plus(self, other: "Resources") -> "Resources":
        """Both together, of no particular kind of GPU."""
        return Resources(
            cpus=self.cpus + other.cpus,
            gpus=self.gpus + other.gpus,
            memory_bytes=self.memory_bytes + other.memory_bytes,
        )

    def short_of(self, room: "Resources", taken: "Resources | None" = None) -> frozenset[str]:
        """What a pool of the size `room` has not enough of beside what is `taken`, by name.

        Only what is asked for is compared: a stage without GPUs fits where all of them are taken.
        """
        taken = taken or Resources()
        of_kind = self.gpu_kind in ("", room.gpu_kind)
        enough = {
            "cpus": not self.cpus or taken.cpus + self.cpus <= room.cpus + _ROUNDING,
            "gpus": not self.gpus or (of_kind and taken.gpus + self.gpus <= room.gpus),
            "memory": not (self.memory_bytes and room.memory_bytes)
            or taken.memory_bytes + self.memory_bytes <= room.memory_bytes,
        }
        return frozenset(name for name, is_enough in enough.items() if not is_enough)

    def fits(self, room: "Resources") -> bool:
        """Whether a pool of the size `room` can ever hold this."""
        return not self.short_of(room)

    def share_of(self, room: "Resources") -> float:
        """The largest part that this is of anything in `room` (dominant resource fairness, Ghodsi et al. 2011)."""
        pairs = ((self.cpus, room.cpus), (self.gpus, room.gpus), (self.memory_bytes, room.memory_bytes))
        return max((used / whole for used, whole in pairs if whole), default=0.0)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is asked for, so that there is nothing to wait for."""
        return not (self.cpus or self.gpus or self.memory_bytes)

    @property
    def in_words(self) -> str:
        """`2 CPUs and 1 GPU (h100)`, for a sentence."""
        parts = [f"{self.cpus:g} {'CPU' if self.cpus == 1 else 'CPUs'}"]
        if self.gpus:
            kind = f" ({self.gpu_kind})" if self.gpu_kind else ""
            parts.append(f"{self.gpus} {'GPU' if self.gpus == 1 else 'GPUs'}{kind}")
        if self.memory_bytes:
            parts.append(f"{self.memory_bytes / 1e9:.3g} GB of memory")
        return " and ".join(parts)

    def as_fields(self) -> dict[str, Any]:
        """The demand alone, for a message that carries one among its own fields."""
        return {name: getattr(self, name) for name in Resources.model_fields}
