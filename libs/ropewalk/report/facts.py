"""The card's numbers in words, the same on paper, on screen and in the terminal."""

from ropewalk.events.evaluation import Estimate
from ropewalk.report.card import ReportCard
from ropewalk.report.traffic import MOST_REQUESTS

NOT_IN_LOG = "not in the log"
_COMPARED = (
    ("bits_per_byte", "this model"),
    ("production_bits_per_byte", "in production before"),
    ("base_model_bits_per_byte", "base model"),
    ("baseline_unigram_bits_per_byte", "token unigram"),
    ("baseline_bigram_bits_per_byte", "token bigram"),
    ("baseline_trigram_bits_per_byte", "token trigram"),
)


def headline(card: ReportCard) -> str:
    """The result in one line."""
    model = f"{card.model}@{card.model_version}" if card.model_version else card.recipe
    return f"{model} · {card.outcome} · {duration(card.seconds)}"


def began(card: ReportCard) -> str:
    """Which run it was, and when."""
    return f"{card.run_id} · began {card.began_at:%Y-%m-%d %H:%M:%S} UTC"


def key_facts(card: ReportCard) -> list[tuple[str, str, str]]:
    """(name, value, remark) of the numbers that matter most; of a run that ended badly, of those there are."""
    facts = [
        _bits(card),
        _loss(card),
        *_parse_rate(card),
        *_recovery(card),
        _ledger(card),
        ("gate", card.gate.decision if card.gate else NOT_IN_LOG, "; ".join(card.gate.reasons) if card.gate else ""),
        _parity(card),
        *(_traffic(card) if card.traffic or not card.reason else []),
        *([_alarm(card)] if card.alarms or not card.reason else []),
        _cost(card),
    ]
    return [fact for fact in facts if not card.reason or fact[1] != NOT_IN_LOG]


def comparison(card: ReportCard) -> list[tuple[str, Estimate]]:
    """Bits per byte of the model and of what it is compared with, each on the same held-out files."""
    found = ((name, card.estimate(metric)) for metric, name in _COMPARED)
    return [(name, estimate) for name, estimate in found if estimate is not None]


def lower_is_better(card: ReportCard) -> str:
    """How the comparison is read, and the difference that the gate judged."""
    gain = card.gate.comparison if card.gate else None
    if gain is None:
        return "lower is better"
    return (
        f"Lower is better. Paired difference to {gain.subject}: {interval(gain)} bits per byte over"
        f" {gain.num_items} files."
    )


def interval(estimate: Estimate, digits: int = 3) -> str:
    """`1.873 [1.842, 1.905]`."""
    return f"{estimate.value:.{digits}f} [{estimate.lower:.{digits}f}, {estimate.upper:.{digits}f}]"


