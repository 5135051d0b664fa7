"""The only place that tells processes of the embedded stack where things are and what the secrets are."""

from collections.abc import Mapping

from ropewalk.local.credentials import Credentials
from ropewalk.local.layout import Layout
from ropewalk.local.ports import LOOPBACK, Ports
from ropewalk.local.settings import MARKER, PROCESS_MARKER, inherited_environment
from ropewalk.local.state import endpoints_of


def process_environment(name: str, layout: Layout, ports: Ports, credentials: Credentials) -> dict[str, str]:
    """The complete environment of one process: the user's, ours on top, and the marks by which it is found again."""
    return {
        **inherited_environment(),
        **stack_environment(layout, ports, credentials),
        **_ray_environment(credentials),
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
        "ROPEWALK_NATS_TOKEN": credentials.nats_token,
        "ROPEWALK_PREPROCESSING_RAY_ADDRESS": ray_address,
        "ROPEWALK_TRAINER_RAY_ADDRESS": ray_address,
        "ROPEWALK_MONITOR_HOST": LOOPBACK,
        "ROPEWALK_MONITOR_PORT": str(ports.clickhouse_http),
        "ROPEWALK_MONITOR_TOKEN": credentials.clickhouse_token,
        "ROPEWALK_MONITOR_ANONYMOUS": "true",  # loopback only: plain `clickhouse_connect.get_client(host=…)` reads
        "ROPEWALK_SERVING_HOST": LOOPBACK,
        "ROPEWALK_SERVING_PORT": str(ports.openai),
        "ROPEWALK_SERVING_DEMO_KEY": credentials.demo_key,
        "ROPEWALK_SERVING_INTERNAL_KEY": credentials.internal_key,
        "ROPEWALK_SERVING_TRITON_HOST": LOOPBACK,
        "ROPEWALK_SERVING_TRITON_HTTP": str(ports.triton_http),
        "ROPEWALK_SERVING_TRITON_GRPC": str(ports.triton_grpc),
        "ROPEWALK_SERVING_TRITON_METRICS": str(ports.triton_metrics),
        "ROPEWALK_SERVING_TRITON_SECRET": credentials.triton_secret,
    }


def _ray_environment(credentials: Credentials) -> Mapping[str, str]:
    """Ray listens on all addresses whatever it is told, so it is given a token. It reports to nobody."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": credentials.ray_token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_enable_metrics_collection": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
