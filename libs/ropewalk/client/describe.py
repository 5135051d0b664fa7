"""One sentence per message, for people who watch a run."""

from functools import singledispatch

from ropewalk.events import checkpoint, data, drill, evaluation, monitoring, run, serving, training
from ropewalk.events.base import Message
from ropewalk.events.foreign import one_line

_DROPPED = {
    "contaminated": "because they quote held-out ones",
    "near_duplicate": "because they nearly repeat others",
    "exact_duplicate": "because they repeat others",
}
_MOST_REASONS = 3


@singledispatch
def describe(message: Message) -> str:
    """What the message says, in a few words; empty where its name says it all."""
    return ""


@describe.register
def _(message: run.SubmitRun) -> str:
    wishes = (f"priority {message.priority}" * bool(message.priority), f"for {message.owner}" * bool(message.owner))
    return ", ".join((str(message.recipe.get("name") or message.recipe.get("base") or "custom"), *filter(None, wishes)))


@describe.register
def _(message: run.CancelRun | run.RunCancelled) -> str:
    when = "now" if message.mode == "now" else "at the next checkpoint"
    return f"{when}: {message.reason}" if message.reason else when


@describe.register
def _(message: run.RunRejected) -> str:
    return "; ".join(message.violations)


@describe.register
def _(message: run.RunCompleted) -> str:
    model = f" as {message.model}@{message.model_version}" if message.model_version else ""
    return f"{message.outcome}{model}"


@describe.register
def _(message: run.RunFailed) -> str:
    return f"{message.stage}: {message.message}"


@describe.register
def _(message: run.StageStarted) -> str:
    return f"{message.stage}{f', attempt {message.attempt}' if message.attempt > 1 else ''}"


@describe.register
def _(message: run.StageQueued) -> str:
    return f"{message.stage} waits for {message.in_words} of pool {message.pool}"


@describe.register
def _(message: run.StageStalled) -> str:
    return f"{message.stage} made no progress for {message.silent_s:.0f} s"


@describe.register
def _(message: run.StageCompleted) -> str:
    return f"{message.stage} in {message.seconds:.1f} s, {message.cpu_seconds:.1f} CPU-seconds"


@describe.register
def _(message: run.StageInterrupted) -> str:
    return f"{message.stage}: {message.cause}"


@describe.register
def _(message: data.SourceRegistered) -> str:
    return f"{message.num_files:,} files under {message.path} ({message.licence})"


@describe.register
def _(message: data.SegmentIngested) -> str:
    return f"{message.segment.num_documents:,} documents, {message.segment.num_bytes / 1e6:.1f} MB"


@describe.register
def _(message: data.RecordQuarantined) -> str:
    first = f"; the first: {one_line(message.examples[0])}" if message.examples else ""
    return f"{message.num_records:,} set aside: {message.reason}{first}"


@describe.register
def _(message: data.CorpusIngested) -> str:
    return f"{message.num_documents:,} documents, {message.num_bytes / 1e6:.1f} MB, {message.num_quarantined} set aside"


@describe.register
def _(message: data.SegmentCleaned) -> str:
    kept = f"{message.num_kept:,} of {message.num_inputs:,} documents kept"
    return f"{kept}, {message.num_held_out} held out{_dropped(message.dropped)}"


@describe.register
def _(message: data.TokenizerTrained) -> str:
    return f"{message.vocab_size:,} tokens, {message.bytes_per_token:.2f} bytes each"


@describe.register
def _(message: data.DatasetPublished) -> str:
    kept = f"{message.num_kept:,} of {message.num_inputs:,} documents"
    return f"{message.num_tokens:,} tokens from {kept}{_dropped(message.dropped)}"


def _dropped(dropped: dict[str, int]) -> str:
    """The main reasons, the commonest first, after what was said before."""
    main = sorted(dropped.items(), key=lambda item: -item[1])[:_MOST_REASONS]
    parts = [f"{count:,} {_DROPPED.get(reason) or one_line(reason.replace('_', ' '))}" for reason, count in main]
    rest = sum(dropped.values()) - sum(count for _, count in main)
    return f"; dropped: {', '.join([*parts, *([f'{rest:,} for other reasons'] if rest else [])])}" if parts else ""


@describe.register
def _(message: training.TrialCompleted) -> str:
    params = ", ".join(f"{name} {value:.3g}" for name, value in message.params.items())
    return f"trial {message.trial} {message.status}: {params}, loss {message.loss:.3f}"


@describe.register
def _(message: training.SearchCompleted) -> str:
    params = ", ".join(f"{name} {value:.3g}" for name, value in message.params.items())
    return f"best of {message.num_trials}: {params}" if params else "nothing to search"


@describe.register
def _(message: training.TrainingStarted) -> str:
    begin = f"from step {message.resume_step}" if message.resume_step else "from the start"
    size, device = f"{message.num_parameters / 1e6:.2f} M parameters", message.device or "CPU"
    return f"{size}, {message.num_workers} workers, {message.strategy} on {device}, {begin}"


@describe.register
def _(message: training.TrainingProgressed) -> str:
    pace = f"{message.tokens_per_s:,.0f} tokens/s"
    return f"step {message.step} of {message.total_steps}, loss {message.loss:.3f}, {pace}"


