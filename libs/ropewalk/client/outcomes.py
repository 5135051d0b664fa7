"""A forecast beside what came of it."""

from ropewalk.events.training import TrainingCompleted, TrainingQuoted


def forecast_errors(quoted: TrainingQuoted, completed: TrainingCompleted) -> str:
    """How far time, price and loss of a training were from what was said before, in one line for people."""
    usd = quoted.usd / quoted.seconds * completed.seconds if quoted.seconds else 0.0
    parts = [
        _part("time", quoted.seconds, quoted.seconds_low, quoted.seconds_high, completed.seconds),
        _part("price", quoted.usd, quoted.usd_low, quoted.usd_high, usd),
        _part("loss", quoted.loss, quoted.loss_low, quoted.loss_high, completed.loss),
    ]
    return "against the forecast: " + ", ".join(part for part in parts if part)


def _part(name: str, expected: float, low: float, high: float, outcome: float) -> str:
    if not expected:
        return ""
    within = "" if low <= outcome <= high else " (outside its interval)"
    return f"{name} {100 * (outcome / expected - 1):+.0f} %{within}"
