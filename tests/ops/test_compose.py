"""compose.yaml: valid, complete, no secret inside, and the same names, settings and ports as the embedded stack."""

import json
import os
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ropewalk.evaluator.settings import Settings
from ropewalk.local.broker.deployment import create_deployment
from ropewalk.local.container_env import PORTS as PUBLISHED
from ropewalk.local.container_env import SECRETS, Published, ensure_environment, write_client_environment
from ropewalk.local.ports import Ports
from ropewalk.monitor.settings import MonitorSettings

SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|_KEY")
NOT_SECRET = {"RAY_AUTH_MODE"}
# Service -> container ports that the embedded stack offers too.
PORTS = {
    "nats": {Ports().nats},
    "clickhouse": {Ports().clickhouse_http},
    "gateway": {Ports().openai, Ports().triton_http, Ports().triton_grpc, Ports().review},
}
ONCE = {"volumes", "streams"}
# What docker-compose 1.29 does not know, or leaves out without a word.
NOT_IN_V1 = {"configs", "deploy", "develop", "post_start", "pull_policy", "annotations"}


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def gpu(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "compose.gpu.yaml").read_text())


@pytest.fixture(scope="module")
def bus_config(root: Path) -> str:
    return (root / "k8s" / "base" / "config" / "nats-compose.conf").read_text()


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


