"""`ledger verify`: the proof that every sample was read as planned."""

from dataclasses import asdict

import typer

from ropewalk.cli.connecting import call, settings_of
from ropewalk.cli.options import AsJson, RunId, StateDir
from ropewalk.cli.screens.terminal import console, mark, print_json, say
from ropewalk.client.ledgers import verify_ledger_of
from ropewalk.corpus.ledger import LedgerVerdict

app = typer.Typer(name="ledger", help="The record of which samples each training step consumed.", no_args_is_help=True)


@app.command()
def verify(run: RunId, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Compare what training read with what was planned; exit code 1 if they differ.

    Of a run that is not over, or was cut off, what is committed is judged.

    Example: ropewalk ledger verify python-stdlib-261123-101500-1a2b
    """
    settings = settings_of(state_dir)
    # The plan of what is to be read lies with the shards; what was read is in the log.
    objects = settings.store.connect()
    verdict = call(lambda client: verify_ledger_of(client, run, objects), settings)
    if as_json:
        print_json(asdict(verdict))
    else:
        _print_verdict(verdict)
    raise typer.Exit(0 if verdict.ok else 1)


def _print_verdict(verdict: LedgerVerdict) -> None:
    if verdict.is_empty:
        say(f"nothing {'was committed' if verdict.is_over else 'is committed yet'}: there is nothing to verify")
        return
    again = f" ({verdict.num_discarded_steps} steps taken again after a loss)" if verdict.num_discarded_steps else ""
    left_out = f", {verdict.num_left_out} left out of the updates" if verdict.num_left_out else ""
    console.print(
        mark(verdict.ok),
        f"{verdict.num_steps:,} steps, {verdict.num_samples:,} samples:"
        f" {verdict.num_skipped} skipped, {verdict.num_repeated} repeated{left_out}{again}",
        soft_wrap=True,
    )
    if not verdict.is_over:
        say("  the run is not over: judged is what its checkpoints have committed so far", style="dim")
    for sentence in verdict.sentences:
        say(f"  {sentence}", style="red")
