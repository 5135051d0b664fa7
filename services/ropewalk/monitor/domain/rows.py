"""From messages to rows of the store, and back to requests.

A row that cannot be stored is set aside by itself, with the reason; its neighbours are stored.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from ropewalk.bus.codec import Stored
from ropewalk.events.base import Message, Value
from ropewalk.events.foreign import LIMIT, cut, one_line, quoted
from ropewalk.events.label import LabelGiven, LabelWithdrawn
from ropewalk.events.monitoring import SignalsComputed
from ropewalk.events.score import ScoreBatch
from ropewalk.events.serving import RequestLogBatch
from ropewalk.events.training import StepMetricsBatch
from ropewalk.monitor.domain.signals import MeasuredRequest
from ropewalk.monitor.errors import AnalyticsError

Row = dict[str, Any]
_INT64 = 2**63
_MOST_TEXT = {"prompt": 32_000, "completion": 32_000, "error": 2_000}  # characters; every other field: LIMIT
MOST_BODY = 100_000  # of what is set aside


class RowError(AnalyticsError, ValueError):
    """A row cannot be stored. The text names the field and the value."""


@dataclass(frozen=True)
class RejectedRow:
    """A row set aside."""

    row: int
    reason: str
    body: str


@dataclass
class Rows:
    """What one message becomes."""

    stored: list[Row] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)


def request_rows(item: Stored[Message]) -> Rows:
    """Rows of the table `request`."""
    assert isinstance(item.message, RequestLogBatch), "the subject filter lets nothing else through"
    return _rows(item, item.message.rows, lambda row: _cut(row.model_dump()) | {"time": column_time(row.time)})


def train_step_rows(item: Stored[Message]) -> Rows:
    """Rows of the table `train_step`."""
    assert isinstance(item.message, StepMetricsBatch), "the subject filter lets nothing else through"
    run_id = item.message.run_id

    def convert(row: Value) -> Row:
        fields = row.model_dump()
        seconds = fields.pop("time_unix")
        if not (math.isfinite(seconds) and 0 <= seconds < 4e9):
            raise RowError(f"time_unix is {seconds!r}: expected seconds since 1970")
        return fields | {"run_id": run_id, "time": _column_format(datetime.fromtimestamp(seconds, UTC))}

    return _rows(item, item.message.rows, convert)


def signal_rows(item: Stored[Message]) -> Rows:
    """Rows of the table `signal_state`, one per signal."""
    message = item.message
    assert isinstance(message, SignalsComputed), "the subject filter lets nothing else through"
    place = {
        "time": column_time(message.time),
        "run_id": message.run_id,
        "model": one_line(message.model),
        "model_version": message.model_version,
        "num_requests": message.num_requests,
    }
    return _rows(item, message.signals, lambda state: place | _cut(state.model_dump()))


def score_rows(item: Stored[Message]) -> Rows:
    """Rows of the table `scored_item`, one per item."""
    assert isinstance(item.message, ScoreBatch), "the subject filter lets nothing else through"
    place = {"time": _said_at(item)} | _cut(item.message.model_dump(exclude={"scores"}))

    def convert(score: Value) -> Row:
        fields = _cut(score.model_dump())
        return place | fields | {"cluster_key": fields.pop("cluster")}  # the name of a function that no reader may call

    return _rows(item, item.message.scores, convert)


def label_rows(item: Stored[Message]) -> Rows:
    """The row of the table `label_said`: a label, or that one was taken back."""
    message = item.message
    assert isinstance(message, LabelGiven | LabelWithdrawn), "the subject filter lets nothing else through"
    fields = message.model_dump(exclude={"run_id"}) | {"withdraws": isinstance(message, LabelWithdrawn)}
    return _rows(item, (message,), lambda _: _cut(fields) | {"time": _said_at(item)})


def event_rows(item: Stored[Message]) -> Rows:
    """The row of the table `event`."""
    message, envelope = item.message, item.envelope
    return _rows(
        item,
        (message,),
        lambda _: {
            "time": _said_at(item),
            "type": f"{message.family}.{message.name}",
            "run_id": message.run_id,
            "id": envelope.id,
            "cause_id": envelope.cause_id,
            "source": envelope.source,
            "epoch": envelope.epoch,
            "body": message.model_dump_json(),
        },
    )


def sample_of(row: Mapping[str, Any]) -> MeasuredRequest:
    """What is measured of the request that a row of the table `request` holds."""
    time = row["time"].replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    return MeasuredRequest(**{each.name: row[each.name] for each in fields(MeasuredRequest)} | {"time": time})


def column_time(rfc3339: str) -> str:
    """A time as the store's JSON format takes it, in UTC. Raises RowError for anything but RFC 3339 with a zone."""
    try:
        time = datetime.fromisoformat(rfc3339)
    except ValueError:
        raise RowError(f"time is {quoted(rfc3339)}: expected RFC 3339, for example 2026-01-31T12:00:00.000Z") from None
    if time.tzinfo is None:
        raise RowError(f"time is {quoted(rfc3339)}: the time zone is missing, append Z for UTC")
    if not 1970 < time.year < 2200:
        raise RowError(f"time is {quoted(rfc3339)}: the store keeps the years 1971 to 2199")
    return _column_format(time.astimezone(UTC))


def _said_at(item: Stored[Message]) -> str:
    """A sender's clock is believed if it can be read, else the stream's is taken."""
    try:
        return column_time(item.envelope.time)
    except RowError:
        return _column_format(item.time.astimezone(UTC))


def _rows(item: Stored[Message], values: tuple[Any, ...], convert: Callable[[Any], Row]) -> Rows:
    rows = Rows()
    for number, value in enumerate(values):
        place = {"message_id": item.envelope.id, "sequence": item.sequence, "row": number}
        try:
            rows.stored.append(dict(_columns(convert(value) | place)))
        except RowError as error:
            rows.rejected.append(RejectedRow(number, str(error), cut(value.model_dump_json(), MOST_BODY)))
    return rows


def _cut(row: Row) -> Row:
    """Texts as long as somebody may want to read them: a name of a megabyte is no name."""
    return {
        name: cut(value, _MOST_TEXT.get(name, LIMIT)) if isinstance(value, str) else value
        for name, value in row.items()
    }


def _columns(row: Row) -> Iterator[tuple[str, Any]]:
    """JSON has no NaN and the store no integers beyond 64 bits."""
    for name, value in row.items():
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise RowError(f"{name} is {quoted(value)}: beyond 64 bits")
        yield name, str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _column_format(time: datetime) -> str:
    return time.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds")
