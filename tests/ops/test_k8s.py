"""k8s/: valid manifests, no secret inside, and the same names, settings, images and commands as compose.yaml."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from parts.manifests import (
    RAY_KINDS,
    Manifest,
    command_lines,
    containers_of,
    manifests,
    named,
    one,
    pod_specs,
    workload,
)

from ropewalk.evaluator.settings import Settings
from ropewalk.local.broker.deployment import create_deployment

VERSION = "1.33"
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|_KEY")
OVERLAYS = ("dev", "gpu")


@pytest.fixture(scope="module")
def base(root: Path) -> list[Manifest]:
    return manifests(root / "k8s" / "base")


@pytest.fixture(scope="module")
def everything(root: Path, base: list[Manifest]) -> list[Manifest]:
    example = yaml.safe_load_all((root / "k8s" / "examples" / "rayjob.yaml").read_text())
    return [*base, *manifests(root / "k8s" / "overlays" / "dev"), *example]


@pytest.fixture(scope="module")
def containers(everything: list[Manifest]) -> list[dict[str, Any]]:
    return [container for manifest in everything for pod in pod_specs(manifest) for container in containers_of(pod)]


@pytest.fixture(scope="module")
def compose(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def settings_map(root: Path) -> dict[str, str]:
    """The ConfigMap that every service reads."""
    kustomization = yaml.safe_load((root / "k8s" / "base" / "kustomization.yaml").read_text())
    (generated,) = [each for each in kustomization["configMapGenerator"] if each["name"] == "ropewalk"]
    return dict(literal.split("=", 1) for literal in generated["literals"])


def test_every_manifest_of_a_built_in_kind_is_valid(everything: list[Manifest]) -> None:
    checked = [manifest for manifest in everything if manifest["kind"] not in RAY_KINDS]
    assert len(checked) > 20
    for manifest in checked:
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_the_validator_refuses_a_misspelt_key(base: list[Manifest]) -> None:
    wrong = {**one(base, "Deployment", "ingest"), "spec": {"replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_file_of_the_base_is_listed(root: Path) -> None:
    folder = root / "k8s" / "base"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    listed = set(kustomization["resources"]) | set(kustomization["configurations"])
    assert {path.name for path in folder.iterdir()} == listed | {"kustomization.yaml", "config"}
    generated = [name for each in kustomization["configMapGenerator"] for name in each.get("files", [])]
    assert all((folder / name).is_file() for name in generated)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_patch_changes_an_object_that_exists(root: Path, base: list[Manifest], overlay: str) -> None:
    folder = root / "k8s" / "overlays" / overlay
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert "../../base" in kustomization["resources"]
    for patch in kustomization["patches"]:
        if "target" in patch:
            kind, name = patch["target"]["kind"], patch["target"].get("name", ".*")
            assert [each for each in base if each["kind"] == kind and re.fullmatch(name, each["metadata"]["name"])]
            continue
        for changed in yaml.safe_load_all((folder / patch["path"]).read_text()):
            existing = one(base, changed["kind"], changed["metadata"]["name"])
            names = {container["name"] for pod in pod_specs(existing) for container in containers_of(pod)}
            assert {container["name"] for pod in pod_specs(changed) for container in containers_of(pod)} <= names


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on this machine")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_the_overlay_into_valid_objects(root: Path, overlay: str) -> None:
    command = ["kubectl", "kustomize", str(root / "k8s" / "overlays" / overlay)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    objects = list(yaml.safe_load_all(built))
    generated = {each["metadata"]["name"] for each in objects if each["kind"] == "ConfigMap"}
    for manifest in objects:
        if manifest["kind"] not in RAY_KINDS:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
        for pod in pod_specs(manifest):
            for container in containers_of(pod):
                sources = {each["configMapRef"]["name"] for each in container.get("envFrom", [])}
                assert sources <= generated, f"{container['name']} names a ConfigMap without its hash"


def test_the_seven_services_run_what_compose_runs(
    base: list[Manifest], compose: dict[str, Any], services: tuple[str, ...]
) -> None:
    for name in (*services, "triton"):
        (pod,) = pod_specs(workload(base, "serving" if name == "triton" else name))
        container = named(containers_of(pod), name)
        theirs = compose["services"][name]
        assert container["image"] == theirs["image"].partition(":")[0]
        assert " ".join(container["command"]) == " ".join(theirs["command"]).replace("$$", "$")


def test_whoever_has_an_init_in_compose_has_one_here(
    base: list[Manifest], compose: dict[str, Any], services: tuple[str, ...]
) -> None:
    """With one process namespace for the pod, its pause reaps. Triton must not see the endpoint's environment."""
    pods = {name: pod for name in services for pod in pod_specs(workload(base, name))}
    pods |= dict(zip(("ray-head", "ray-worker"), pod_specs(one(base, "RayCluster", "ray")), strict=True))
    shared = {name for name, pod in pods.items() if pod.get("shareProcessNamespace")}
    alone = {name for name, pod in pods.items() if len(containers_of(pod)) == 1}
    assert alone == {*services, "ray-head", "ray-worker"} - {"serving"}
    assert shared == {name for name in alone if compose["services"][name]["init"]}


