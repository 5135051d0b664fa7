"""The card's numbers in words, the same on paper, on screen and in the terminal."""

from collections.abc import Iterator
from dataclasses import dataclass

from ropewalk.client.describe import ended_early, why_decided
from ropewalk.client.goodput import spent, use
from ropewalk.events.evaluation import Estimate
from ropewalk.events.foreign import one_line
from ropewalk.events.training import TimeAccount
from ropewalk.report.card import ReportCard
from ropewalk.report.traffic import MOST_REQUESTS
from ropewalk.usecases.comparison import CANDIDATE

NOT_IN_LOG = "not in the log"


def headline(card: ReportCard) -> str:
    """The result in one line."""
    model = f"{card.model}@{card.model_version}" if card.model_version else card.recipe
    return f"{model} · {card.outcome} · {duration(card.seconds)}"


def began(card: ReportCard) -> str:
    """Which run it was, and when."""
    return f"{card.run_id} · began {card.began_at:%Y-%m-%d %H:%M:%S} UTC"


def key_facts(card: ReportCard) -> list[tuple[str, str, str]]:
    """(name, value, remark) of the numbers that matter most; of a run that ended badly, of those there are."""
    measured = [_measured(each) for each in card.own_estimates] or [("evaluation", NOT_IN_LOG, "")]
    facts = [
        *_specialist(card),
        measured[0],
        _loss(card),
        *_looks(card),
        *measured[1:],
        *_recovery(card),
        *_time(card),
        _ledger(card),
        ("gate", card.gate.word if card.gate else NOT_IN_LOG, why_decided(card.gate) if card.gate else ""),
        _parity(card),
        *(_traffic(card) if card.traffic or not card.reason else []),
        *([_alarm(card)] if card.alarms or not card.reason else []),
        _cost(card),
    ]
    return [fact for fact in facts if not card.reason or fact[1] != NOT_IN_LOG]


@dataclass(frozen=True)
class Compared:
    """One quantity of the model and of what it is compared with, each on the same items."""

    title: str
    rows: tuple[tuple[str, Estimate], ...]  # (whose it is, its estimate), the model first
    note: str


def comparisons(card: ReportCard) -> list[Compared]:
    """Every quantity that was measured, in the order of the log."""
    return [_compared(card, own) for own in card.own_estimates]


def _compared(card: ReportCard, own: Estimate) -> Compared:
    alike = [each for each in card.estimates if each.quantity == own.quantity]
    others = [(each.subject, each) for each in alike if not each.paired and each != own]
    note = f"{own.better.capitalize()} is better."
    for gain in (each for each in alike if each.paired):
        over = f"{own.quantity} over {gain.sample}"
        note += f" Paired difference to {gain.subject}: {interval(gain)} {over}."
    title = f"{own.quantity[:1].upper()}{own.quantity[1:]} on {own.items}"
    return Compared(title, (("this model", own), *others), note)


def interval(estimate: Estimate) -> str:
    """`1.873 [1.842, 1.905]`."""
    value, lower, upper = (estimate.written(each) for each in (estimate.value, estimate.lower, estimate.upper))
    return f"{value} [{lower}, {upper}]"


def duration(seconds: float) -> str:
    """`8 min 05 s`."""
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{seconds:.1f} s"


def money(usd: float | None) -> str:
    """Dollars with enough digits to show something."""
    return "not priced" if usd is None else f"${usd:.2f}" if usd >= 1 else f"${usd:.5f}"


def data_sentence(card: ReportCard) -> str:
    """What became of the documents."""
    corpus, dataset, tokenizer = card.corpus, card.dataset, card.tokenizer
    if corpus is None or dataset is None:
        return f"documents: {NOT_IN_LOG}"
    dropped = ", ".join(
        f"{count:,} {reason}" for reason, count in sorted(dataset.dropped.items(), key=lambda item: -item[1])
    )
    size = (
        f", vocabulary {tokenizer.vocab_size:,}, {tokenizer.bytes_per_token:.2f} bytes per token" if tokenizer else ""
    )
    return (
        f"{dataset.num_inputs:,} documents ({corpus.num_bytes / 1e6:.1f} MB): {dataset.num_kept:,} kept,"
        f" {dataset.num_held_out:,} held out, {sum(dataset.dropped.values()):,} dropped"
        f"{f' ({dropped})' if dropped else ''}, {corpus.num_quarantined:,} quarantined."
        f" {dataset.num_tokens:,} tokens{size}.{f' {dataset.loss_by_cutting}.' if dataset.num_cut else ''}"
        f"{f' {dataset.made_by_models}.' if dataset.num_synthetic else ''}"
    )


