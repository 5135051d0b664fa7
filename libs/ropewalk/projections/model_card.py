"""The model card of an export: what a stranger must know of a model, from the facts of its run. Pure, Markdown out.

Paths of data are left out: a card is made to be given away. What is not known yet (a gate decides after the export) has
no section.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from ropewalk.corpus.ledger import LedgerEntry, lineage
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ApprovalDecided, ModelPromoted, ParityCertified
from ropewalk.events.data import DatasetPublished, SourceRegistered
from ropewalk.events.evaluation import EvaluationCompleted, GateDecided
from ropewalk.events.foreign import one_line
from ropewalk.events.run import RunAccepted
from ropewalk.events.training import StepsCommitted, TrainingCompleted

M = TypeVar("M", bound=Message)

BEFORE_EXPORT: tuple[type[Message], ...] = (
    RunAccepted,
    SourceRegistered,
    DatasetPublished,
    StepsCommitted,
    TrainingCompleted,
)
"""What is known when a checkpoint is exported, and does not change any more."""


def model_card(run_id: str, facts: Sequence[Message]) -> str:
    """README.md, with the header that model hubs read. `facts` are of one run, in the order of the log."""
    accepted = _last(RunAccepted, facts)
    recipe = dict(accepted.recipe) if accepted else {}
    sources = {each.source_id: each for each in facts if isinstance(each, SourceRegistered)}
    base = str(recipe.get("base_model") or "")
    own = {accepted.base_licence} if accepted is not None and accepted.base_licence else set()
    licences = sorted({one_line(licence) for licence in (*own, *(each.licence for each in sources.values()))})
    header = ["---", "library_name: transformers", "pipeline_tag: text-generation", "license: other"]
    header += [f"license_name: {json.dumps(', '.join(licences))}"] if licences else []
    sections = [
        "\n".join([*header, "---"]),
        f"# {_cell(str(recipe.get('name') or run_id))}",
        f"Made by run `{run_id}`. A causal language model in the format of transformers.",
        _base(base, accepted.base_licence if accepted else ""),
        _data(_last(DatasetPublished, facts), list(sources.values())),
        _ledger(facts),
        _training(_last(TrainingCompleted, facts)),
        _evaluation(_last(EvaluationCompleted, facts), _last(GateDecided, facts)),
        _promotion(facts),
        _recipe(accepted, recipe),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _base(base: str, licence: str) -> str:
    """The model that it was made from. Of a folder only that there was one: its path is nobody's business."""
    if not base:
        return ""
    name, _, content = base.partition("@")
    told = f"`{_cell(name)}`" + f", content `{content}`" * bool(content)
    terms = f" Its licence is {_cell(licence)}, whose terms go on to hold for this model." if licence else ""
    return f"## Base model\n\nMade from {'a folder' if base.startswith(('/', '~', '.')) else told}.{terms}"


def licences_of(accepted: RunAccepted) -> str:
    """The licences that a model of a run is under, as far as its recipe tells: its base's and its data's."""
    sources = accepted.recipe.get("sources")
    told = [each.get("licence") for each in sources if isinstance(each, dict)] if isinstance(sources, list) else []
    known = {accepted.base_licence, *(each for each in told if isinstance(each, str))}
    return one_line(", ".join(sorted(known - {""})))


def _data(dataset: DatasetPublished | None, sources: list[SourceRegistered]) -> str:
    if dataset is None:
        return ""
    lines = [
        "## Data",
        "",
        f"Dataset version `{dataset.dataset_version}`: {dataset.num_kept:,} of {dataset.num_inputs:,} documents, "
        f"{dataset.num_tokens:,} tokens; {dataset.num_held_out:,} documents were held out.",
        *(f"{sentence}." for sentence in (dataset.loss_by_cutting, dataset.made_by_models) if sentence),
        "",
        *_table(("source", "licence", "files")),
        *(f"| {_cell(each.source_id)} | {_cell(each.licence)} | {each.num_files:,} |" for each in sources),
    ]
    return "\n".join(lines)


