"""Where the embedded stack keeps its files, all below one state folder."""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below an absolute state folder. Nothing is created by looking."""

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
    def reports(self) -> Path:
        """Report cards by run id."""
        return self.state_dir / "reports"

    @property
    def ray_temp(self) -> Path:
        """Ray's folder: short, because the paths of its Unix sockets may have 107 bytes only."""
        digest = hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"ropewalk-ray-{digest}"

    def log_of(self, process: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{process}.log"

    def create(self) -> None:
        """Make the folders, readable by their owner only. Raises OSError."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir.chmod(0o700)
        for folder in (self.logs, self.nats_store, self.reports):
            folder.mkdir(exist_ok=True)


def layout_of(state_dir: Path) -> Layout:
    """The layout of a state folder given in any form."""
    return Layout(state_dir.expanduser().absolute())
