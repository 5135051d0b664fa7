"""What runs where: `stack.json`, written by the supervisor only, read by everybody."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ropewalk.local.credentials import write_private
from ropewalk.local.ports import LOOPBACK, Ports
from ropewalk.status.seen import ProcessState


class Endpoints(BaseModel):
    """Where other programs connect."""

    model_config = ConfigDict(frozen=True)

    nats: str
    openai: str
    triton_http: str
    triton_grpc: str
    clickhouse_http: str
    review: str = ""  # of a stack that an older version of us started


class StackState(BaseModel):
    """The supervisor's view of the whole stack. `problem` is a sentence if it gave up."""

    model_config = ConfigDict(frozen=True)

    supervisor_pid: int
    state_dir: str
    ports: Ports
    endpoints: Endpoints
    objects_url: str = ""
    processes: tuple[ProcessState, ...]
    phase: Literal["starting", "ready", "stopping", "failed"] = "starting"
    problem: str = ""


def endpoints_of(ports: Ports) -> Endpoints:
    """The addresses of a stack on loopback."""
    return Endpoints(
        nats=f"nats://{LOOPBACK}:{ports.nats}",
        openai=f"http://{LOOPBACK}:{ports.openai}/v1",
        triton_http=f"http://{LOOPBACK}:{ports.triton_http}",
        triton_grpc=f"{LOOPBACK}:{ports.triton_grpc}",
        clickhouse_http=f"http://{LOOPBACK}:{ports.clickhouse_http}",
        review=f"http://{LOOPBACK}:{ports.review}",
    )


def write_state(path: Path, state: StackState) -> None:
    """Replace the file atomically."""
    write_private(path, state.model_dump_json(indent=1).encode())


def read_state(path: Path) -> StackState | None:
    """The last state written, or None if there is none or an older version of us wrote it."""
    try:
        return StackState.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
