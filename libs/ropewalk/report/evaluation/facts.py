"""The report's tables and sentences, the same on the page and on the picture."""

from collections.abc import Sequence

from ropewalk.client.judged_sets import kept_out, of_people_and_judges
from ropewalk.events.evaluation import Estimate
from ropewalk.report.evaluation.evaluated import Evaluated, PanelJudge
from ropewalk.report.evaluation.forest import Forest, ForestRow, forests
from ropewalk.report.evaluation.sealed import what
from ropewalk.report.facts import interval
from ropewalk.report.tables import CardRow, CardTable
from ropewalk.tasksets.section import TaskSetSection

_FIGURES = ("alpha with people", "rank correlation", "AC1", "weighted kappa", "bias, in grades")  # of a judge's card
FOREST_NOTE = (
    "A dot is the candidate's paired gain on the same items, with its interval; above 0 the candidate is better. "
    "Dashed is what the gate asks for: a primary gain must be above it with the whole interval, a guardrail must not "
    "be below it."
)
RELIABILITY_NOTE = (
    "Answers of the judge's registration in bins of half a grade: people's mean grade with its 95% interval over the "
    "judge's mean grade. Below the diagonal the judge is milder than people."
)
AGREEMENT_NOTE = "Percent of equal grades of two raters, on the answers that both of them graded."


def headline(found: Evaluated) -> str:
    """The verdict, and of whom."""
    return f"{found.decided.word} · {found.report.checkpoint_id} against {found.report.baseline}"


def began(found: Evaluated) -> str:
    """Which run, and which judgement of it."""
    return f"{found.report.run_id} · look {found.report.look}"


def key_facts(found: Evaluated) -> list[tuple[str, str, str]]:
    """(name, value, remark)."""
    report, gain = found.report, found.report.comparison
    tried = str(report.try_number) if report.try_number else "not counted"
    return [
        ("verdict", found.decided.word, found.decided.waits_for),
        (f"gain: {what(gain)}", gain.written(gain.value), f"margin {gain.written(report.margin)}"),
        (f"{gain.sureness} interval", f"{gain.written(gain.lower)} to {gain.written(gain.upper)}", gain.sample),
        ("try", tried, f"against one budget of false promotions: {found.decided.gate_set}" if tried.isdigit() else ""),
        ("held out", f"{report.num_held_out:,} documents", f"dataset {report.dataset_version[:16]}"),
    ]


def drawn(found: Evaluated) -> tuple[Forest, ...]:
    """Every paired difference."""
    return forests([ForestRow(gain, found.report.bound(gain)) for gain in found.report.gains])


def levels_table(found: Evaluated) -> CardTable:
    """Every level with what it rests on; the method by its number among `methods`."""
    numbers = {method: str(number) for number, method in enumerate(methods(found), start=1)}
    head = ("what", "of", "value [interval]", "items", "clusters", "effective n", "role", "method")
    rows = [
        CardRow(
            (
                what(each),
                "the candidate" if each.subject == found.report.checkpoint_id else each.subject,
                f"{interval(each)}{_asked(each, found)}",
                f"{each.num_items:,}",
                f"{each.num_clusters:,}" if each.num_clusters else "–",
                f"{each.num_effective:,.0f}" if each.num_effective else "–",
                each.role,
                numbers[each.method],
            ),
            "chosen" if each.subject == found.report.checkpoint_id else "",
        )
        for each in found.report.levels
    ]
    return CardTable(head, tuple(rows))


def methods(found: Evaluated) -> list[str]:
    """How intervals of levels were made, each way once."""
    return list(dict.fromkeys(each.method for each in found.report.levels))


def _asked(level: Estimate, found: Evaluated) -> str:
    bound = found.report.bounds.get(level.metric)
    return "" if bound is None else f", asked for: {level.written(bound)}"


def sets_table(sections: Sequence[TaskSetSection]) -> CardTable:
    """How each task set was asked, and what was done to keep it from training."""
    rows = [
        CardRow(
            (
                each.task_set,
                each.kind,
                f"{each.split} (sealed)" if each.split == "gate" else each.split,
                f"{each.num_items:,} of {each.num_in_split:,}",
                f"{each.num_clusters:,}",
                _spread(each),
                kept_out(each),
            )
        )
        for each in sections
    ]
    head = ("task set", "type", "split", "items", "clusters", "format spread", "kept from training")
    return CardTable(head, tuple(rows))


def _spread(each: TaskSetSection) -> str:
    told = (f"{metric} {min(of):.3g} to {max(of):.3g}" for metric, of in each.spread.items() if len(of) > 1)
    return "; ".join(told) or "one format"


def labels_sentences(sections: Sequence[TaskSetSection]) -> list[str]:
    """What people and judges said of its answers."""
    return [f"{each.task_set}: {told}." for each in sections for told in of_people_and_judges(each)]


def judges_table(judges: Sequence[PanelJudge]) -> CardTable:
    """A row for each judge and criterion, with figures of its card."""
    rows = []
    for judge in judges:
        for of in judge.card.criteria:
            figures = {each.name: each for each in of.figures}
            cells = (
                f"{found.value:.2f} [{found.lower:.2f}, {found.upper:.2f}]" if (found := figures.get(name)) else "–"
                for name in _FIGURES
            )
            rows.append(CardRow((judge.name, of.criterion, of.verdict, f"{of.num_labels:,}", *cells)))
    return CardTable(("judge", "criterion", "verdict", "labels", *_FIGURES), tuple(rows))


def judges_sentences(judges: Sequence[PanelJudge]) -> list[str]:
    """Who each is, and what it may do now."""
    return [
        f"{each.name}: {each.standing}; {each.card.model}, rubric {each.card.rubric}, valid until "
        f"{each.card.valid_until[:16].replace('T', ' ')} UTC for: {each.card.use_case}"
        for each in judges
    ]