def training_sentence(card: ReportCard) -> str:
    """How the model was trained."""
    began, ended, epochs = card.training, card.trained, card.epochs
    if began is None or ended is None:
        return f"training: {NOT_IN_LOG}"
    often = "" if epochs is None else f" The training data was read {epochs:.2g} times (epochs of training)."
    early = f" Training {how}." if (how := ended_early(ended)) else ""
    forecast = f" {card.forecast[0].upper()}{card.forecast[1:]}." if card.forecast else ""
    return (
        f"{began.num_parameters / 1e6:.2f} M parameters, {began.num_workers} workers ({began.strategy}),"
        f" {ended.step:,} steps, {ended.tokens / 1e6:.2f} M tokens, {card.tokens_per_s:,.0f} tokens/s."
        f"{early}{often}{forecast}"
    )


def _measured(own: Estimate) -> tuple[str, str, str]:
    bounds = f"{own.sureness} interval {own.written(own.lower)} to {own.written(own.upper)}"
    return (own.quantity, own.written(own.value), f"{bounds}, {own.sample}")


def _specialist(card: ReportCard) -> Iterator[tuple[str, str, str]]:
    """Nothing for a run without a task."""
    if card.specialist is None:
        return
    section = card.specialist.section
    for metric in ("field_accuracy", "schema_validity"):
        own, before = (section.levels[name].get(metric) for name in (CANDIDATE, section.before))
        if own and before:
            remark = f"{before.written(before.value)} of the {before.subject}, {own.sample}"
            yield own.quantity, own.written(own.value), remark


def _loss(card: ReportCard) -> tuple[str, str, str]:
    if card.trained is None:
        return ("training loss", NOT_IN_LOG, "")
    loss = card.trained.loss
    bits = card.bits_per_byte(loss)
    in_bytes = "" if bits is None else f"{bits:.3f} bits per byte of the training text"
    return ("training loss", f"{loss:.3f} nats/token", in_bytes)


def _looks(card: ReportCard) -> Iterator[tuple[str, str, str]]:
    """Nothing for a run that nobody watched while it trained."""
    if card.looks:
        best = min(card.looks, key=lambda look: look.loss)
        yield "validation loss", f"{card.looks[-1].loss:.3f} nats/token", f"best {best.loss:.3f} at step {best.step}"
    for sample in card.said:
        yield "said in training", one_line(sample.text, 60) or "nothing", f"after {one_line(sample.prompt, 60)}"


def _recovery(card: ReportCard) -> list[tuple[str, str, str]]:
    """Nothing for a run that has not come to training."""
    if not card.interruptions:
        return [("recovery", "no loss", "no worker died")] if card.trained or card.losses else []
    last = card.interruptions[-1]
    why = f": {last.detail}" if last.detail else ""
    if last.seconds_lost is None:
        return [("recovery", "not recovered", f"{last.cause} at step {last.last_step}{why}")]
    total = sum(each.seconds_lost or 0.0 for each in card.interruptions)
    remark = f"{last.cause} at step {last.last_step}, resumed from step {last.resume_step}{why}"
    return [("recovery", f"{total:.1f} s", remark)]


def _time(card: ReportCard) -> list[tuple[str, str, str]]:
    """Nothing for a log of an older release."""
    account = card.trained.account if card.trained is not None else TimeAccount()
    if not account.wall_s:
        return []
    remark = "; ".join(filter(None, (spent(account), use(account))))
    return [("training time", f"{100 * account.step_s / account.wall_s:.0f} % productive", remark)]


def _ledger(card: ReportCard) -> tuple[str, str, str]:
    verdict = card.ledger
    if verdict is None:
        return ("ledger", NOT_IN_LOG, "")
    if verdict.is_empty:
        return ("ledger", "empty", "nothing was committed: there is nothing to verify")
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
    # One signal can raise several alarms; each is named once.
    others = list(dict.fromkeys(alarm.signal for alarm in card.alarms if alarm.signal != first.signal))
    also = [f"also: {', '.join(others)}"] if others else []
    if len(card.alarms) > 1 + len(others):
        also.append(f"{len(card.alarms)} alarms in all")
    if card.num_alarms_over:
        also.append("it is over" if len(card.alarms) == 1 else f"{card.num_alarms_over} of them are over")
    more = f" ({'; '.join(also)})" if also else ""
    return ("drift alarm", first.signal, first.detail.removeprefix(f"{first.signal}: ") + more)


def _cost(card: ReportCard) -> tuple[str, str, str]:
    cut_off = [stage.name for stage in card.stages if not stage.num_completed] if card.reason else []
    without = f", without {' and '.join(cut_off)}, which did not end" if cut_off else ""
    remark = f"{card.cpu_seconds:,.0f} CPU-seconds, estimated at the recipe's price{without}"
    return ("cost", money(card.usd), remark)
