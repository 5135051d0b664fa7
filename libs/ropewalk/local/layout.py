"""Where the embedded stack keeps its files, all below one state folder."""

from dataclasses import dataclass
from pathlib import Path

from ropewalk.events.foreign import quoted
from ropewalk.local.errors import LocalError
from ropewalk.runtime.plain_folder import plain_folder, remove_plain_folder

_LONGEST_RAY_TEMP = 38  # bytes: what Ray adds for its Unix sockets is 62 more, and these may have 107


class StatePathError(LocalError):
    """The state folder has a name that one of the engines cannot be told."""


@dataclass(frozen=True)
class Layout:
    """Paths below an absolute state folder. Nothing is created by looking, but Ray's folder if it lies outside."""

    state_dir: Path

    @property
    def stack_file(self) -> Path:
        """What runs where; replaced atomically by the supervisor."""
        return self.state_dir / "stack.json"

    @property
    def lock_file(self) -> Path:
        """Locked by a living supervisor, so that a killed one leaves no wrong claim behind."""
        return self.state_dir / "supervisor.lock"

    @property
    def credentials_file(self) -> Path:
        """Secrets, mode 0600."""
        return self.state_dir / "credentials.json"

    @property
    def release_file(self) -> Path:
        """Which release used the folder last."""
        return self.state_dir / "release.json"

    @property
    def keys(self) -> Path:
        """One file per user of the bus with the seed of its key, mode 0600."""
        return self.state_dir / "keys"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.state_dir / "logs"

    @property
    def nats_store(self) -> Path:
        """JetStream's files: the truth of everything."""
        return self.state_dir / "nats"

    @property
    def nats_config(self) -> Path:
        """Written anew at every start, mode 0600, since it holds the operator's password."""
        return self.state_dir / "nats-server.conf"

    @property
    def curl_config(self) -> Path:
        """For `curl --config`: the address and the token of the SQL interface, mode 0600, so in no command line."""
        return self.state_dir / "sql.curl"

    @property
    def reports(self) -> Path:
        """Report cards by run id."""
        return self.state_dir / "reports"

    @property
    def ray_temp(self) -> Path:
        """What Ray is told. It opens this folder to everybody, so it lies in one that is closed."""
        return self.ray_home / "s"

    @property
    def ray_home(self) -> Path:
        """Closed to others: here if the path is short and plain, else a short one of ours. Raises OSError."""
        return plain_folder(self.state_dir, "ray", _LONGEST_RAY_TEMP)

    def remove_ray(self) -> None:
        """Ray's files are of no use once it has ended. Raises OSError."""
        remove_plain_folder(self.state_dir, "ray")

    def log_of(self, process: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{process}.log"

    def create(self) -> None:
        """Make the folders, readable by their owner only. Raises StatePathError, OSError."""
        name = str(self.state_dir)
        if "?" in name or not name.isprintable():
            raise StatePathError(
                f"the path of the state folder, {quoted(name)}, has a '?' or a sign that cannot be printed: choose "
                "another one with --state-dir or ROPEWALK_STATE_DIR"
            )
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state_dir.chmod(0o700)
        for folder in (self.logs, self.nats_store, self.reports):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)


def layout_of(state_dir: Path) -> Layout:
    """The layout of a state folder given in any form."""
    return Layout(state_dir.expanduser().absolute())
