"""One sentence per message, for people who watch a run."""

from functools import singledispatch

from ropewalk.client.goodput import productive, spent
from ropewalk.events import checkpoint, data, drill, evaluation, monitoring, run, serving, training
from ropewalk.events.base import Message
from ropewalk.events.foreign import one_line, quoted

_DROPPED = {
    "contaminated": "because they quote held-out ones",
    "near_duplicate": "because they nearly repeat others",
    "exact_duplicate": "because they repeat others",
}
_MOST_REASONS = 3
_MOST_PIDS = 16
_MAX_DETAIL = 500  # characters of what somebody else wrote
_AFTER_REJECTION = "give it more `minutes` or more data, or for a toy `evaluation.gate: toy`"
# By type, where no condition and no arithmetic is needed; `m` is the message.
SENTENCES: dict[type[Message], str] = {
    run.RunFailed: "{m.stage}: {m.message}",
    run.StageQueued: "{m.stage} waits for {m.in_words} of pool {m.pool}",
    run.StageStalled: "{m.stage} made no progress for {m.silent_s:.0f} s",
    run.StageCompleted: "{m.stage} in {m.seconds:.1f} s, {m.cpu_seconds:.1f} CPU-seconds",
    run.StageInterrupted: "{m.stage}: {m.cause}",
    run.PauseRun: "{m.reason}",
    run.RunPaused: "{m.reason}",
    data.SourceRegistered: "{m.num_files:,} files under {m.path} ({m.licence})",
    data.BaseModelAsked: "the base model was asked about {m.num_asked:,} of {m.num_documents:,} ({m.purpose})",
    data.TokenizerTrained: "{m.vocab_size:,} tokens, {m.bytes_per_token:.2f} bytes each",
    training.StepsCommitted: "steps {m.first_step} to {m.last_step}, {m.num_samples} samples",
    training.StepSkipped: "step {m.step}: {m.reason}",
    training.SamplesLeftOut: "left out since they end processes, in step {m.step}: {m.in_words}",
    training.TrainingRolledBack: "from step {m.step} back to {m.resume_step}: {m.reason}",
    training.TrainingResumed: "training goes on from step {m.resume_step}, {m.seconds_lost:.1f} s after the loss",
    training.StragglerFound: "rank {m.rank} at {m.speed:.0%} of the speed of the others since step {m.since_step}",
    checkpoint.CheckpointSaveFailed: "step {m.step} not saved: {m.reason}",
    checkpoint.CheckpointCommitted: "step {m.step} verified",
    checkpoint.CheckpointValidated: "step {m.step}: validation loss {m.loss:.3f}, {m.bits_per_byte:.3f} bits per byte",
    checkpoint.CheckpointPruned: "step {m.step}",
    checkpoint.PinCheckpoint: "{m.checkpoint_id}",
    checkpoint.PruneCheckpoints: "what the policy of {m.run_id} lets go",
    checkpoint.ExportQuarantined: "export of {m.checkpoint_id}: {m.file} {m.reason}",
    checkpoint.CheckpointQuarantined: "step {m.step}: {m.file} {m.reason}",
    checkpoint.ModelPromoted: "{m.model}@{m.model_version} may be {m.alias}",
    checkpoint.ApproveModel: "{m.model}@{m.model_version} by {m.approver}",
    checkpoint.ApprovalAwaited: "{m.model}@{m.model_version} waits for somebody else than {m.author} to approve it",
    checkpoint.RollBackModel: "{m.alias} from {m.model}@{m.from_version} back to {m.model}@{m.model_version}",
    checkpoint.ModelRolledBack: "{m.model}@{m.model_version} may be {m.alias} again, after {m.model}@{m.from_version}",
    evaluation.EvaluationReopened: "look {m.look} at checkpoint {m.checkpoint_id}",
    evaluation.EvaluationStarted: "scoring checkpoint {m.checkpoint_id}",
    evaluation.EvaluationProgressed: "{m.num_answers} of {m.num_asked} answers of all who are compared",
    serving.RetireModel: "{m.model}@{m.model_version}",
    serving.ModelDeploying: "loading {m.model}@{m.model_version}",
    serving.ServingFailed: "{m.model}@{m.model_version}: {m.message}",
    serving.TrafficShifted: "{m.alias} is now {m.model}@{m.model_version}",
    serving.ModelRetired: "{m.model}@{m.model_version}",
    serving.BackendRepaired: "{m.model}@{m.model_version}: {m.cause}, {m.seconds:.1f} s",
    monitoring.BaselineSealed: "{m.model}@{m.model_version} from {m.num_requests} requests",
    monitoring.SignalComputed: "{m.signal} {m.statistic:.2f} of {m.threshold:.2f}",
    monitoring.AlarmRaised: "{m.alarm_id}: {m.signal} changed at {m.changed_at} ({m.detail})",
    monitoring.AlarmCleared: "{m.alarm_id}: {m.reason}",
    monitoring.AcknowledgeAlarm: "{m.alarm_id}",
    monitoring.SignalsComputed: "{m.model}@{m.model_version} after {m.num_requests} requests",
    monitoring.CostRecorded: "{m.stage}: {m.cpu_seconds:.1f} CPU-seconds, ${m.usd:.5f}",
    drill.DrillStarted: "{m.drill}: {m.target}",
}


