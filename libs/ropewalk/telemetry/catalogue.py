"""Every metric that is exported: its kind, its unit, what tells its series apart, what it says.

Labels have few values: services, consumers, stages, model versions. Runs and requests are in the traces and tables.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# Bucket bounds from the gen_ai conventions; the SDK's own are for milliseconds.
_REQUEST_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_PER_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = tuple(float(4**exponent) for exponent in range(14))
_STAGE_S = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0)
_SUFFIXES = {"s": "_seconds", "By": "_bytes", "1": "_ratio", "{token}/s": "_per_second"}


@dataclass(frozen=True)
class Instrument:
    """`unit` is in the UCUM notation of OpenTelemetry; braces hold what is counted and are left out of the name."""

    kind: Literal["gauge", "counter", "histogram"]
    unit: str
    says: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = _REQUEST_S


_CONSUMER = ("consumer", "stream")
_MODEL = ("operation", "provider", "model", "response_model")

METRICS: Mapping[str, Instrument] = {
    # every service
    "ropewalk.service.heartbeat": Instrument("gauge", "s", "when the service last exported, in seconds since 1970"),
    "ropewalk.service.ready": Instrument("gauge", "{service}", "1 while it is ready, 0 while it is not"),
    "ropewalk.loop.blocked": Instrument("gauge", "s", "the longest time that something blocked the event loop lately"),
    "ropewalk.bus.connected": Instrument("gauge", "{connection}", "1 while the service has a connection to the bus"),
    "ropewalk.bus.certificate": Instrument("gauge", "s", "when the bus's certificate ends, in seconds since 1970"),
    "ropewalk.bus.unsent": Instrument("gauge", "{message}", "sends that the bus has not accepted yet"),
    "ropewalk.disk.free": Instrument("gauge", "By", "room on the disk of the state folder"),
    "ropewalk.disk.size": Instrument("gauge", "By", "size of the disk of the state folder"),
    "ropewalk.message.duration": Instrument(
        "histogram",
        "s",
        "time to handle a message; the outcome `reject` is a dead letter, `retry` comes again",
        ("message_type", "outcome"),
    ),
    "ropewalk.stage.duration": Instrument("histogram", "s", "time of a stage", ("stage", "status"), _STAGE_S),
    "ropewalk.consumer.pending": Instrument("gauge", "{message}", "messages not delivered yet", _CONSUMER),
    "ropewalk.consumer.ack_pending": Instrument("gauge", "{message}", "delivered and not settled", _CONSUMER),
    "ropewalk.consumer.redelivered": Instrument("gauge", "{message}", "delivered again and not settled", _CONSUMER),
    "ropewalk.consumer.oldest": Instrument("gauge", "s", "age of the oldest message of CONTROL not settled", _CONSUMER),
    "ropewalk.pool.cpus": Instrument(
        "gauge", "{cpu}", "CPUs of a pool that stages use or wait for: what an autoscaler goes by", ("pool", "state")
    ),
    # trainer
    "ropewalk.training.progressed": Instrument("gauge", "s", "when a training last moved on, in seconds since 1970"),
    "ropewalk.training.step": Instrument("gauge", "{step}", "step of the training that moved on last"),
    "ropewalk.training.loss": Instrument("gauge", "{nat}", "its loss, in nats per token"),
    "ropewalk.training.tokens": Instrument("gauge", "{token}/s", "its speed"),
    "ropewalk.training.left": Instrument("gauge", "s", "how long it still takes"),
    "ropewalk.training.goodput": Instrument("gauge", "1", "share of its time that went into steps that count"),
    "ropewalk.checkpoint.saved": Instrument("gauge", "s", "when a checkpoint was last saved, in seconds since 1970"),
    # serving
    "gen_ai.server.request.duration": Instrument("histogram", "s", "time of a request", (*_MODEL, "status_code")),
    "gen_ai.server.time_to_first_token": Instrument("histogram", "s", "time until the first piece", _MODEL),
    "gen_ai.server.time_per_output_token": Instrument("histogram", "s", "time per later token", _MODEL, _PER_TOKEN_S),
    "gen_ai.client.token.usage": Instrument(
        "histogram", "{token}", "tokens of a request by `gen_ai_token_type`", (*_MODEL, "token_type"), _TOKENS
    ),
    "ropewalk.request.refused": Instrument("counter", "{request}", "requests that reached no model", ("status_code",)),
    "ropewalk.backend.up": Instrument("gauge", "{backend}", "1 while the backend (Triton) answers", ("backend",)),
    "ropewalk.model.answering": Instrument("gauge", "{model}", "names that would be answered now"),
    "ropewalk.model.away": Instrument("gauge", "{model}", "names that should be answered and would not be"),
    "ropewalk.spool.size": Instrument("gauge", "By", "request logs on disk that are not published yet"),
    "ropewalk.spool.lost": Instrument("gauge", "{row}", "request logs lost since the start: the disk took none"),
    # monitor, which looks at the whole deployment
    "ropewalk.bus.answers": Instrument("gauge", "{server}", "1 while the bus says what it holds"),
    "ropewalk.bus.stored": Instrument("gauge", "By", "what JetStream holds"),
    "ropewalk.stream.size": Instrument("gauge", "By", "size of a stream that refuses messages when full", ("stream",)),
    "ropewalk.stream.limit": Instrument("gauge", "By", "its limit", ("stream",)),
    "ropewalk.service.answers": Instrument("gauge", "{service}", "1 while a service answers a ping", ("service",)),
    "ropewalk.queue.oldest": Instrument("gauge", "s", "age of the oldest message not settled", _CONSUMER),
    "ropewalk.letters.open": Instrument("gauge", "{message}", "dead letters that nobody has dealt with"),
    "ropewalk.runs": Instrument("gauge", "{run}", "runs by status", ("status",)),
    "ropewalk.stage.queued": Instrument("gauge", "{run}", "stages that wait for room in the pool", ("stage",)),
    "ropewalk.alarms.open": Instrument("gauge", "{alarm}", "drift alarms that nobody looks after"),
}


def prometheus_name(name: str) -> str:
    """What the collector calls a metric for Prometheus; a histogram adds `_bucket`, `_sum` and `_count` to it."""
    metric = METRICS[name]
    plain = re.sub(r"[^a-zA-Z0-9]+", "_", name) + _SUFFIXES.get(metric.unit, "")
    return f"{plain}_total" if metric.kind == "counter" else plain
