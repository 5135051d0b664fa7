"""The processes of the embedded stack in the order in which they start, group by group."""

import os
import sys
import sysconfig
from dataclasses import dataclass, field, replace
from pathlib import Path

from ropewalk.local.credentials import Credentials
from ropewalk.local.env import process_environment, system_address
from ropewalk.local.errors import StackStartError
from ropewalk.local.layout import Layout
from ropewalk.local.names import SERVICES
from ropewalk.local.port_claims import PortClaims
from ropewalk.local.ports import LOOPBACK, Ports, choose_again
from ropewalk.local.state import endpoints_of
from ropewalk.local.supervision.probes import (
    ServicePings,
    all_ready,
    broker_serves,
    http_answers,
    silent_when_not,
    socket_accepts,
    stuck_after_full_disk,
)
from ropewalk.local.supervision.spec import Probe, ProcessSpec
from ropewalk.runtime.plain_folder import plain_folder

_OBJECT_STORE_BYTES = 200_000_000
_SAVING_S = 28.0  # to the trainer when it stops: its workers save, for which they have 25 s
# Of these a service may be given other ones while the stack runs: who uses them asks where they are.
MOVABLE_PORTS = {
    "serving": ("openai", "triton_http", "triton_grpc"),
    "monitor": ("clickhouse_http",),
    "evaluator": ("review",),
}


@dataclass(frozen=True)
class StackPlan:
    """Everything chosen for one start of the stack."""

    layout: Layout
    ports: Ports
    credentials: Credentials
    claims: PortClaims = field(default_factory=PortClaims, repr=False)

    def environment(self, process: str) -> dict[str, str]:
        """The environment of a process of this stack."""
        return process_environment(process, self.layout, self.ports, self.credentials)


def broker(plan: StackPlan) -> ProcessSpec:
    """nats-server, which everything else needs."""
    address = system_address(plan.ports, plan.credentials)
    return ProcessSpec(
        name="nats-server",
        command=(program("nats-server"), "--config", str(plan.layout.nats_config)),
        environment=plan.environment("nats-server"),
        ready=broker_serves(address),
        stuck=stuck_after_full_disk(address, plan.layout.nats_store),
        silent=silent_when_not(broker_serves(address)),
    )


def engines_and_services(plan: StackPlan, pings: ServicePings) -> tuple[ProcessSpec, ...]:
    """Ray, Triton and the seven services; they find each other in any order."""
    return (_ray(plan), _triton(plan), *(_service(plan, name, pings) for name in SERVICES))


def with_free_ports(plan: StackPlan, process: str) -> StackPlan:
    """The plan with other ports for a process whose own ones somebody else has taken meanwhile."""
    return replace(plan, ports=choose_again(plan.ports, MOVABLE_PORTS.get(process, ()), plan.claims))


def _ray(plan: StackPlan) -> ProcessSpec:
    options = {
        "--node-ip-address": LOOPBACK,
        "--port": plan.ports.ray,
        "--ray-client-server-port": plan.ports.ray_client,  # cannot be left out
        "--dashboard-agent-listen-port": plan.ports.ray_dashboard_agent,
        "--min-worker-port": 0,  # 0: any free port
        "--max-worker-port": 0,
        "--num-cpus": os.cpu_count() or 1,
        "--object-store-memory": _OBJECT_STORE_BYTES,
        "--temp-dir": plan.layout.ray_temp,
        "--include-dashboard": "false",
        "--include-log-monitor": "false",
    }
    flat = (str(part) for option in options.items() for part in option)
    return ProcessSpec(
        name="ray",
        command=(program("ray"), "start", "--head", "--block", "--disable-usage-stats", *flat),
        environment=plan.environment("ray"),
        ready=socket_accepts(plan.layout.ray_temp / "session_latest" / "sockets" / "raylet"),
        stop_grace_s=2.0,
    )


def _triton(plan: StackPlan) -> ProcessSpec:
    socket = plain_folder(plan.layout.state_dir, "triton") / "sockets" / "http"
    live = http_answers("http://triton/v2/health/live", socket=socket)
    return ProcessSpec(
        name="triton",
        command=(sys.executable, "-m", "ropewalk.serving.triton"),
        environment=plan.environment("triton"),
        ready=live,
        silent=silent_when_not(live),
        stop_grace_s=12.0,
    )


def _service(plan: StackPlan, name: str, pings: ServicePings) -> ProcessSpec:
    ready: Probe = pings.answers(name)
    if name == "monitor":
        ready = all_ready(ready, http_answers(f"{endpoints_of(plan.ports).clickhouse_http}/ping"))
    if name == "serving":
        ready = all_ready(ready, http_answers(endpoints_of(plan.ports).openai.removesuffix("/v1") + "/livez"))
    leaving = {"ROPEWALK_STOP_GRACE_S": str(_SAVING_S)} if name == "trainer" else {}
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-m", f"ropewalk.{name.replace('-', '_')}"),
        environment=plan.environment(name) | leaving,
        ready=ready,
        silent=pings.silent(name),
        stop_grace_s=_SAVING_S + 2.0 if leaving else 10.0,
    )


def program(name: str) -> str:
    """The path of an installed program. Raises StackStartError."""
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.is_file():
        raise StackStartError(f"{name} is not installed in this environment: `pip install 'ropewalk[all]'`")
    return str(path)