def published(definition: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """Published ports as (address, variable, its default, inner)."""
    matches = [re.fullmatch(r"([\d.]+):\$\{(\w+):-(\d+)\}:(\d+)", port) for port in definition.get("ports", [])]
    assert None not in matches, definition["ports"]
    return [(found[1], found[2], int(found[3]), int(found[4])) for found in matches if found]


def test_compose_files_follow_the_compose_specification(
    compose_schema: Any, compose: dict[str, Any], gpu: dict[str, Any]
) -> None:
    assert [error.message for file in (compose, gpu) for error in compose_schema.iter_errors(file)] == []


def test_the_compose_specification_refuses_a_misspelt_key(compose_schema: Any, compose: dict[str, Any]) -> None:
    misspelt = {**compose, "services": {"nats": {**compose["services"]["nats"], "healtcheck": {}}}}
    assert not compose_schema.is_valid(misspelt)


def test_the_seven_services_and_their_engines_are_there(compose: dict[str, Any], services: tuple[str, ...]) -> None:
    triton = {"triton", "triton-2"}
    engines = triton | {"nats", "objects", "objects-door", "clickhouse", "ray-head", "ray-worker", "gateway"}
    telemetry = {"otel-collector", "prometheus", "grafana"}
    assert set(compose["services"]) == ONCE | engines | telemetry | set(services) | {"serving-2"}


def test_every_service_runs_its_module(compose: dict[str, Any], services: tuple[str, ...]) -> None:
    for name in services:
        command = " ".join(compose["services"][name]["command"])
        assert command.endswith(f"python -m ropewalk.{name.replace('-', '_')}")


def test_nothing_is_used_that_one_of_the_two_composes_does_not_know(compose: dict[str, Any]) -> None:
    assert {key for key in compose if not key.startswith("x-")} == {"services", "networks", "secrets", "volumes"}
    assert all(list(secret) == ["file"] for secret in compose["secrets"].values())
    for name, definition in compose["services"].items():
        assert not NOT_IN_V1 & set(definition), name
        assert isinstance(definition.get("profiles", []), list)
        assert not {"network_mode", "networks"} <= set(definition), "1.29 refuses both together"


def test_dependencies_and_volumes_exist_and_are_used(compose: dict[str, Any], root: Path) -> None:
    definitions = compose["services"].values()
    sources = [volume.split(":")[0] for definition in definitions for volume in definition.get("volumes", [])]
    assert {source for source in sources if not source.startswith(("$", ".", "/"))} == set(compose["volumes"])
    assert [source for source in sources if source.startswith("./") and not (root / source).exists()] == []
    for definition in definitions:
        assert set(definition.get("depends_on", {})) <= set(compose["services"])


def test_no_container_has_rights_of_root_or_a_file_system_to_write_in(compose: dict[str, Any]) -> None:
    for name, definition in compose["services"].items():
        assert definition["read_only"] is True, name
        assert definition["cap_drop"] == ["ALL"], name
        assert definition["security_opt"] == ["no-new-privileges:true"], name
        assert definition["init"] is True, name
        assert not definition.get("privileged"), name
        if name == "volumes":  # ends at once, and talks to nobody
            assert (definition["user"], definition["cap_add"], definition["network_mode"]) == ("0:0", ["CHOWN"], "none")
        else:
            assert int(definition["user"].split(":")[0]) > 0, name
            assert "cap_add" not in definition, name


def test_every_container_has_limits_a_log_that_rotates_and_is_started_again(compose: dict[str, Any]) -> None:
    for name, definition in compose["services"].items():
        assert re.fullmatch(r"\d+[mg]|\$\{ROPEWALK_RAY_MEMORY:-8g\}", definition["mem_limit"]), name
        assert definition["cpus"] == 1 or name == "ray-worker", "an engine refuses more CPUs than the machine has"
        assert 0 < definition["pids_limit"] <= 4096, name
        assert definition["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert definition["restart"] == ("on-failure" if name in ONCE else "unless-stopped"), name


def test_who_publishes_nothing_reaches_nobody_outside(compose: dict[str, Any]) -> None:
    assert compose["networks"]["back"] == {"internal": True}
    for name, definition in compose["services"].items():
        front = "front" in definition.get("networks", [])
        assert front == bool(definition.get("ports")), name


def test_of_the_object_server_nothing_but_s3_can_be_reached(root: Path, compose: dict[str, Any]) -> None:
    """Its other servers know no keys, and every user of the machine reaches the address of a container."""
    store, door = compose["services"]["objects"], compose["services"]["objects-door"]
    assert store["network_mode"] == "none"
    assert "-s3.localSocket=/sockets/s3" in store["command"]
    assert all(network["aliases"] == ["objects"] for network in door["networks"].values())
    config = (root / "k8s/base/config/haproxy-objects.cfg").read_text()
    assert re.findall(r"^  (?:bind|server) .*", config, re.MULTILINE) == [
        "  bind :8333",
        "  server store unix@/sockets/s3 check inter 1s fall 2 rise 1",
    ]


def test_everybody_who_stays_is_asked_how_it_is_except_the_image_without_a_shell(compose: dict[str, Any]) -> None:
    unasked = {name for name, definition in compose["services"].items() if "healthcheck" not in definition}
    assert unasked == ONCE | {"otel-collector"}


def test_a_volume_of_an_engine_belongs_to_the_user_that_the_engine_runs_as(compose: dict[str, Any]) -> None:
    script = " ".join(compose["services"]["volumes"]["command"])
    for name, definition in compose["services"].items():
        for volume in definition.get("volumes", []):
            source, _, mode = volume.partition(":")[0], *volume.rpartition(":")[1:]
            if mode == "nocopy":  # else the image's own owner comes back with the first start
                given = re.search(rf"chown ([\d:]+)(?: /volumes/[a-z-]+)* /volumes/{source}\b", script)
                assert given, source
                assert given[1] == definition["user"], name


def test_whoever_waits_for_health_waits_for_a_service_with_a_health_check(compose: dict[str, Any]) -> None:
    for definition in compose["services"].values():
        for name, wait in definition.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][name]
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert name in ONCE


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


def test_only_loopback_ports_are_published_and_each_is_a_line_of_the_environment(compose: dict[str, Any]) -> None:
    found = [port for definition in compose["services"].values() for port in published(definition)]
    assert {address for address, *_ in found} == {"127.0.0.1"}
    assert sorted((variable, usual) for _, variable, usual, _ in found) == sorted(PUBLISHED.items())
    assert len(set(PUBLISHED.values())) == len(PUBLISHED)


def test_ports_are_those_of_the_embedded_stack(compose: dict[str, Any], defaults: dict[str, object]) -> None:
    for name, ports in PORTS.items():
        assert {port[2:] for port in published(compose["services"][name])} == {(p, p) for p in ports}
    assert defaults["ROPEWALK_SERVING_PORT"] in PORTS["gateway"]
    assert {defaults[f"ROPEWALK_SERVING_TRITON_{kind}"] for kind in ("HTTP", "GRPC")} < PORTS["gateway"]
    assert defaults["ROPEWALK_NATS_URL"] == f"nats://127.0.0.1:{Ports().nats}"


def test_triton_has_no_port_and_only_its_own_serving_has_its_folder(
    compose: dict[str, Any], gpu: dict[str, Any]
) -> None:
    for pair in ({"triton", "serving"}, {"triton-2", "serving-2"}):
        triton = compose["services"][max(pair)]
        assert triton["network_mode"] == "none"
        (state,) = triton["volumes"]
        assert {name for name, one in compose["services"].items() if state in one.get("volumes", [])} == pair
    command = gpu["services"]["triton"]["command"][-1]
    for kind in ("http", "grpc", "metrics"):
        assert f"--{kind}-address=unix:/var/lib/ropewalk/triton/sockets/{kind}" in command


def test_no_command_line_holds_a_secret(compose: dict[str, Any], gpu: dict[str, Any]) -> None:
    commands = [str(each.get("command", "")) for file in (compose, gpu) for each in file["services"].values()]
    assert not [command for command in commands if SECRET_NAME.search(command) or "x-admin" in command]


def test_every_setting_is_one_that_its_service_reads(
    compose: dict[str, Any], services: tuple[str, ...], settings_names: dict[str, set[str]]
) -> None:
    known = {**settings_names, **dict.fromkeys(("serving-2", "triton", "triton-2"), settings_names["serving"])}
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
    assert {name for _, name, _ in secrets} == set(SECRETS)
    for service, name, value in secrets:
        assert re.fullmatch(rf"\$\{{{name}:\?\}}", value), f"{service}: {name} is {value}"
    for _, _, value in values(compose) + values(gpu):
        assert not re.search(r"://[^$/]*:[^$@/]+@", value)


def test_people_and_dashboards_get_the_password_of_who_reads_and_the_monitor_alone_that_of_who_writes(
    compose: dict[str, Any], tmp_path: Path, root: Path
) -> None:
    environments = {name: one.get("environment", {}) for name, one in compose["services"].items()}
    assert {name for name, one in environments.items() if "CLICKHOUSE_PASSWORD" in str(one)} == {
        "clickhouse",
        "monitor",
    }
    writer = environments["clickhouse"]["CLICKHOUSE_USER"]
    assert f"://{writer}:" in environments["monitor"]["ROPEWALK_MONITOR_CLICKHOUSE_URL"]
    assert writer != MonitorSettings().user
    datasources = (root / "k8s/base/config/grafana/provisioning/datasources/ropewalk.yaml").read_text()
    assert f"username: {MonitorSettings().user}," in datasources
    assert set(re.findall(r"\$(\w+)", datasources)) == {"ROPEWALK_MONITOR_TOKEN"} < set(environments["grafana"])
    told = ensure_environment(tmp_path / ".env", Published(keys=tmp_path / "keys", project="p", ports_from=0))
    write_client_environment(tmp_path / "client.env", told, create_deployment(tmp_path / "keys", ("nats",)))
    client = (tmp_path / "client.env").read_text()
    assert told["CLICKHOUSE_PASSWORD"] not in client
    assert f"export ROPEWALK_CLIENT_CLICKHOUSE_TOKEN={told['ROPEWALK_MONITOR_TOKEN']}\n" in client


def test_two_images_come_from_one_recipe_with_the_version_of_the_project(
    compose: dict[str, Any], root: Path, project: dict[str, Any], services: tuple[str, ...]
) -> None:
    version = project["version"]
    ours = {name: one for name, one in compose["services"].items() if one["image"].startswith("ropewalk/")}
    assert set(services) <= set(ours)
    for name, definition in ours.items():
        extra = definition["build"]["args"]["EXTRA"]
        assert definition["image"] == f"ropewalk/{extra}:${{ROPEWALK_VERSION:-{version}}}", name
        assert extra in project["optional-dependencies"]
    small = {name for name, one in ours.items() if one["build"]["args"]["EXTRA"] == "core"}
    assert small == {"volumes", "streams", "ingest", "monitor"}


def test_other_images_are_pinned(compose: dict[str, Any], gpu: dict[str, Any]) -> None:
    images = [d["image"] for file in (compose, gpu) for d in file["services"].values() if "image" in d]
    for image in images:
        assert image.startswith("ropewalk/") or re.search(r":v?\d", image), image


def test_ray_nodes_and_drivers_run_the_same_image(compose: dict[str, Any]) -> None:
    names = ("ray-head", "ray-worker", "trainer", "preprocessing")
    assert len({compose["services"][name]["image"] for name in names}) == 1


def test_the_gpu_file_changes_only_what_exists(
    compose: dict[str, Any], gpu: dict[str, Any], settings_names: dict[str, set[str]]
) -> None:
    assert set(gpu["services"]) <= set(compose["services"])
    assert all(name in settings_names["serving"] | settings_names["ingest"] for _, name, _ in values(gpu))
    image = gpu["services"]["triton"]["image"]
    assert image.endswith("-vllm-python-py3")


def test_the_bus_syncs_before_it_acknowledges(bus_config: str) -> None:
    assert "sync_interval: always" in bus_config


def test_every_user_of_the_bus_is_itself_with_its_own_seed_and_checks_the_server(
    compose: dict[str, Any], services: tuple[str, ...]
) -> None:
    users = {name: name for name in services} | {"streams": "supervisor", "serving-2": "serving"}
    for service, user in users.items():
        definition = compose["services"][service]
        assert definition["environment"]["ROPEWALK_NATS_USER"] == user
        assert definition["environment"]["ROPEWALK_NATS_NKEY_FILE"] == "/run/secrets/nats.seed"
        assert definition["environment"]["ROPEWALK_NATS_TLS_CA"] == "/run/secrets/nats-ca.pem"
        assert definition["secrets"] == [{"source": f"seed-{user}", "target": "nats.seed"}, "nats-ca.pem"]
        assert compose["secrets"][f"seed-{user}"]["file"] == f"${{ROPEWALK_KEYS:-./keys}}/seeds/{user}.seed"
    assert {name for name in compose["services"] if "secrets" in compose["services"][name]} == set(users)


def test_the_server_takes_what_keys_create_makes(
    compose: dict[str, Any], bus_config: str, tmp_path: Path, check_nats_config: Any
) -> None:
    made = create_deployment(tmp_path / "keys", ("nats", "localhost"))
    assert "${ROPEWALK_KEYS:-./keys}/server:/etc/nats-keys:ro" in compose["services"]["nats"]["volumes"]
    assert compose["secrets"]["nats-ca.pem"]["file"] == "${ROPEWALK_KEYS:-./keys}/server/ca.pem"
    text = bus_config.replace("/etc/nats-keys", str(made.server)).replace('"/data"', f'"{tmp_path}"')
    check_nats_config(made.server.parent, text.replace('include "../nats-keys/', 'include "server/'))


def test_keys_for_judges_lie_where_the_evaluator_looks_and_only_it_gets_a_way_out(
    compose: dict[str, Any], compose_schema: Any, root: Path, tmp_path: Path
) -> None:
    looked_at = Settings(state_dir=Path("/var/lib/ropewalk")).judge_keys  # as the image says
    assert f"${{ROPEWALK_KEYS:-./keys}}/judges:{looked_at}:ro" in compose["services"]["evaluator"]["volumes"]
    assert [name for name, one in compose["services"].items() if "/judges" in str(one)] == ["evaluator"]
    create_deployment(tmp_path / "keys", ("nats",))
    made = tmp_path / "keys" / "judges"
    (made / "judge.example").write_text("k")
    create_deployment(tmp_path / "keys", ("nats",))
    assert ([each.name for each in made.iterdir()], made.stat().st_mode & 0o777) == (["judge.example"], 0o755)
    judges = yaml.safe_load((root / "compose.judges.yaml").read_text())
    assert list(compose_schema.iter_errors(judges)) == []
    assert judges == {"services": {"evaluator": {"networks": ["front", "back"]}}}


@pytest.mark.parametrize("line", ["A=b", 'A="b"', "export A=b", "A=b # mine", "A=b\r", "A='b'\r"])
def test_the_script_reads_a_line_of_env_as_compose_does(root: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"A=before\n{line}\nB=c\n", newline="")
    script = (root / ".ci/compose").read_text()
    told = script[script.index("\ntold() {") : script.index("\n}\n", script.index("\ntold() {")) + 3]
    command = ["bash", "-euc", f"{told}\nenv_file=$1\ntold A", "bash", tmp_path / ".env"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "b\n"


@pytest.mark.parametrize("what", ["up", "down", "clean"])
def test_nobody_starts_or_stops_a_stack_while_another_does(root: Path, tmp_path: Path, what: str) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\ncase $* in version | 'compose version') ;; *) echo touched >&2; exit 9 ;; esac\n")
    docker.chmod(0o755)
    (tmp_path / "stack").mkdir()
    told = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ROPEWALK_ENV": str(tmp_path / "stack/.env")}
    command = ["flock", tmp_path / "stack", root / ".ci/compose", what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **told})
    assert (done.returncode, "touched" in done.stderr) == (2, False)
    assert "another make compose-... of this stack is at work" in done.stderr