@singledispatch
def describe(message: Message) -> str:
    """What the message says, in a few words; empty where its name says it all."""
    return SENTENCES.get(type(message), "").format(m=message)


@describe.register
def _(message: run.SubmitRun) -> str:
    wishes = (f"priority {message.priority}" * bool(message.priority), f"for {message.owner}" * bool(message.owner))
    return ", ".join((str(message.recipe.get("name") or message.recipe.get("base") or "custom"), *filter(None, wishes)))


@describe.register
def _(message: checkpoint.CheckpointPinned) -> str:
    return f"step {message.checkpoint_id.rpartition('-')[2]} {'stays' if message.pinned else 'may go again'}"


@describe.register
def _(message: run.CancelRun | run.RunCancelled) -> str:
    when = "at once" if message.mode == "now" else "at the next checkpoint"
    return f"{when}: {message.reason}" if message.reason else when


@describe.register
def _(message: run.RunRejected) -> str:
    return "; ".join(message.violations)


@describe.register
def _(message: run.RunCompleted) -> str:
    model = f" as {message.model}@{message.model_version}" if message.model_version else ""
    return f"{message.outcome}{model}"


@describe.register
def _(message: run.StageStarted) -> str:
    return f"{message.stage}{f', attempt {message.attempt}' if message.attempt > 1 else ''}"


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
def _(message: data.DatasetPublished) -> str:
    kept = f"{message.num_kept:,} of {message.num_inputs:,} documents"
    cut = f"; {message.loss_by_cutting}" if message.num_cut else ""
    synthetic = f"; {message.made_by_models}" if message.num_synthetic else ""
    dev = f", {message.num_dev:,} to watch training by" if message.num_dev else ""
    return f"{message.num_tokens:,} tokens from {kept}{dev}{_dropped(message.dropped)}{synthetic}{cut}"


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
def _(message: training.RungReached) -> str:
    failed = f", {message.detail}" if message.detail else ""
    return f"trial {message.trial} to rung {message.rung}: {message.num_steps} steps, loss {message.loss:.3f}{failed}"


@describe.register
def _(message: training.SearchCompleted) -> str:
    params = ", ".join(f"{name} {value:.3g}" for name, value in message.params.items())
    return f"best of {message.num_trials}: {params}" if params else "nothing to search"


@describe.register
def _(message: training.TrainingQuoted) -> str:
    time = f"{message.seconds / 60:.1f} minutes ({message.seconds_low / 60:.1f} to {message.seconds_high / 60:.1f})"
    loss = f", loss {message.loss:.2f} ({message.loss_low:.2f} to {message.loss_high:.2f})" if message.loss else ""
    return f"expected: {time}, ${message.usd:.4f}{loss}"


@describe.register
def _(message: training.TrainingStarted) -> str:
    begin = f"from step {message.resume_step}" if message.resume_step else "from the start"
    size, device = f"{message.num_parameters / 1e6:.2f} M parameters", message.device or "CPU"
    pids = " ".join(map(str, message.worker_pids[:_MOST_PIDS])) + " …" * (len(message.worker_pids) > _MOST_PIDS)
    return f"{size}, {message.num_workers} workers (pids {pids}), {message.strategy} on {device}, {begin}"


