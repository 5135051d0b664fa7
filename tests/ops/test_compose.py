"""compose.yaml: valid, complete, no secret inside, and the same names, settings and ports as the embedded stack."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ropewalk.local.broker.deployment import create_deployment, seed_variable
from ropewalk.local.ports import Ports

SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|_KEY")
NOT_SECRET = {"RAY_AUTH_MODE"}
# The engines: service -> container ports that the embedded stack offers too.
PORTS = {
    "nats": {Ports().nats},
    "clickhouse": {Ports().clickhouse_http},
    "serving": {Ports().openai, Ports().triton_http, Ports().triton_grpc},
}


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def gpu(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "compose.gpu.yaml").read_text())


@pytest.fixture(scope="module")
def compose_schema() -> Any:
    text = (files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json").read_text()
    schema = json.loads(text)
    return jsonschema.validators.validator_for(schema)(schema)


def values(compose: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Every environment variable as (service, name, value)."""
    return [
        (service, name, str(value))
        for service, definition in compose["services"].items()
        for name, value in definition.get("environment", {}).items()
    ]


def published(definition: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Published ports as (address, outer, inner)."""
    split = [port.rsplit(":", 2) for port in definition.get("ports", [])]
    return [(address, int(outer), int(inner)) for address, outer, inner in split]


def test_compose_files_follow_the_compose_specification(
    compose_schema: Any, compose: dict[str, Any], gpu: dict[str, Any]
) -> None:
    assert [error.message for file in (compose, gpu) for error in compose_schema.iter_errors(file)] == []


def test_the_compose_specification_refuses_a_misspelt_key(compose_schema: Any, compose: dict[str, Any]) -> None:
    misspelt = {**compose, "services": {"nats": {**compose["services"]["nats"], "healtcheck": {}}}}
    assert not compose_schema.is_valid(misspelt)


def test_the_seven_services_and_their_engines_are_there(compose: dict[str, Any], services: tuple[str, ...]) -> None:
    engines = {"nats", "streams", "objects", "clickhouse", "otel-collector", "ray-head", "ray-worker", "triton"}
    assert set(compose["services"]) == engines | set(services)


def test_every_service_runs_its_module(compose: dict[str, Any], services: tuple[str, ...]) -> None:
    for name in services:
        command = " ".join(compose["services"][name]["command"])
        assert command.endswith(f"python -m ropewalk.{name.replace('-', '_')}")


def test_dependencies_volumes_and_configs_exist_and_are_used(compose: dict[str, Any]) -> None:
    definitions = compose["services"].values()
    sources = [volume.split(":")[0] for definition in definitions for volume in definition.get("volumes", [])]
    configs = [config["source"] for definition in definitions for config in definition.get("configs", [])]
    assert {source for source in sources if not source.startswith(("$", ".", "/"))} == set(compose["volumes"])
    assert set(configs) == set(compose["configs"])
    for definition in definitions:
        assert set(definition.get("depends_on", {})) <= set(compose["services"])


def test_whoever_waits_for_health_waits_for_a_service_with_a_health_check(compose: dict[str, Any]) -> None:
    for definition in compose["services"].values():
        for name, wait in definition.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][name]
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert compose["services"][name]["restart"] == "on-failure"


def test_every_service_has_a_health_check_and_its_own_state(compose: dict[str, Any], services: tuple[str, ...]) -> None:
    for name in services:
        definition = compose["services"][name]
        assert definition["healthcheck"]["test"]
        assert f"{name}:/var/lib/ropewalk" in definition["volumes"]


def test_a_service_is_asked_where_it_answers_and_counts_as_healthy_without_the_bus(
    compose: dict[str, Any], services: tuple[str, ...]
) -> None:
    for name in services:
        definition = compose["services"][name]
        asked = definition["healthcheck"]["test"][-1]
        port = definition["environment"]["ROPEWALK_HEALTH_PORT"]
        assert f"http://127.0.0.1:{port}/live" in asked or "http://127.0.0.1:8080/healthz" in asked


def test_only_loopback_ports_are_published(compose: dict[str, Any]) -> None:
    found = [port for definition in compose["services"].values() for port in published(definition)]
    assert found
    assert {address for address, _, _ in found} == {"127.0.0.1"}
    outer = [port for _, port, _ in found]
    assert len(outer) == len(set(outer))


def test_ports_are_those_of_the_embedded_stack(compose: dict[str, Any], defaults: dict[str, object]) -> None:
    for name, ports in PORTS.items():
        assert {(outer, inner) for _, outer, inner in published(compose["services"][name])} == {(p, p) for p in ports}
    assert defaults["ROPEWALK_SERVING_PORT"] in PORTS["serving"]
    assert {defaults[f"ROPEWALK_SERVING_TRITON_{kind}"] for kind in ("HTTP", "GRPC")} < PORTS["serving"]
    assert defaults["ROPEWALK_NATS_URL"] == f"nats://127.0.0.1:{Ports().nats}"


def test_triton_has_no_port_and_nobody_else_has_its_folder(compose: dict[str, Any], gpu: dict[str, Any]) -> None:
    triton = compose["services"]["triton"]
    assert triton["network_mode"] == "none"
    (state,) = triton["volumes"]
    assert {name for name, one in compose["services"].items() if state in one.get("volumes", [])} == {
        "triton",
        "serving",
    }
    command = gpu["services"]["triton"]["command"][-1]
    for kind in ("http", "grpc", "metrics"):
        assert f"--{kind}-address=unix:/var/lib/ropewalk/triton/sockets/{kind}" in command


def test_no_command_line_holds_a_secret(compose: dict[str, Any], gpu: dict[str, Any]) -> None:
    commands = [str(each.get("command", "")) for file in (compose, gpu) for each in file["services"].values()]
    assert not [command for command in commands if SECRET_NAME.search(command) or "x-admin" in command]


def test_every_setting_is_one_that_its_service_reads(
    compose: dict[str, Any], services: tuple[str, ...], settings_names: dict[str, set[str]]
) -> None:
    known = {**settings_names, "triton": settings_names["serving"]}
    anything = set().union(*settings_names.values())
    for service, name, _ in values(compose):
        if name.startswith("ROPEWALK_"):
            assert name in known.get(service, anything), f"{service} does not read {name}"
    for name in services:
        given = set(compose["services"][name]["environment"])
        assert {"ROPEWALK_NATS_URL", "ROPEWALK_NATS_NKEY_FILE", "ROPEWALK_NATS_TLS_CA", "ROPEWALK_OBJECTS_URL"} <= given
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in given


def test_nothing_points_at_the_embedded_stack(compose: dict[str, Any]) -> None:
    for service, name, value in values(compose):
        assert "127.0.0.1" not in value, f"{service}: {name}"
        assert "localhost" not in value, f"{service}: {name}"
        assert not value.startswith("file:"), f"{service}: {name}"


def test_hosts_in_settings_are_services(compose: dict[str, Any]) -> None:
    for service, name, value in values(compose):
        for host in re.findall(r"(?:://(?:[^@/]*@)?|^)([a-z][a-z-]+):\d+", value):
            assert host in compose["services"], f"{service}: {name} names {host}"


def test_no_secret_has_a_value_or_a_default(compose: dict[str, Any], gpu: dict[str, Any]) -> None:
    secrets = [entry for entry in values(compose) if SECRET_NAME.search(entry[1]) and entry[1] not in NOT_SECRET]
    assert {name for _, name, _ in secrets} >= {"RAY_AUTH_TOKEN", "CLICKHOUSE_PASSWORD"}
    for service, name, value in secrets:
        assert re.fullmatch(rf"\$\{{{name}:\?\}}", value), f"{service}: {name} is {value}"
    for _, _, value in values(compose) + values(gpu):
        assert not re.search(r"://[^$/]*:[^$@/]+@", value)


def test_images_come_from_one_recipe_and_extras_of_the_project(
    compose: dict[str, Any], root: Path, project: dict[str, Any], services: tuple[str, ...]
) -> None:
    dockerfile = (root / "Dockerfile").read_text()
    assert '".[${EXTRA}]"' in dockerfile
    extra_of = {}
    for definition in compose["services"].values():
        if definition["image"].startswith("ropewalk/"):
            extras = definition["build"]["args"]["EXTRA"].split(",")
            assert set(extras) <= set(project["optional-dependencies"])
            assert extra_of.setdefault(definition["image"], extras) == extras, "one image, two recipes"
    for name in services:
        assert name in extra_of[compose["services"][name]["image"]]


def test_other_images_are_pinned(compose: dict[str, Any], gpu: dict[str, Any]) -> None:
    images = [d["image"] for file in (compose, gpu) for d in file["services"].values() if "image" in d]
    for image in images:
        assert image.startswith("ropewalk/") or re.search(r":\d", image), image


def test_ray_nodes_and_drivers_run_the_same_image(compose: dict[str, Any]) -> None:
    names = ("ray-head", "ray-worker", "trainer", "preprocessing")
    assert len({compose["services"][name]["image"] for name in names}) == 1


def test_the_image_has_a_supported_python_and_no_root(root: Path, project: dict[str, Any]) -> None:
    dockerfile = (root / "Dockerfile").read_text()
    version = re.search(r"^ARG PYTHON=(\d+)\.(\d+)$", dockerfile, re.MULTILINE)
    assert version is not None
    assert (3, 11) <= (int(version[1]), int(version[2])) < (3, 13)
    assert project["requires-python"] == ">=3.11,<3.13"
    final_stage = dockerfile.rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in final_stage
    assert "pip install" not in final_stage


def test_what_the_image_copies_is_not_ignored(root: Path) -> None:
    kept = {line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in (root / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == kept
    assert all((root / path).exists() for path in kept)


def test_the_gpu_file_changes_only_what_exists(
    compose: dict[str, Any], gpu: dict[str, Any], settings_names: dict[str, set[str]]
) -> None:
    assert set(gpu["services"]) <= set(compose["services"])
    assert all(name in settings_names["serving"] | settings_names["ingest"] for _, name, _ in values(gpu))
    image = gpu["services"]["triton"]["image"]
    assert image.endswith("-vllm-python-py3")


def test_the_bus_syncs_before_it_acknowledges(compose: dict[str, Any]) -> None:
    assert "sync_interval: always" in compose["configs"]["nats"]["content"]


def test_every_user_of_the_bus_is_itself_with_its_own_seed_and_checks_the_server(
    compose: dict[str, Any], services: tuple[str, ...]
) -> None:
    users = {name: name for name in services} | {"streams": "supervisor"}
    for service, user in users.items():
        definition = compose["services"][service]
        assert definition["environment"]["ROPEWALK_NATS_USER"] == user
        assert definition["environment"]["ROPEWALK_NATS_NKEY_FILE"] == "/run/secrets/nats.seed"
        assert definition["secrets"] == [{"source": f"seed-{user}", "target": "nats.seed"}]
        assert compose["secrets"][f"seed-{user}"] == {"environment": seed_variable(user)}
        authority = {"source": "nats-ca", "target": definition["environment"]["ROPEWALK_NATS_TLS_CA"]}
        assert authority in definition["configs"]
    assert len(compose["secrets"]) == len(users)
    others = {name for name in compose["services"] if name not in users}
    assert not [name for name in others if "secrets" in compose["services"][name]]


def test_the_server_takes_what_keys_create_makes(
    compose: dict[str, Any], tmp_path: Path, check_nats_config: Any
) -> None:
    made = create_deployment(tmp_path / "keys", ("nats", "localhost"))
    (mount,) = [volume for volume in compose["services"]["nats"]["volumes"] if "keys" in volume]
    assert mount == "./keys/server:/etc/nats/keys:ro"
    assert compose["configs"]["nats-ca"]["file"] == "./keys/server/ca.pem"
    text = (
        compose["configs"]["nats"]["content"]
        .replace("/etc/nats/keys", str(made.server))
        .replace("/data", str(tmp_path))
    )
    check_nats_config(made.server.parent, text.replace('include "keys/', 'include "server/'))


def test_the_collector_has_what_its_pipelines_name(compose: dict[str, Any]) -> None:
    collector = yaml.safe_load(compose["configs"]["otel-collector"]["content"])
    for pipeline in collector["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= set(collector[part])