def duration(seconds: float) -> str:
    """`8 min 05 s`."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{seconds:.1f} s"


def money(usd: float | None) -> str:
    """Dollars with enough digits to show something."""
    return "not priced" if usd is None else f"${usd:.2f}" if usd >= 1 else f"${usd:.5f}"


def data_sentence(card: ReportCard) -> str:
    """What became of the documents."""
    if card.data is None:
        return f"documents: {NOT_IN_LOG}"
    data = card.data
    dropped = ", ".join(
        f"{count:,} {reason}" for reason, count in sorted(data.dropped.items(), key=lambda item: -item[1])
    )
    return (
        f"{data.num_inputs:,} documents ({data.num_bytes / 1e6:.1f} MB): {data.num_kept:,} kept,"
        f" {data.num_held_out:,} held out, {sum(data.dropped.values()):,} dropped{f' ({dropped})' if dropped else ''},"
        f" {data.num_quarantined:,} quarantined. {data.num_tokens:,} tokens,"
        f" vocabulary {data.vocab_size:,}, {data.bytes_per_token:.2f} bytes per token."
    )


def training_sentence(card: ReportCard) -> str:
    """How the model was trained."""
    if card.training is None:
        return f"training: {NOT_IN_LOG}"
    line, epochs = card.training, card.epochs
    often = "" if epochs is None else f" The training data was read {epochs:.2g} times (epochs of training)."
    return (
        f"{line.num_parameters / 1e6:.2f} M parameters, {line.num_workers} workers ({line.strategy}),"
        f" {line.num_steps:,} steps, {line.tokens / 1e6:.2f} M tokens, {line.tokens_per_s:,.0f} tokens/s.{often}"
    )


def _bits(card: ReportCard) -> tuple[str, str, str]:
    estimate = card.estimate("bits_per_byte")
    if estimate is None:
        return ("bits per byte", NOT_IN_LOG, "")
    bounds = f"{estimate.level:.0%} interval {estimate.lower:.3f} to {estimate.upper:.3f}"
    return ("bits per byte", f"{estimate.value:.3f}", f"{bounds}, {estimate.num_items} held-out files")


def _loss(card: ReportCard) -> tuple[str, str, str]:
    if card.training is None:
        return ("training loss", NOT_IN_LOG, "")
    loss = card.training.loss
    bits = card.bits_per_byte(loss)
    in_bytes = "" if bits is None else f"{bits:.3f} bits per byte of the training text"
    return ("training loss", f"{loss:.3f} nats/token", in_bytes)


def _parse_rate(card: ReportCard) -> list[tuple[str, str, str]]:
    """Nothing for a model that was judged and writes no code."""
    estimate = card.estimate("parse_rate")
    if estimate is None:
        return [] if card.estimates else [("completions that parse", NOT_IN_LOG, "")]
    bounds = f"{estimate.level:.0%} interval {estimate.lower:.0%} to {estimate.upper:.0%}"
    return [("completions that parse", f"{estimate.value:.0%}", f"{bounds}, {estimate.num_items} completions")]


def _recovery(card: ReportCard) -> list[tuple[str, str, str]]:
    """Nothing for a run that has not come to training."""
    if not card.interruptions:
        return [("recovery", "no loss", "no worker died")] if card.training or card.losses else []
    last = card.interruptions[-1]
    if last.seconds_lost is None:
        return [("recovery", "not recovered", f"{last.cause} at step {last.last_step}")]
    total = sum(each.seconds_lost or 0.0 for each in card.interruptions)
    remark = f"{last.cause} at step {last.last_step}, resumed from step {last.resume_step}"
    return [("recovery", f"{total:.1f} s", remark)]


def _ledger(card: ReportCard) -> tuple[str, str, str]:
    verdict = card.ledger
    if verdict is None:
        return ("ledger", NOT_IN_LOG, "")
    counts = f"{verdict.num_samples:,} samples: {verdict.num_skipped} skipped, {verdict.num_repeated} repeated"
    again = f"; {verdict.num_discarded_steps} steps taken again" if verdict.num_discarded_steps else ""
    return ("ledger", "exact" if verdict.ok else "broken", counts + again)


def _parity(card: ReportCard) -> tuple[str, str, str]:
    parity = card.parity
    if parity is None:
        return ("parity", NOT_IN_LOG, "")
    remark = f"{parity.num_prompts} prompts, {parity.num_tokens:,} tokens: {', '.join(parity.paths)}"
    return ("parity", "passed" if parity.passed else "differs", remark if parity.passed else parity.differences[0])


def _traffic(card: ReportCard) -> list[tuple[str, str, str]]:
    line = card.traffic
    if line is None:
        return [("traffic", "none", "nobody has asked it yet")]
    errors = f", {line.num_errors} failed" if line.num_errors else ""
    more = ", the first there were" if line.num_requests >= MOST_REQUESTS else ""
    return [
        ("latency p50 / p99", f"{line.p50_ms:.0f} / {line.p99_ms:.0f} ms", f"first token {line.ttft_p50_ms:.0f} ms"),
        ("throughput", f"{line.requests_per_s:.1f} requests/s", f"{line.num_requests:,} requests{errors}{more}"),
        ("generation", f"{line.tokens_per_s:.0f} tokens/s", "all streams together, over all traffic"),
    ]


def _alarm(card: ReportCard) -> tuple[str, str, str]:
    if not card.alarms:
        return ("drift alarm", "none", "nothing has changed since the watch began, or it has not begun")
    first = card.alarms[0]
    others = list(dict.fromkeys(alarm.signal for alarm in card.alarms if alarm.signal != first.signal))
    also = [f"also: {', '.join(others)}"] if others else []
    if len(card.alarms) > 1 + len(others):
        also.append(f"{len(card.alarms)} alarms in all")
    if card.num_alarms_over:
        also.append("it is over" if len(card.alarms) == 1 else f"{card.num_alarms_over} of them are over")
    more = f" ({'; '.join(also)})" if also else ""
    return ("drift alarm", first.signal, first.detail.removeprefix(f"{first.signal}: ") + more)


def _cost(card: ReportCard) -> tuple[str, str, str]:
    return ("cost", money(card.usd), f"{card.cpu_seconds:,.0f} CPU-seconds, estimated at the recipe's price")
