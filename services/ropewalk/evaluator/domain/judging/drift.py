"""What an audit comes to: the evidence against a judge so far, and whether it loses its right."""

import math
from collections.abc import Sequence

from ropewalk.evaluator.domain.judging.probation import FALSE_ALARMS, MIN_LABELS, Probation, Sums
from ropewalk.events.judge import CriterionCard, DriftState, JudgeAudited, JudgeSuspended, Residuals
from ropewalk.projections.judges import JudgeStanding

_BACK = "it comes back by a new registration with labels"


def after_audit(
    standing: JudgeStanding, judge_id: str, content: str, identity: str, residuals: Sequence[tuple[str, float]]
) -> tuple[JudgeAudited | JudgeSuspended, ...]:
    """`residuals`: criterion and judge less people, of labels that were not known before, asked of `identity` now.

    A judge with k criteria is suspended where the factor of one exceeds k / FALSE_ALARMS, so that one that never drifts
    is suspended in FALSE_ALARMS of all cases at most, however many criteria there are.
    """
    ours = standing.card.identity
    if identity != ours:
        reason = f"another judge answers under its name: its model, prompt or decoding changed; {_BACK}"
        return (JudgeSuspended(judge_id=judge_id, content=content, identity=ours, reason=reason),)
    before = {each.criterion: each for each in (standing.audits[-1].states if standing.audits else ())}
    watched = [each for each in standing.card.criteria if each.residuals.count >= MIN_LABELS]
    states = tuple(_state(each, before.get(each.criterion), residuals) for each in watched)
    names = {each.criterion for each in watched}
    num_new = sum(name in names for name, _ in residuals)
    audited = JudgeAudited(judge_id=judge_id, content=content, identity=ours, num_new=num_new, states=states)
    bound = math.log(max(1, len(watched)) / FALSE_ALARMS)
    if not (gone := [each for each in states if each.evidence >= bound]):
        return (audited,)
    words = ", ".join(f"{each.criterion} by {each.drift:+.2f} grades over {each.seen.count} labels" for each in gone)
    reason = f"its grades moved away from people's since its registration: {words}; {_BACK}"
    return audited, JudgeSuspended(judge_id=judge_id, content=content, identity=ours, reason=reason)


def _state(card: CriterionCard, before: DriftState | None, residuals: Sequence[tuple[str, float]]) -> DriftState:
    now = Probation(_sums(card.residuals), float(card.top_grade))
    if before is not None:
        now = Probation(now.calibrated, now.span, _sums(before.seen), before.evidence)
    for name, residual in residuals:
        if name == card.criterion:
            now = now.see(residual)
    seen = Residuals(count=now.seen.count, mean=now.seen.mean, deviations=now.seen.deviations)
    return DriftState(criterion=card.criterion, seen=seen, evidence=now.evidence, drift=now.drift)


def _sums(found: Residuals) -> Sums:
    return Sums(found.count, found.mean, found.deviations)