@describe.register
def _(message: training.StepsCommitted) -> str:
    return f"steps {message.first_step} to {message.last_step}, {message.num_samples} samples"


@describe.register
def _(message: training.StepSkipped) -> str:
    return f"step {message.step}: {message.reason}"


@describe.register
def _(message: training.TrainingInterrupted) -> str:
    detail = f": {message.detail}" if message.detail else ""
    return f"{message.cause.replace('_', ' ')} at about step {message.last_step}{detail}"


@describe.register
def _(message: training.TrainingResumed) -> str:
    return f"training goes on from step {message.resume_step}, {message.seconds_lost:.1f} s after the loss"


@describe.register
def _(message: training.TrainingCompleted) -> str:
    return f"step {message.step}, loss {message.loss:.3f}, {message.tokens:,} tokens in {message.seconds:.0f} s"


@describe.register
def _(message: checkpoint.CheckpointSaved) -> str:
    return f"step {message.step}, {message.num_bytes / 1e6:.1f} MB"


@describe.register
def _(message: checkpoint.CheckpointSaveFailed) -> str:
    return f"step {message.step} not saved: {message.reason}"


@describe.register
def _(message: checkpoint.CheckpointCommitted) -> str:
    return f"step {message.step} verified"


@describe.register
def _(message: checkpoint.CheckpointPruned) -> str:
    return f"step {message.step}"


@describe.register
def _(message: checkpoint.CheckpointQuarantined) -> str:
    return f"step {message.step}: {message.file} {message.reason}"


@describe.register
def _(message: checkpoint.CheckpointExported) -> str:
    return f"{message.num_parameters / 1e6:.2f} M parameters, {message.num_bytes / 1e6:.1f} MB"


@describe.register
def _(message: checkpoint.ParityCertified) -> str:
    outcome = "agree" if message.passed else f"differ: {'; '.join(message.differences)}"
    return f"{len(message.paths)} paths on {message.num_prompts} prompts {outcome}"


@describe.register
def _(message: checkpoint.ModelPromoted) -> str:
    return f"{message.model}@{message.model_version} may be {message.alias}"


@describe.register
def _(message: evaluation.EvaluationStarted) -> str:
    return f"scoring checkpoint {message.checkpoint_id}"


@describe.register
def _(message: evaluation.EvaluationCompleted) -> str:
    return ", ".join(f"{each.metric} {each.value:.3f}" for each in message.estimates[:4])


@describe.register
def _(message: evaluation.GateDecided) -> str:
    return f"{message.decision}: {'; '.join(message.reasons)}"


@describe.register
def _(message: serving.RetireModel) -> str:
    return f"{message.model}@{message.model_version}"


@describe.register
def _(message: serving.ModelDeploying) -> str:
    return f"loading {message.model}@{message.model_version}"


@describe.register
def _(message: serving.ModelDeployed) -> str:
    name = f"{message.model}@{message.model_version}"
    return f"{name} loaded in {message.load_s:.1f} s, in {message.backend.capitalize()} as {message.backend_model}"


@describe.register
def _(message: serving.ServingFailed) -> str:
    return f"{message.model}@{message.model_version}: {message.message}"


@describe.register
def _(message: serving.TrafficShifted) -> str:
    return f"{message.alias} is now {message.model}@{message.model_version}"


@describe.register
def _(message: serving.ModelRetired) -> str:
    return f"{message.model}@{message.model_version}"


@describe.register
def _(message: serving.BackendRepaired) -> str:
    return f"{message.model}@{message.model_version}: {message.cause}, {message.seconds:.1f} s"


@describe.register
def _(message: monitoring.BaselineSealed) -> str:
    return f"{message.model}@{message.model_version} from {message.num_requests} requests"


@describe.register
def _(message: monitoring.SignalComputed) -> str:
    return f"{message.signal} {message.statistic:.2f} of {message.threshold:.2f}"


@describe.register
def _(message: monitoring.AlarmRaised) -> str:
    return f"{message.alarm_id}: {message.signal} changed at {message.changed_at} ({message.detail})"


@describe.register
def _(message: monitoring.AlarmCleared) -> str:
    return f"{message.alarm_id}: {message.reason}"


@describe.register
def _(message: monitoring.AlarmAcknowledged) -> str:
    note = f", {message.note}" if message.note else ""
    return f"{message.alarm_id}: {message.by or 'somebody'} looks after it{note}"


@describe.register
def _(message: monitoring.AcknowledgeAlarm) -> str:
    return message.alarm_id


@describe.register
def _(message: monitoring.Rebaseline) -> str:
    what = f"{message.signal} of " if message.signal else ""
    return f"{what}{message.model}@{message.model_version}" + (f": {message.reason}" if message.reason else "")


@describe.register
def _(message: monitoring.SignalsComputed) -> str:
    return f"{message.model}@{message.model_version} after {message.num_requests} requests"


@describe.register
def _(message: monitoring.CostRecorded) -> str:
    return f"{message.stage}: {message.cpu_seconds:.1f} CPU-seconds, ${message.usd:.5f}"


@describe.register
def _(message: drill.DrillStarted) -> str:
    return f"{message.drill}: {message.target}"


@describe.register
def _(message: drill.DrillCompleted) -> str:
    return f"{message.drill} {'passed' if message.passed else 'failed'}: {message.reason}"
