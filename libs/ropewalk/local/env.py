"""The only place that tells processes of the embedded stack where things are and what the secrets are."""

from collections.abc import Mapping

from ropewalk.admin.contracts import SERVICE_USERS
from ropewalk.bus.settings import NatsSettings
from ropewalk.bus.wire import Address
from ropewalk.local.broker.keys import seed_file
from ropewalk.local.credentials import Credentials
from ropewalk.local.layout import Layout
from ropewalk.local.names import MARKER, PROCESS_MARKER, SYSTEM_USER
from ropewalk.local.ports import LOOPBACK, Ports
from ropewalk.local.settings import inherited_environment
from ropewalk.local.state import endpoints_of

_BUS_SETTINGS = "ROPEWALK_NATS_"


def process_environment(name: str, layout: Layout, ports: Ports, credentials: Credentials) -> dict[str, str]:
    """The complete environment of one process: the user's, ours on top, and the marks by which it is found again."""
    inherited = inherited_environment()
    return {
        **{name: value for name, value in inherited.items() if not name.startswith(_BUS_SETTINGS)},
        **stack_environment(layout, ports, credentials),
        **_identity(name, layout),
        **_ray_environment(layout, credentials),
        MARKER: str(layout.state_dir),
        PROCESS_MARKER: name,
        "PYTHONUNBUFFERED": "1",
    }


def stack_environment(layout: Layout, ports: Ports, credentials: Credentials) -> Mapping[str, str]:
    """What every service is told. The names are those of the services' settings classes."""
    endpoints = endpoints_of(ports)
    ray_address = f"{LOOPBACK}:{ports.ray}"
    return {
        "ROPEWALK_STATE_DIR": str(layout.state_dir),
        "ROPEWALK_NATS_URL": endpoints.nats,
        "ROPEWALK_PREPROCESSING_RAY_ADDRESS": ray_address,
        "ROPEWALK_TRAINER_RAY_ADDRESS": ray_address,
        "ROPEWALK_TRAINER_RAY_TMP": str(layout.ray_home / "trainer"),
        "ROPEWALK_EVALUATOR_REVIEW_HOST": LOOPBACK,
        "ROPEWALK_EVALUATOR_REVIEW_PORT": str(ports.review),
        "ROPEWALK_MONITOR_HOST": LOOPBACK,
        "ROPEWALK_MONITOR_PORT": str(ports.clickhouse_http),
        "ROPEWALK_MONITOR_TOKEN": credentials.clickhouse_token,
        "ROPEWALK_MONITOR_OPERATOR_TOKEN": credentials.clickhouse_operator_token,
        "ROPEWALK_SERVING_HOST": LOOPBACK,
        "ROPEWALK_SERVING_PORT": str(ports.openai),
        "ROPEWALK_SERVING_DEMO_KEY": credentials.demo_key,
        "ROPEWALK_SERVING_INTERNAL_KEY": credentials.internal_key,
        "ROPEWALK_SERVING_TRITON_HOST": LOOPBACK,
        "ROPEWALK_SERVING_TRITON_HTTP": str(ports.triton_http),
        "ROPEWALK_SERVING_TRITON_GRPC": str(ports.triton_grpc),
    }


def bus_settings(user: str, layout: Layout, ports: Ports) -> NatsSettings:
    """How a user reaches the bus of this stack. Nothing is taken from the environment."""
    return NatsSettings(
        url=endpoints_of(ports).nats,
        user=user,
        password="",
        nkey_file=seed_file(layout.keys, user),
        tls_ca=None,
        replicas=1,
    )


def system_address(ports: Ports, credentials: Credentials) -> Address:
    """How we ask nats-server about itself."""
    return Address(url=endpoints_of(ports).nats, user=SYSTEM_USER, password=credentials.system_password)


def _identity(process: str, layout: Layout) -> Mapping[str, str]:
    """Only services have one: the engines (Ray, Triton) know no bus."""
    if process not in SERVICE_USERS:
        return {}
    return {"ROPEWALK_NATS_USER": process, "ROPEWALK_NATS_NKEY_FILE": str(seed_file(layout.keys, process))}


def _ray_environment(layout: Layout, credentials: Credentials) -> Mapping[str, str]:
    """Ray asks for a token, listens on loopback only, keeps nothing in `/tmp/ray` and reports to nobody.

    It takes the machine's address for loopback's, and then listens on all, unless it is told that there is no cluster.
    """
    return {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_TMPDIR": str(layout.ray_temp),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": credentials.ray_token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_enable_metrics_collection": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
