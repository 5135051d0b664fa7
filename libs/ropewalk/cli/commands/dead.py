"""`dead list|show|retry|drop|export`: messages that a consumer rejected."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from ropewalk.admin.access import MAINTAINER
from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import MOST_IN_A_LINE, Listing, console, print_json, say
from ropewalk.client import Client
from ropewalk.client.dead_letters import DeadLetter, DeadLetters, Retried, matching
from ropewalk.client.errors import ClientError
from ropewalk.events.foreign import cut, one_line
from ropewalk.local.credentials import write_private

app = typer.Typer(name="dead", help="Messages that a consumer rejected.", no_args_is_help=True)

_MOST_OF_A_BODY = 20_000  # characters; --json has all of it
_MOST_SHOWN = 200  # letters on a screen
LetterId = Annotated[int, typer.Argument(metavar="ID", min=1, help="A letter's id, as `ropewalk dead list` shows it.")]
LetterIds = Annotated[list[int] | None, typer.Argument(metavar="ID", min=1, help="Ids of letters.")]
OfSubject = Annotated[str, typer.Option("--subject", help="Only subjects like this; * stands for anything.")]
WithError = Annotated[str, typer.Option("--error", help="Only letters whose reason contains this text.")]
OfConsumer = Annotated[str, typer.Option("--consumer", help="Only letters of consumers like this.")]
Settled = Annotated[bool, typer.Option("--settled", help="The retried and dropped ones too.")]


@app.command("list")
def list_letters(
    subject: OfSubject = "",
    error: WithError = "",
    consumer: OfConsumer = "",
    settled: Settled = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first; of many, the newest (--json has all).

    Example: ropewalk dead list --error "is missing"
    """
    letters = call(lambda client: DeadLetters(client.bus).read(settled=settled), settings_of(state_dir))
    chosen = matching(letters, subject=subject, error=error, consumer=consumer)
    if as_json:
        print_json([letter.as_json() for letter in chosen])
    elif chosen:
        console.print(Listing(("id", "rejected", "consumer", "subject", "reason"), map(_cells, chosen[-_MOST_SHOWN:])))
        if len(chosen) > _MOST_SHOWN:
            say(f"the newest {_MOST_SHOWN} of {len(chosen):,}: --subject, --error and --consumer choose")
    else:
        console.print("no dead letters")


