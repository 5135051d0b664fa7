"""Metrics as the collector's `prometheus` exporter shows them.

Names after OpenTelemetry's compatibility rules: other characters become `_`, the unit and `_total` are added; the
resource becomes the labels `job` (namespace/name) and `instance`, and a `target_info` of its own.
"""

import re
import threading
import time
from collections.abc import Iterator
from typing import Any

MAX_SERIES = 20_000
UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "W": "watts",
    "V": "volts", "Cel": "celsius", "Hz": "hertz", "%": "percent",
}  # fmt: skip
PER = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
SECONDS = {"s": 1, "m": 60, "h": 3600}


def metric_name(name: str, unit: str, *, is_counter: bool, is_gauge: bool) -> str:
    """`ropewalk.stage.duration` in `s` is `ropewalk_stage_duration_seconds`."""
    tokens = [token for token in re.split(r"[^a-zA-Z0-9:]+", name) if token]
    main, _, per = unit.partition("/")
    units = ["" if "{" in main else UNITS.get(main.strip(), re.sub(r"\W+", "", main) if main != "1" else "")]
    if per and "{" not in per:
        units += ["per", PER.get(per.strip(), per.strip())]
    tokens += [token for token in units if token and token not in tokens]
    for suffix, applies in (("total", is_counter), ("ratio", is_gauge and unit == "1")):
        if applies:
            tokens = [*(token for token in tokens if token != suffix), suffix]
    built = "_".join(tokens)
    return f"_{built}" if built[:1].isdigit() else built


def label_name(name: str) -> str:
    """A label of letters, digits and `_`."""
    clean = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    return f"key_{clean}" if clean[:1].isdigit() else clean


def value_of(value: Any) -> str:
    """An attribute's value as text."""
    kind = value.WhichOneof("value")
    held = getattr(value, kind) if kind else ""
    return str(held).lower() if isinstance(held, bool) else str(held)


def plain(attributes: Any) -> dict[str, str]:
    """Attributes as a dictionary."""
    return {attribute.key: value_of(attribute.value) for attribute in attributes}


def escaped(value: str) -> str:
    """A label's value as the text format wants it."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def line(name: str, labels: dict[str, str], value: float) -> str:
    """One sample."""
    inside = ",".join(f'{key}="{escaped(held)}"' for key, held in sorted(labels.items()))
    return f"{name}{{{inside}}} {value!r}"


class Series:
    """The last point of every series, until it is older than the expiration."""

    def __init__(self, expiration: str) -> None:
        self._expiration_s = float(expiration[:-1]) * SECONDS[expiration[-1]]
        self._lock = threading.Lock()
        # name -> (type, series by labels: lines and when they came)
        self._families: dict[str, tuple[str, dict[tuple, tuple[list[str], float]]]] = {}

    def take(self, request: Any) -> None:
        """Remember every point of an export."""
        with self._lock:
            for resource_metrics in request.resource_metrics:
                resource = plain(resource_metrics.resource.attributes)
                namespace, name = resource.pop("service.namespace", ""), resource.pop("service.name", "")
                target = {"job": f"{namespace}/{name}" if namespace else name}
                target["instance"] = resource.pop("service.instance.id", "")
                info = target | {label_name(key): held for key, held in resource.items()}
                self._put("target_info", "gauge", info, [line("target_info", info, 1)])
                for scope_metrics in resource_metrics.scope_metrics:
                    scope = {
                        "otel_scope_name": scope_metrics.scope.name,
                        "otel_scope_version": scope_metrics.scope.version,
                        "otel_scope_schema_url": scope_metrics.schema_url,
                    }
                    for metric in scope_metrics.metrics:
                        self._take_metric(metric, target | scope)

    def page(self) -> tuple[str, str]:
        """Everything in the text format, and its type."""
        now, shown = time.monotonic(), []
        with self._lock:
            for name, (kind, series) in self._families.items():
                for key in [key for key, (_, came) in series.items() if now - came > self._expiration_s]:
                    del series[key]
                if series:
                    shown.append(f"# TYPE {name} {kind}")
                    shown += [text for lines, _ in series.values() for text in lines]
        return "\n".join(shown) + "\n", "text/plain; version=0.0.4; charset=utf-8"

    def _take_metric(self, metric: Any, common: dict[str, str]) -> None:
        data_kind = metric.WhichOneof("data")
        if data_kind not in ("gauge", "sum", "histogram"):
            return
        data = getattr(metric, data_kind)
        is_counter = data_kind == "sum" and data.is_monotonic
        name = metric_name(metric.name, metric.unit, is_counter=is_counter, is_gauge=data_kind == "gauge")
        kind = "counter" if is_counter else "histogram" if data_kind == "histogram" else "gauge"
        for point in data.data_points:
            labels = {label_name(key): held for key, held in plain(point.attributes).items()} | common
            if data_kind == "histogram":
                self._put(name, kind, labels, list(_histogram(name, labels, point)))
            else:
                self._put(name, kind, labels, [line(name, labels, getattr(point, point.WhichOneof("value")))])

    def _put(self, name: str, kind: str, labels: dict[str, str], lines: list[str]) -> None:
        _, series = self._families.setdefault(name, (kind, {}))
        key = tuple(sorted(labels.items()))
        if key in series or sum(len(held) for _, held in self._families.values()) < MAX_SERIES:
            series[key] = (lines, time.monotonic())


def _histogram(name: str, labels: dict[str, str], point: Any) -> Iterator[str]:
    total = 0
    for bound, count in zip(point.explicit_bounds, point.bucket_counts, strict=False):
        total += count
        yield line(f"{name}_bucket", labels | {"le": f"{bound:g}"}, total)
    yield line(f"{name}_bucket", labels | {"le": "+Inf"}, point.count)
    yield line(f"{name}_sum", labels, point.sum)
    yield line(f"{name}_count", labels, point.count)
