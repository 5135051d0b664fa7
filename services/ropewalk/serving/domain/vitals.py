"""Which model versions answer, as far as the requests of the last seconds tell."""

_BELIEVED_S = 10.0  # then a failure is old news: without traffic nobody would say that it is over


class Vitals:
    """The last failure of each target, until one of its requests succeeds. Times are those of a monotonic clock."""

    def __init__(self) -> None:
        self._failed_at: dict[str, float] = {}  # by target

    def answered(self, target: str) -> None:
        """A request was answered."""
        self._failed_at.pop(target, None)

    def failed(self, target: str, now: float) -> None:
        """A request was not answered because the backend, or the model in it, was away."""
        self._failed_at[target] = now

    def is_failing(self, target: str, now: float) -> bool:
        """Whether the newest news of the target is bad, and fresh."""
        return now - self._failed_at.get(target, -_BELIEVED_S) < _BELIEVED_S