@describe.register
def _(message: training.TrainingProgressed) -> str:
    pace = f"loss {message.loss:.3f}, {message.tokens_per_s:,.0f} tokens/s"
    return ", ".join(filter(None, (f"step {message.step} of {message.total_steps}", pace, productive(message.account))))


@describe.register
def _(message: training.TrainingValidated) -> str:
    best = f"best {message.best_loss:.3f} at step {message.best_step}"
    said = "".join(f"; {quoted(each.prompt)} goes on with {quoted(each.text)}" for each in message.samples[:1])
    return f"step {message.step}: held-out loss {message.loss:.3f}, {best}{said}"


@describe.register
def _(message: training.TrainingInterrupted) -> str:
    detail = f": {one_line(message.detail, _MAX_DETAIL)}" if message.detail else ""
    again = f", {message.seconds_lost:.1f} s of work to do again" if message.seconds_lost else ""
    stacks = f"; what every rank did is in {one_line(message.stacks_uri)}" if message.stacks_uri else ""
    return f"{one_line(message.cause.replace('_', ' '))} at about step {message.last_step}{detail}{again}{stacks}"


@describe.register
def _(message: training.TrainingCompleted) -> str:
    what = f"step {message.step}, loss {message.loss:.3f}, {message.tokens:,} tokens in {message.seconds:.0f} s"
    what = ", ".join(filter(None, (what, ended_early(message))))
    return "; ".join(filter(None, (what, productive(message.account), spent(message.account))))


def ended_early(completed: training.TrainingCompleted) -> str:
    """By what a training ended before its plan did, and that not its last checkpoint was taken; else empty."""
    why = f"ended early by {one_line(completed.stopped_by)}" if completed.stopped_by else ""
    best = f"the best, step {completed.step}, was taken" if completed.num_steps > completed.step else ""
    return "; ".join(filter(None, (why, best)))


@describe.register
def _(message: checkpoint.CheckpointSaved) -> str:
    return f"step {message.step}, {message.num_bytes / 1e6:.1f} MB"


@describe.register
def _(message: checkpoint.CheckpointExported) -> str:
    return f"{message.num_parameters / 1e6:.2f} M parameters, {message.num_bytes / 1e6:.1f} MB"


@describe.register
def _(message: checkpoint.ApprovalDecided) -> str:
    name = f"{message.model}@{message.model_version}"
    return f"{name} by {one_line(message.approver)}" if message.approved else f"{name} not: {one_line(message.reason)}"


@describe.register
def _(message: checkpoint.ParityCertified) -> str:
    worst = max(message.logprob_shifts.values(), default=None)
    shift = "" if worst is None else f", log-probabilities within {worst:.1g} nats"
    outcome = f"agree{shift}" if message.passed else f"differ: {'; '.join(message.differences)}"
    return f"{len(message.paths)} paths on {message.num_prompts} prompts {outcome}"


@describe.register
def _(message: evaluation.EvaluationCompleted) -> str:
    return ", ".join(f"{each.metric} {each.value:.3f}" for each in message.estimates[:4])


@describe.register
def _(message: evaluation.GateDecided) -> str:
    return f"{message.word}: {why_decided(message)}"


def why_decided(message: evaluation.GateDecided) -> str:
    """The gate's reasons, and after a rejection what to try; where it needs more, its reasons say of what."""
    remedy = (_AFTER_REJECTION,) if message.word == "reject" else ()
    return "; ".join((*filter(None, (message.waits_for,)), *message.reasons, *remedy))


@describe.register
def _(message: serving.ModelDeployed) -> str:
    name = f"{message.model}@{message.model_version}"
    return f"{name} loaded in {message.load_s:.1f} s, in {message.backend.capitalize()} as {message.backend_model}"


@describe.register
def _(message: monitoring.AlarmAcknowledged) -> str:
    note = f", {message.note}" if message.note else ""
    return f"{message.alarm_id}: {message.by or 'somebody'} looks after it{note}"


@describe.register
def _(message: monitoring.Rebaseline) -> str:
    what = f"{message.signal} of " if message.signal else ""
    return f"{what}{message.model}@{message.model_version}" + (f": {message.reason}" if message.reason else "")


@describe.register
def _(message: drill.DrillCompleted) -> str:
    return f"{message.drill} {'passed' if message.passed else 'failed'}: {message.reason}"
