"""The report of an evaluation: everything somebody needs to judge or repeat it."""

from typing import Literal

from pydantic import Field

from ropewalk.evaluator.domain.budget import ALPHA
from ropewalk.evaluator.domain.clusters import MIN_CLUSTERS
from ropewalk.evaluator.domain.excerpts import CLUSTER_BYTES, EXCERPT_BYTES, MAX_BYTES, MIN_FILES
from ropewalk.evaluator.domain.gate import MIN_ITEMS
from ropewalk.evaluator.domain.metrics import METRICS, preference
from ropewalk.evaluator.domain.roles import TOLERATED_BITS
from ropewalk.events.base import Message, Value
from ropewalk.events.evaluation import NOT_KNOWN, Estimate, EvaluationCompleted, GateDecided
from ropewalk.events.label import LabelsWanted
from ropewalk.statistics.intervals import MOST_WEIGHT
from ropewalk.tasksets.section import TaskSetSection
from ropewalk.usecases.comparison import TaskSection

DEFINITIONS: dict[str, str] = {
    "excerpts": (
        f"Held-out documents in hash order until {MAX_BYTES} bytes from at least {MIN_FILES} of them are reached; a "
        f"text of more than {EXCERPT_BYTES} bytes gives one run of whole lines from a hashed place, a conversation its "
        f"beginning, and a cluster at most {CLUSTER_BYTES} bytes where {MIN_FILES} documents are left."
    ),
    "clusters": (
        "Items that vary together count as one draw: records with the same key_field, parts of one text, else what "
        f"lies in one folder, at the shallowest level that gives {MIN_CLUSTERS} even groups; if none does, every "
        f"document is its own. A cluster of more than {MOST_WEIGHT:g} times the median size counts as one of that size."
    ),
    "baselines": (
        "Token n-gram models of the same training tokens with the same tokenizer, interpolated Witten-Bell smoothing, "
        "half a count added to every unigram."
    ),
    "gain": (
        "By how much the candidate is better than the opponent on the same items, paired by cluster. The "
        "opponent is the model that the alias points to; where there is none, the base model of a fine-tuning run, or "
        "the best of the token n-gram models for a pretraining run (the unigram for a toy: evaluation.gate in the "
        "recipe). A later pretraining run must not be worse than that n-gram model either: a toy may be in production."
    ),
    "tries": (
        f"Checkpoint k of those that are judged against the same version of a model may be promoted by chance in "
        f"{ALPHA:.0%} / (k (k + 1)) of cases, so that all tries together are in {ALPHA:.0%} at most; the interval of "
        "the primary gain is of that level. What is drawn to judge by depends on the model's name, not on the run."
    ),
    "seen": (
        "A held-out document that the opponent learnt from, by its content or by that of a near-duplicate, is left out "
        "of every number. What was held out once for a model, no later run of it trains on."
    ),
    "gate": (
        "promote: the interval of the primary gain is above the margin; reject: below; need_more: it holds the margin, "
        f"or fewer than {MIN_ITEMS} items in {MIN_CLUSTERS} clusters were scored. A guardrail at its floor rejects; "
        "one that is worse than the opponent's rejects, too, or needs more where that can be chance (its interval "
        f"holds 0). Where a preference was learnt, the chosen answers may need {TOLERATED_BITS:g} bits per byte more."
    ),
    **preference.DEFINITIONS,
} | {metric.name: metric.definition for metric in METRICS}


class EvaluationReport(Value):
    """`report.json`. It has no times in it, so the same evaluation gives the same file."""

    run_id: str
    checkpoint_id: str
    export_uri: str
    dataset_version: str
    evalset_uri: str
    recipe_sha256: str
    seed: int
    num_bytes: int
    num_files: int
    num_documents: int
    num_held_out: int = 0
    num_seen_by_opponent: int | None = None
    gate: str = "full"
    num_baseline_tokens: int
    estimates: tuple[Estimate, ...]
    baseline: str
    baseline_export_uri: str
    comparison: Estimate
    margin: float
    bounds: dict[str, float] = Field(default_factory=dict, description="by metric: as `Evidence.bounds`")
    decision: Literal["promote", "reject", "need_more"]
    reasons: tuple[str, ...]
    definitions: dict[str, str] = DEFINITIONS
    task: TaskSection | None = None
    task_sets: tuple[TaskSetSection, ...] = ()
    gate_set: str = ""
    try_number: int = 0
    look: int = 1
    judged_only: bool = False
    num_left: int = NOT_KNOWN

    def events(self, uri: str) -> tuple[Message, ...]:
        """The facts that follow from the report at `uri`; the decision is the last."""
        completed = EvaluationCompleted(
            run_id=self.run_id,
            checkpoint_id=self.checkpoint_id,
            uri=uri,
            estimates=(*self.estimates, self.comparison),
            num_held_out=self.num_held_out,
            num_seen_by_opponent=NOT_KNOWN if self.num_seen_by_opponent is None else self.num_seen_by_opponent,
        )
        decided = GateDecided(
            run_id=self.run_id,
            checkpoint_id=self.checkpoint_id,
            export_uri=self.export_uri,
            evaluation_uri=uri,
            decision=self.decision,
            reasons=self.reasons,
            baseline=self.baseline,
            comparison=self.comparison,
            gate_set=self.gate_set,
            try_number=self.try_number,
            look=self.look,
            judged_only=self.judged_only,
            num_left=self.num_left,
        )
        audits = (fact for each in self.task_sets for fact in (*each.audited, *each.suspended))
        wanted = (self._wanted(each) for each in self.task_sets if each.num_missing)
        return (completed, *audits, *wanted, decided)

    def _wanted(self, of: TaskSetSection) -> LabelsWanted:
        task_set_id, _, version = of.task_set.partition("@")
        return LabelsWanted(
            run_id=self.run_id,
            task_set_id=task_set_id,
            version=int(version),
            checkpoint_id=self.checkpoint_id,
            look=self.look,
            sheets=of.sheets,
            num_sheets=of.num_sheets,
            raters_each=of.raters_each,
        )
