"""Two evaluations beside each other: the paired difference on the items that both scored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ropewalk.client.errors import ClientError
from ropewalk.events.evaluation import Estimate
from ropewalk.report.evaluation.sealed import ScoredRow, SealedReport
from ropewalk.statistics.intervals import LEVEL, RESAMPLES, bounded, ratio
from ropewalk.usecases.comparison import CANDIDATE

_METHOD = f"paired, the wider of bootstrap-t ({RESAMPLES} resamples) and jackknife-t over clusters"
_PER_BYTE = "bits_per_byte"  # its scores are bits of a whole item
_SCALED = ("byte_perplexity", "word_perplexity")  # bits per byte on another scale


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An evaluation with what each item scored."""

    report: SealedReport
    rows: tuple[ScoredRow, ...]

    @property
    def by_metric(self) -> dict[str, dict[tuple[str, int], ScoredRow]]:
        """By metric and item: of a text of which another part was read, the size differs."""
        found: dict[str, dict[tuple[str, int], ScoredRow]] = {}
        for row in self.rows:
            if CANDIDATE in row.values and not row.metric.endswith(_SCALED):
                found.setdefault(row.metric, {})[row.item_id, row.num_bytes] = row
        return found


def compare(one: Judged, other: Judged) -> tuple[Estimate, ...]:
    """By how much `one` is better than `other`, by metric. Raises ClientError where no item is common."""
    levels = {each.metric: each for each in one.report.levels}
    ours, theirs = one.by_metric, other.by_metric
    found = []
    for metric in (name for name in ours if name in theirs and name in levels):
        common = sorted(ours[metric].keys() & theirs[metric].keys())
        if common and _is_same(metric, one.report, other.report):
            pairs = [(ours[metric][item], theirs[metric][item]) for item in common]
            found.append(_difference(levels[metric], pairs, other.report.run_id))
    if not found:
        raise ClientError(
            f"runs {one.report.run_id} and {other.report.run_id} have no item in common that both were scored on: "
            "compare runs of one corpus and one model name, or name the same frozen task set in both recipes "
            "(`evaluation: {task_sets: [copying@1]}`)"
        )
    return tuple(found)


def _is_same(metric: str, one: SealedReport, other: SealedReport) -> bool:
    """Whether both drew the same parts of texts, or were asked the same content of a task set."""
    name, has_set, _ = metric.partition("/")
    if not has_set:
        return one.seed == other.seed
    contents = [{each.content for each in of.task_sets if each.task_set == name} for of in (one, other)]
    return contents[0] == contents[1]


def _difference(level: Estimate, pairs: Sequence[tuple[ScoredRow, ScoredRow]], subject: str) -> Estimate:
    sign = 1 if level.better == "higher" else -1
    weighs = level.metric.rpartition("/")[2] == _PER_BYTE
    sums: dict[str, list[float]] = {}  # by cluster: differences, weights
    clusters = _coarser(pairs)
    for (ours, theirs), cluster in zip(pairs, clusters, strict=True):
        total = sums.setdefault(cluster, [0.0, 0.0])
        total[0] += sign * (ours.values[CANDIDATE] - theirs.values[CANDIDATE])
        total[1] += float(ours.num_bytes) if weighs else 1.0
    differences, weights = zip(*sums.values(), strict=True)
    found = ratio(differences, weights, seed=0)
    if level.unit == "share":
        found = bounded(found, -1.0, 1.0, len(sums))
    numbers = {"value": found.value, "lower": found.lower, "upper": found.upper, "level": LEVEL}
    counts = {"num_items": len(pairs), "num_clusters": len(sums), "num_effective": 0.0}
    told = {"method": _METHOD, "subject": subject, "role": "shown", "paired": True}
    return level.model_copy(update={**numbers, **counts, **told})


def _coarser(pairs: Sequence[tuple[ScoredRow, ScoredRow]]) -> Iterable[str]:
    """The clusters of whichever evaluation saw more vary together."""
    sides: Mapping[int, list[str]] = {place: [pair[place].cluster for pair in pairs] for place in (0, 1)}
    return min(sides.values(), key=lambda names: len(set(names)))