@app.command()
def show(letter_id: LetterId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show one dead letter with its headers and body.

    Example: ropewalk dead show 17
    """
    letter = call(lambda client: DeadLetters(client.bus).find(letter_id), settings_of(state_dir))
    if as_json:
        print_json(letter.as_json())
        return
    for name, value in letter.as_json().items():
        if name not in ("headers", "body", "mark") and value not in ("", 0):
            _print_field(name, value)
    for name, value in letter.mark.items():
        _print_field(f"{letter.status} {name}", value)
    for name, value in sorted(letter.headers.items()):
        if name.startswith(("ce-", "traceparent")):
            _print_field(name, value)
    if letter.text is not None:
        console.print(cut(_indented(letter.text), _MOST_OF_A_BODY), soft_wrap=True)


@app.command()
def retry(
    letter_ids: LetterIds = None,
    every: Annotated[bool, typer.Option("--all", help="Every open letter that the filters leave.")] = False,
    subject: OfSubject = "",
    error: WithError = "",
    consumer: OfConsumer = "",
    body: Annotated[
        Path | None, typer.Option("--body", help="Deliver this file's content instead.", exists=True, dir_okay=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be delivered; deliver nothing.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Deliver dead letters again, to the consumer that rejected them and to nobody else. Twice has no second effect.

    Example: ropewalk dead retry --all --error "is missing" --dry-run
    """
    ids = letter_ids or []
    if bool(ids) == every:
        raise ClientError("which letters? Name their ids, or --all with filters: `ropewalk dead retry 17`")
    if body is not None and len(ids) != 1:
        raise ClientError("--body corrects one letter: name its id, for example `ropewalk dead retry 17 --body FILE`")
    content = None if body is None else body.read_bytes()

    async def act(client: Client) -> tuple[list[Retried], list[str]]:
        letters = DeadLetters(client.bus)
        chosen = [await letters.find(letter_id) for letter_id in ids]
        if every:
            # Read inside the session: letters that come while somebody chooses are not retried unseen.
            chosen = matching(await letters.read(), subject=subject, error=error, consumer=consumer)
        return await _retry_each(letters, chosen, content, dry_run=dry_run)

    done, problems = call(act, settings_of(state_dir, MAINTAINER))
    if as_json:
        print_json({"retried": [dataclasses.asdict(each) for each in done], "left": problems, "dry_run": dry_run})
    else:
        for each in done:
            say(_sentence(each, dry_run=dry_run))
        for problem in problems:
            say(problem, style="yellow")
        if not done and not problems:
            console.print("no dead letters to retry")
    if problems:
        raise typer.Exit(1)


@app.command()
def drop(
    letter_ids: Annotated[list[int], typer.Argument(metavar="ID", min=1, help="Ids of letters.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept with the letter.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Settle dead letters for good. Their reason stays in the log, and they with it until the log's limit.

    Example: ropewalk dead drop 17 --reason "sent by a test"
    """
    if not reason.strip():
        raise ClientError("--reason is empty: say in a few words why the letter may be forgotten")

    async def act(client: Client) -> list[dict[str, object]]:
        letters = DeadLetters(client.bus)
        found = [await letters.find(letter_id) for letter_id in letter_ids]
        return [{"id": letter.id, "dropped": await letters.drop(letter, reason.strip())} for letter in found]

    outcome = call(act, settings_of(state_dir))
    if as_json:
        print_json(outcome)
        return
    for each in outcome:
        say(f"{each['id']} {'dropped' if each['dropped'] else 'was settled before'}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; it must not exist.")],
    settled: Settled = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Write dead letters to a file, one JSON object per line.

    Example: ropewalk dead export letters.ndjson
    """
    if file.exists():
        raise ClientError(f"{file} exists already: choose another name")
    letters = call(lambda client: DeadLetters(client.bus).read(settled=settled), settings_of(state_dir))
    # Mode 0600: letters hold prompts and recipes of other people.
    write_private(file, "".join(json.dumps(letter.as_json()) + "\n" for letter in letters).encode())
    if as_json:
        print_json({"file": str(file), "num_letters": len(letters)})
    else:
        say(f"{len(letters)} dead letters in {file}")


async def _retry_each(
    letters: DeadLetters, chosen: list[DeadLetter], body: bytes | None, *, dry_run: bool
) -> tuple[list[Retried], list[str]]:
    """One letter that cannot be delivered does not keep the others back."""
    done, problems = [], []
    for letter in chosen:
        try:
            done.append(await letters.retry(letter, body, dry_run=dry_run))
        except ClientError as error:
            problems.append(str(error))
    return done, problems


def _sentence(each: Retried, *, dry_run: bool) -> str:
    if each.repeated:
        return f"{each.id} was retried before; nothing was sent"
    if dry_run:
        return f"{each.id} would go to {each.consumer} on {each.subject}"
    return f"{each.id} sent to {each.consumer} as {each.sequence}"


def _cells(letter: DeadLetter) -> tuple[str, ...]:
    status = "" if letter.status == "open" else f"[{letter.status}] "
    rejected = letter.time[:19].replace("T", " ")
    return str(letter.id), rejected, letter.consumer, letter.subject, f"{status}{letter.error}"


def _print_field(name: str, value: object) -> None:
    line = Text.assemble((f"{one_line(name):<18} ", "dim"), one_line(str(value), MOST_IN_A_LINE))
    console.print(line, soft_wrap=True)


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
