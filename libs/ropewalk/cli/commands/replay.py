"""`replay`, `fsck` and `what-was-live`: the state of the platform, computed from the log."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from ropewalk.cli.connecting import settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import MOST_IN_A_LINE, console, done, mark, print_json, say
from ropewalk.client.errors import ClientError
from ropewalk.client.log import Comparison, LogVerdict, check_log, open_log, projections
from ropewalk.client.moments import parse_moment
from ropewalk.events.foreign import one_line
from ropewalk.projections.live_at import LiveName, live_at
from ropewalk.projections.projector import Projector
from ropewalk.projections.replay import Progress, Until, rebuild

app = typer.Typer()

_SHORT_ID = 8


@app.command()
def replay(
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="Folder for the projections; made if missing.")],
    until: Annotated[str, typer.Option("--until", metavar="T|SEQ", help="A time or a sequence of the log.")] = "",
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild every projection from the log, as of a time or a sequence: a file each, and replay.json about them.

    Example: ropewalk replay --until "2026-11-23 10:15" --into then
    """
    end = _until(until)
    with open_log(settings_of(state_dir)) as wire:
        projector, progress = rebuild(wire, end)
    facts = _written(projector, progress, until, into)
    if as_json:
        print_json(facts)
        return
    for name, sha256 in facts["hashes"].items():
        say(f"{name:10} {sha256[:16]}  {into / name}.json")
    say(_progress_words(projector, progress))


@app.command()
def fsck(
    log_only: Annotated[bool, typer.Option("--log-only", help="Check the log; ask no live projector.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare the live projections with a rebuild from the log, and check the log itself; exit code 1 if not all well.

    Example: ropewalk fsck
    """
    with open_log(settings_of(state_dir)) as wire:
        verdict = check_log(wire, compare=not log_only)
    if as_json:
        print_json(_verdict_json(verdict))
    else:
        _print_verdict(verdict)
    raise typer.Exit(0 if verdict.ok else 1)


@app.command("what-was-live")
def what_was_live(
    at: Annotated[str, typer.Option("--at", metavar="T", help="2026-11-23T10:15:00Z, '2026-11-23 10:15', '2h ago'.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Which model version answered under which name at a time of the log, since when, and who let it.

    Example: ropewalk what-was-live --at "2h ago"
    """
    moment = parse_moment(at, datetime.now(UTC))
    with open_log(settings_of(state_dir)) as wire:
        found = projections(wire, "registry", "lineage")
    live = live_at(found["registry"], found["lineage"], moment)
    if as_json:
        print_json({"at": moment.isoformat(), "live": [asdict(name) for name in live]})
        return
    if not live:
        say(f"no model was live at {moment:%Y-%m-%d %H:%M:%S} UTC")
    for name in live:
        _print_live(name)


def _progress_words(projector: Projector, progress: Progress) -> str:
    if not projector.sequence:
        return "the log has nothing as early as that: every projection is empty"
    return f"as of sequence {projector.sequence:,} ({projector.time}), {_pace(progress)}"


def _pace(progress: Progress) -> str:
    return f"{progress.num_read:,} messages at {progress.events_per_s:,.0f} events/s"


def _until(text: str) -> Until:
    if not text:
        return Until()
    if text.isdecimal():
        return Until(sequence=int(text))
    return Until(moment=parse_moment(text, datetime.now(UTC)))


def _written(projector: Projector, progress: Progress, until: str, into: Path) -> dict[str, Any]:
    """Write the files; what replay.json says."""
    if into.exists() and not into.is_dir():
        raise ClientError(f"--into {into} is a file: name a folder")
    # Files of an earlier replay are overwritten: every replay writes the same names.
    into.mkdir(parents=True, exist_ok=True)
    facts = {
        "until": until or None,
        "sequence": projector.sequence,
        "time": projector.time,
        "num_messages": progress.num_read,
        "seconds": round(progress.seconds, 3),
        "events_per_s": round(progress.events_per_s),
        "hashes": {name: projector.digest(name) for name in projector.names},
    }
    for name in projector.names:
        (into / f"{name}.json").write_bytes(projector.render(name))
    (into / "replay.json").write_text(json.dumps(facts, indent=1) + "\n")
    return facts


def _verdict_json(verdict: LogVerdict) -> dict[str, Any]:
    return {
        "ok": verdict.ok,
        "sequence": verdict.sequence,
        "num_messages": verdict.progress.num_read,
        "events_per_s": round(verdict.progress.events_per_s),
        "projections": [{**asdict(each), "equal": each.equal} for each in verdict.comparisons],
        "num_findings": verdict.num_findings,
        "findings": verdict.findings,
    }


def _print_verdict(verdict: LogVerdict) -> None:
    for each in verdict.comparisons:
        console.print(mark(each.equal), f"{each.name:10}", _comparison_words(each), soft_wrap=True)
    for sentence in verdict.findings:
        done(sentence, good=False)
    if verdict.num_findings > len(verdict.findings):
        say(f"  and {verdict.num_findings - len(verdict.findings):,} more")
    if not verdict.num_findings:
        rules = "AUDIT has all of CONTROL, runs end once, stages follow the rules, epochs never go down"
        done(f"the log: {rules}")
    say(f"compared at sequence {verdict.sequence:,}, {_pace(verdict.progress)}")


def _comparison_words(each: Comparison) -> Text:
    if each.equal:
        return Text(f"{each.rebuilt[:16]}, live equals rebuilt")
    difference = one_line(each.difference, MOST_IN_A_LINE)
    return Text.assemble(("live is not what the log says", "red"), ": ", difference)


def _print_live(live: LiveName) -> None:
    until = f" until {live.until[:19]}Z" if live.until else ""
    say(f"{live.name}  →  {_behind(live)}  since {live.since[:19]}Z{until}")
    say(f"  run {live.run_id}, checkpoint {live.checkpoint_id}", style="dim")
    if live.gate:
        reasons = "; ".join(live.gate["reasons"])
        _print_because("gate", f"{live.gate['decision']}: {reasons}", live.gate)
    if live.parity:
        outcome = "agree" if live.parity["passed"] else "differ"
        _print_because("parity", f"{', '.join(live.parity['paths'])} {outcome}", live.parity)
    if live.promoted:
        _print_because("promoted", f"as {live.promoted['alias']}", live.promoted)


def _behind(live: LiveName) -> str:
    """The version behind a name, or all of them with their shares."""
    total = sum(target.weight for target in live.targets)
    shares = [
        f"{live.model}@{each.version} ({each.weight} of {total}{'' if each.answers else ', not loaded'})"
        for each in live.targets
    ]
    gone = "" if live.answers else ", which was not loaded"
    return ", ".join(shares) or f"{live.model}@{live.version}{gone}"


def _print_because(what: str, words: str, fact: dict[str, Any]) -> None:
    where = f"{fact['time'][:19]}Z, event {fact['event_id'][:_SHORT_ID]} at {fact['sequence']}"
    say(f"  {what}: {words}  ({where})", style="dim")
