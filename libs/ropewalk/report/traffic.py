"""Rates and percentiles of request logs."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from ropewalk.events.serving import RequestLog
from ropewalk.report.card import TrafficLine

INTERNAL_KEY = "internal"  # the stack's own requests (parity checks) are no traffic
MOST_REQUESTS = 100_000  # that a card is made from
_OK = range(200, 300)


def traffic_line(requests: Sequence[RequestLog]) -> TrafficLine | None:
    """People's requests in numbers; None if there were none that succeeded."""
    people = [row for row in requests if row.key_id != INTERNAL_KEY]
    good = [row for row in people if row.status in _OK]
    if not good:
        return None
    span_s = _span_s(people)
    latencies = [row.latency_ms for row in good]
    first_tokens = [row.ttft_ms for row in good if row.ttft_ms > 0]
    return TrafficLine(
        num_requests=len(people),
        num_errors=len(people) - len(good),
        requests_per_s=len(people) / span_s if span_s else 0.0,
        tokens_per_s=sum(row.completion_tokens for row in good) / span_s if span_s else 0.0,
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        ttft_p50_ms=percentile(first_tokens, 50),
        ttft_p99_ms=percentile(first_tokens, 99),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile by linear interpolation between order statistics; 0 of nothing."""
    import numpy as np  # a tenth of a second, only when a card is made

    return float(np.percentile(values, percent)) if values else 0.0


def _span_s(rows: Sequence[RequestLog]) -> float:
    """From the first request to the end of the last, in seconds."""
    begins = [datetime.fromisoformat(row.time) for row in rows]
    ends = [begin + timedelta(milliseconds=row.latency_ms) for begin, row in zip(begins, rows, strict=True)]
    return (max(ends) - min(begins)).total_seconds()