def _ledger(facts: Iterable[Message]) -> str:
    """The steps that count, whatever was taken again; its hash is over those of its parts in order."""
    parts = [each for each in facts if isinstance(each, StepsCommitted)]
    if not parts:
        return ""
    samples = {(each.checkpoint_id, each.sha256): each.num_samples for each in parts}
    kept, _ = lineage(
        LedgerEntry(each.epoch, each.first_step, each.last_step, each.checkpoint_id, each.sha256) for each in parts
    )
    num_steps = sum(entry.last_step - entry.first_step + 1 for entry in kept)
    num_samples = sum(samples[entry.checkpoint_id, entry.sha256] for entry in kept)
    sha256 = hashlib.sha256("".join(entry.sha256 for entry in kept).encode()).hexdigest()
    return (
        f"## Ledger\n\nWhich samples each step consumed is on record: {num_steps:,} steps, {num_samples:,} samples, "
        f"in {len(kept)} parts; SHA-256 over the hashes of the parts `{sha256}`."
    )


def _training(training: TrainingCompleted | None) -> str:
    if training is None:
        return ""
    return (
        f"## Training\n\nCheckpoint `{training.checkpoint_id}`: {training.step:,} steps, {training.tokens:,} tokens, "
        f"last loss {training.loss:.4f} nats per token, {training.seconds:,.0f} s."
    )


def _evaluation(completed: EvaluationCompleted | None, gate: GateDecided | None) -> str:
    if completed is None:
        return ""
    lines = ["## Evaluation", "", f"{completed.num_held_out:,} held-out documents.", ""]
    lines += _table(("metric", "value", "interval", "level", "items"))
    lines += [
        f"| {_cell(each.metric)} | {each.written(each.value)} | {each.written(each.lower)} to "
        f"{each.written(each.upper)} | {each.sureness} | {each.num_items:,} |"
        for each in completed.estimates
    ]
    if gate is not None:
        why = "; ".join(_cell(reason) for reason in gate.reasons)
        lines += ["", f"The gate said **{gate.word}**, against {_cell(gate.baseline)}{f': {why}' if why else ''}."]
    return "\n".join(lines)


def _promotion(facts: Sequence[Message]) -> str:
    parity, approval = _last(ParityCertified, facts), _last(ApprovalDecided, facts)
    promoted = _last(ModelPromoted, facts)
    lines: list[str] = []
    if parity is not None:
        outcome = "agree" if parity.passed else "differ"
        shifts = ", ".join(f"{name} {shift:.2g}" for name, shift in sorted(parity.logprob_shifts.items()))
        told = (
            f"; largest shift of a log-probability in nats: {shifts} (bound {parity.logprob_bound:g}, {parity.dtype})"
        )
        lines.append(
            f"{', '.join(parity.paths)} {outcome} on {parity.num_prompts} prompts of {parity.num_tokens} greedy tokens"
            f"{told if shifts else ''}."
        )
    if approval is not None and approval.approved:
        lines.append(f"Approved by {_cell(approval.approver)} (`{approval.public_key}`).")
    if promoted is not None:
        lines.append(f"Promoted to {promoted.alias} as {promoted.model}@{promoted.model_version}.")
    return "\n\n".join(["## Parity and promotion", *lines]) if lines else ""


def _recipe(accepted: RunAccepted | None, recipe: Mapping[str, object]) -> str:
    if accepted is None:
        return ""
    told = {name: value for name, value in recipe.items() if name not in ("sources", "base_model")}
    # Four backticks: a text of the recipe may hold three.
    body = json.dumps(told, indent=1, sort_keys=True).replace("````", "")
    return f"## Recipe\n\nSHA-256 `{accepted.recipe_sha256}`, without its places of data:\n\n````json\n{body}\n````"


def _last(kind: type[M], facts: Sequence[Message]) -> M | None:
    return next((each for each in reversed(facts) if isinstance(each, kind)), None)


def _table(heads: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]


def _cell(text: str) -> str:
    """Foreign text in a line of Markdown."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>|#" else character for character in one_line(text))