def test_other_images_are_those_of_compose(
    everything: list[Manifest], containers: list[dict[str, Any]], compose: dict[str, Any], project: dict[str, Any]
) -> None:
    known = {definition["image"] for definition in compose["services"].values()}
    ours = {"ropewalk/core", "ropewalk/ml"}
    ray = one(everything, "RayJob", "look")["spec"]["rayClusterSpec"]["rayVersion"]
    of_the_example = {f"rayproject/ray:{ray}-py311", f"ropewalk/ml:{project['version']}"}
    assert {container["image"] for container in containers} <= known | ours | of_the_example


def test_image_tags_are_the_version_of_the_project(
    root: Path, project: dict[str, Any], compose: dict[str, Any]
) -> None:
    kustomization = yaml.safe_load((root / "k8s" / "base" / "kustomization.yaml").read_text())
    images = [d["image"] for d in compose["services"].values()]
    ours = {image.partition(":")[0] for image in images if image.startswith("ropewalk/")}
    assert {image["name"] for image in kustomization["images"]} == ours
    assert {str(image["newTag"]) for image in kustomization["images"]} == {project["version"]}


# On one machine all services share its CPUs; in a cluster each has its own, and those that drive Ray share Ray's. The
# password becomes a part of the monitor's URL where compose does the same with its own variables.
OF_THE_CLUSTER = {"ROPEWALK_POOL", "ROPEWALK_CAPACITY_CPUS", "CLICKHOUSE_PASSWORD"}


def test_every_service_has_the_settings_it_has_in_compose(
    base: list[Manifest], compose: dict[str, Any], settings_map: dict[str, str], services: tuple[str, ...]
) -> None:
    for name in services:
        (pod,) = pod_specs(workload(base, name))
        container = named(pod["containers"], name)
        ours = {each["name"] for each in container["env"]} | set(settings_map)
        theirs = {*compose["services"][name]["environment"], "RAY_USAGE_STATS_ENABLED"}
        assert ours - OF_THE_CLUSTER == theirs - OF_THE_CLUSTER, name


def test_every_setting_is_one_that_its_service_reads(
    base: list[Manifest], settings_map: dict[str, str], settings_names: dict[str, set[str]]
) -> None:
    for name, known in settings_names.items():
        (pod,) = pod_specs(workload(base, name))
        given = {each["name"] for container in containers_of(pod) for each in container.get("env", [])}
        given |= set(settings_map)
        assert {setting for setting in given if setting.startswith("ROPEWALK_")} <= known, name


def test_services_are_restarted_for_a_hanging_loop_and_not_for_a_bus_that_is_away(
    base: list[Manifest], settings_map: dict[str, str], services: tuple[str, ...]
) -> None:
    for name in services:
        (pod,) = pod_specs(workload(base, name))
        container = named(pod["containers"], name)
        ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        assert ports["health"] == settings_map["ROPEWALK_HEALTH_PORT"]
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["httpGet"] == {"path": "/live", "port": "health"}
        assert container["readinessProbe"]["httpGet"]["path"] == ("/healthz" if name == "serving" else "/ready")


def test_no_manifest_holds_a_secret(everything: list[Manifest], containers: list[dict[str, Any]]) -> None:
    assert not [manifest for manifest in everything if manifest["kind"] == "Secret"]
    seen = set()
    for container in containers:
        for variable in container.get("env", []):
            if SECRET_NAME.search(variable["name"]):
                assert variable["valueFrom"]["secretKeyRef"] == {"name": "ropewalk", "key": variable["name"]}
                seen.add(variable["name"])
            else:
                assert not SECRET_NAME.search(str(variable.get("value", "")).replace("$(CLICKHOUSE_PASSWORD)", ""))
    assert {"RAY_AUTH_TOKEN", "ROPEWALK_SERVING_DEMO_KEY"} <= seen


