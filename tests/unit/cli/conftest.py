"""The command line without a process of its own."""

import signal
import sys

import pytest

from ropewalk.cli.main import main
from ropewalk.cli.screens import terminal


@pytest.fixture
def ropewalk(tmp_path, monkeypatch, capsys):
    """Run the entry point as a user does; returns (exit code, standard output, standard error)."""
    monkeypatch.setenv("ROPEWALK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ROPEWALK_NATS_URL", raising=False)
    monkeypatch.setattr(terminal.console, "_width", 200)
    monkeypatch.setattr(terminal.errors, "_width", 200)
    on_term = signal.getsignal(signal.SIGTERM)

    def run(*arguments, columns=200):
        monkeypatch.setattr(terminal.console, "_width", columns)
        monkeypatch.setattr(sys, "argv", ["ropewalk", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, on_term)  # `demo` and `drill` set it