def test_the_documentation_names_every_key_of_the_secret(root: Path, containers: list[dict[str, Any]]) -> None:
    text = (root / "docs" / "profiles.md").read_text()
    keys = {
        variable["name"]
        for container in containers
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert {key for key in keys if key not in text} == set()


def test_prometheus_of_an_operator_scrapes_the_collector_and_gets_the_rules_of_compose(
    root: Path, base: list[Manifest]
) -> None:
    text = (root / "k8s" / "examples" / "prometheus-operator.yaml").read_text()
    monitor = yaml.safe_load(text)
    (service,) = [each for each in base if each["kind"] == "Service" and each["metadata"]["name"] == "otel-collector"]
    assert monitor["metadata"]["namespace"] == one(base, "Namespace", "ropewalk")["metadata"]["name"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["honorLabels"] is True
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    (line,) = re.findall(r"^#   (\{ .*) \| kubectl apply -f -$", text, re.MULTILINE)
    made = yaml.safe_load(
        subprocess.run(["sh", "-c", line], cwd=root, capture_output=True, text=True, check=True).stdout
    )
    assert made["kind"] == "PrometheusRule"
    rules = yaml.safe_load((root / "k8s" / "base" / "config" / "ropewalk-rules.yaml").read_text())
    assert made["spec"] == rules


def test_services_select_pods_and_name_their_ports(everything: list[Manifest]) -> None:
    for service in [manifest for manifest in everything if manifest["kind"] == "Service"]:
        selector = service["spec"]["selector"]
        (workload,) = [
            manifest
            for manifest in everything
            if manifest.get("spec", {}).get("template", {}).get("metadata", {}).get("labels") == selector
        ]
        (pod,) = pod_specs(workload)
        ports = {port["name"]: port["containerPort"] for c in containers_of(pod) for port in c.get("ports", [])}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_hosts_in_settings_are_services(
    everything: list[Manifest], settings_map: dict[str, str], containers: list[dict[str, Any]]
) -> None:
    known = {manifest["metadata"]["name"] for manifest in everything if manifest["kind"] == "Service"}
    known.add("ray-head-svc")  # KubeRay makes it
    given = [*settings_map.values(), *(str(v.get("value", "")) for c in containers for v in c.get("env", []))]
    hosts = {host for value in given for host in re.findall(r"(?:://|^)(?:nats-\d\.)?([a-z][a-z-]+):\d+", value)}
    assert {"nats-peers", "otel-collector", "serving", "ray-head-svc"} <= hosts <= known


def test_mounts_have_volumes(everything: list[Manifest]) -> None:
    for manifest in everything:
        claims = {claim["metadata"]["name"] for claim in manifest.get("spec", {}).get("volumeClaimTemplates", [])}
        for pod in pod_specs(manifest):
            volumes = {volume["name"] for volume in pod.get("volumes", [])} | claims
            mounted = {mount["name"] for c in containers_of(pod) for mount in c.get("volumeMounts", [])}
            assert mounted == volumes


def test_the_bus_has_three_servers_and_three_copies(root: Path, base: list[Manifest]) -> None:
    nats = one(base, "StatefulSet", "nats")
    assert nats["spec"]["replicas"] == 3
    config = (root / "k8s" / "base" / "config" / "nats.conf").read_text()
    assert "sync_interval: always" in config
    assert config.count(f".{nats['spec']['serviceName']}:6222") == 3
    (pod,) = pod_specs(one(base, "Job", "streams"))
    (container,) = pod["containers"]
    assert named(container["env"], "ROPEWALK_NATS_REPLICAS")["value"] == "3"


def test_every_user_of_the_bus_is_itself_and_is_given_one_seed(
    base: list[Manifest], services: tuple[str, ...], settings_map: dict[str, str]
) -> None:
    users = {name: name for name in services} | {"streams": "supervisor"}
    folder = settings_map["ROPEWALK_NATS_NKEY_FILE"].removesuffix("/nats.seed")
    spec = one(base, "StatefulSet", "nats")["spec"]
    servers = [f"tls://nats-{number}.{spec['serviceName']}:4222" for number in range(spec["replicas"])]
    assert settings_map["ROPEWALK_NATS_URL"].split(",") == servers
    assert settings_map["ROPEWALK_NATS_TLS_CA"] == f"{folder}/ca.pem"
    for name, user in users.items():
        (pod,) = pod_specs(workload(base, name))
        container = named(pod["containers"], name)
        assert named(container["env"], "ROPEWALK_NATS_USER")["value"] == user
        assert named(container["volumeMounts"], "bus")["mountPath"] == folder
        seeds, authority = (each["secret"] for each in named(pod["volumes"], "bus")["projected"]["sources"])
        assert seeds == {"name": "ropewalk-seeds", "items": [{"key": f"{user}.seed", "path": "nats.seed"}]}
        assert authority == {"name": "ropewalk-nats", "items": [{"key": "ca.pem", "path": "ca.pem"}]}
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    elsewhere = [manifest for manifest in base if manifest["metadata"]["name"] not in users]
    assert "ropewalk-seeds" not in yaml.safe_dump_all(elsewhere)


def test_keys_for_judges_lie_where_the_evaluator_looks_and_it_begins_without(
    base: list[Manifest],
) -> None:
    (pod,) = pod_specs(workload(base, "evaluator"))
    (container,) = pod["containers"]
    settings = Settings(state_dir=Path("/var/lib/ropewalk"))  # as the image says
    assert named(container["volumeMounts"], "judge-keys")["mountPath"] == str(settings.judge_keys)
    assert named(pod["volumes"], "judge-keys")["secret"]["optional"]


def test_the_servers_take_what_keys_create_makes(root: Path, tmp_path: Path, check_nats_config: Any) -> None:
    made = create_deployment(tmp_path / "nats-keys", ("nats", *(f"nats-{number}.nats-peers" for number in range(3))))
    text = (root / "k8s" / "base" / "config" / "nats.conf").read_text().replace("/etc/nats-keys", str(made.server))
    text = text.replace('"/data"', f'"{tmp_path}"').replace("$POD_NAME", "nats-0")
    config = text.replace('include "../nats-keys/', 'include "server/')
    check_nats_config(made.server.parent, config)
    with pytest.raises(AssertionError, match="nats-server: "):  # it is really read
        check_nats_config(made.server.parent, config.replace("jetstream", "jetsteam"))


def test_the_ray_cluster_is_what_kuberay_wants(base: list[Manifest], project: dict[str, Any]) -> None:
    cluster = one(base, "RayCluster", "ray")
    assert cluster["apiVersion"] == "ray.io/v1"
    (pinned,) = [each for each in project["optional-dependencies"]["preprocessing"] if each.startswith("ray")]
    assert cluster["spec"]["rayVersion"].startswith(pinned.partition("==")[2].removesuffix("*"))
    head = cluster["spec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    for group in cluster["spec"]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["groupName"]
    for group in (head, *cluster["spec"]["workerGroupSpecs"]):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert named(container["env"], "RAY_AUTH_MODE")["value"] == "token"


def test_triton_has_no_port_and_no_command_line_holds_a_secret(root: Path, base: list[Manifest]) -> None:
    (pod,) = pod_specs(workload(base, "serving"))
    assert "ports" not in named(containers_of(pod), "triton")
    (overlay,) = pod_specs(yaml.safe_load((root / "k8s" / "overlays" / "gpu" / "serving.yaml").read_text()))
    for kind in ("http", "grpc", "metrics"):
        assert f"--{kind}-address=unix:" in named(containers_of(overlay), "triton")["command"][-1]
    for container in (
        *containers_of(overlay),
        *(c for each in base for p in pod_specs(each) for c in containers_of(p)),
    ):
        assert not SECRET_NAME.search(" ".join(container.get("command", [])))


def test_the_gpu_overlay_gives_triton_and_ray_a_gpu(root: Path) -> None:
    folder = root / "k8s" / "overlays" / "gpu"
    (pod,) = pod_specs(yaml.safe_load((folder / "serving.yaml").read_text()))
    triton = named(pod["initContainers"], "triton")
    assert triton["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert triton["image"].endswith("-vllm-python-py3")
    (patch,) = [
        each
        for each in yaml.safe_load((folder / "kustomization.yaml").read_text())["patches"]
        if each.get("target", {}).get("kind") == "RayCluster"
    ]
    assert yaml.safe_load(patch["patch"])[0]["path"].endswith("/limits/nvidia.com~1gpu")


def test_no_secret_is_on_a_command_line_and_the_buss_monitoring_is_for_its_own_container(root: Path) -> None:
    """Everybody on a node may read command lines; what they need comes in the environment or in files."""
    for path in [*(root / "k8s").rglob("*.yaml"), *root.glob("compose*.yaml")]:
        for document in yaml.safe_load_all(path.read_text()):
            for line in command_lines(document):
                assert not SECRET_NAME.search(line), (path.name, line)
    for text in [path.read_text() for path in (root / "k8s" / "base" / "config").glob("nats*.conf")]:
        assert 'http: "127.0.0.1:8222"' in text
        assert 'http: "0.0.0.0' not in text
