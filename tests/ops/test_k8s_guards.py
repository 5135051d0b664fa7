"""k8s/: every pod is confined, guarded in a drain and asked how it is; needed flows are allowed, and no others."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from parts.manifests import Manifest, Network, containers_of, manifests, one, pod_specs, templates, workload

from ropewalk.telemetry.catalogue import METRICS, prometheus_name
from ropewalk.telemetry.names import named as named_attributes

SEVERAL = {"ingest", "evaluator"}  # an autoscaler owns their number
ONE = {"preprocessing", "trainer", "checkpoint-manager", "monitor", "otel-collector"}

Pods = list[tuple[Manifest, dict[str, Any]]]


@pytest.fixture(scope="module")
def base(root: Path) -> list[Manifest]:
    return manifests(root / "k8s" / "base")


@pytest.fixture(scope="module")
def dev(root: Path, base: list[Manifest]) -> list[Manifest]:
    """The base with what the dev overlay adds; its patch of the policy `objects` applied."""
    folder = root / "k8s" / "overlays" / "dev"
    patch = yaml.safe_load((folder / "network.yaml").read_text())
    kept = [each for each in base if (each["kind"], each["metadata"]["name"]) != ("NetworkPolicy", "objects")]
    theirs = one(base, "NetworkPolicy", "objects")
    return [*kept, {**theirs, "spec": {**theirs["spec"], **patch["spec"]}}, *manifests(folder)]


@pytest.fixture(scope="module")
def pods(root: Path, dev: list[Manifest]) -> Pods:
    """Everything that makes pods, with each pod."""
    example = list(yaml.safe_load_all((root / "k8s" / "examples" / "rayjob.yaml").read_text()))
    return [(each, pod) for each in (*dev, *example) for pod in pod_specs(each)]


def test_the_namespace_takes_no_pod_that_is_not_confined(base: list[Manifest], pods: Pods) -> None:
    labels = one(base, "Namespace", "ropewalk")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert one(base, "ServiceAccount", "ropewalk")["automountServiceAccountToken"] is False
    allowed = {"emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim"}
    for owner, pod in pods:
        assert pod["serviceAccountName"] == "ropewalk", owner["metadata"]["name"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"} <= allowed
        for container in containers_of(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_our_own_images_run_as_the_user_that_owns_their_folder(pods: Pods) -> None:
    ours = [pod for _, pod in pods if any(c["image"].startswith("ropewalk/") for c in containers_of(pod))]
    assert len(ours) > 9
    assert {pod["securityContext"]["runAsUser"] for pod in ours} == {10001}


def test_every_container_asks_for_what_it_needs_and_has_limits(pods: Pods) -> None:
    for _, pod in pods:
        for container in containers_of(pod):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        assert all("sizeLimit" in v["emptyDir"] for v in pod.get("volumes", []) if "emptyDir" in v)


def test_every_container_that_stays_is_asked_whether_it_started_and_lives(pods: Pods) -> None:
    for owner, pod in pods:
        if owner["kind"] == "Job":
            continue
        for container in containers_of(pod):
            probes = {"startupProbe", "livenessProbe"} | (
                {"readinessProbe"} if container in pod["containers"] else set()
            )
            assert probes <= set(container), container["name"]
            ports = {port["name"] for port in container.get("ports", [])}
            numbers = {port["containerPort"] for port in container.get("ports", [])}
            asked = [container[p].get("httpGet") or container[p].get("tcpSocket") for p in probes]
            assert {each["port"] for each in asked if each} <= ports | numbers


def test_a_drain_takes_one_pod_of_a_kind_at_a_time(dev: list[Manifest]) -> None:
    kinds = ("Deployment", "StatefulSet", "RayCluster")
    guarded = {each["metadata"]["name"] for each in dev if each["kind"] in kinds}
    budgets = [each for each in dev if each["kind"] == "PodDisruptionBudget"]
    assert {each["metadata"]["name"] for each in budgets} == guarded
    for budget in budgets:
        name = budget["metadata"]["name"]
        labels = [template["metadata"]["labels"] for template in templates(workload(dev, name))]
        assert all(each == budget["spec"]["selector"]["matchLabels"] for each in labels)
        assert budget["spec"]["maxUnavailable"] == 1


def test_a_pod_has_more_time_to_end_than_its_service_takes(
    base: list[Manifest], services: tuple[str, ...], defaults: dict[str, object]
) -> None:
    for name in services:
        (pod,) = pod_specs(workload(base, name))
        container = pod["containers"][0]
        given = [each["value"] for each in container["env"] if each["name"] == "ROPEWALK_STOP_GRACE_S"]
        service_s = float(str(given[0] if given else defaults["ROPEWALK_STOP_GRACE_S"]))
        assert pod["terminationGracePeriodSeconds"] > service_s + 2


def test_the_gateway_answers_until_its_probe_has_told_everybody_and_triton_outlives_it(base: list[Manifest]) -> None:
    (pod,) = pod_specs(workload(base, "serving"))
    (gateway,), (triton,) = pod["containers"], pod["initContainers"]
    given = {each["name"]: each.get("value") for each in gateway["env"]}
    probe, drain_s = gateway["readinessProbe"], float(given["ROPEWALK_SERVING_DRAIN_S"])
    assert probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"] < drain_s
    assert float(given["ROPEWALK_STOP_GRACE_S"]) >= drain_s + 20
    assert triton["restartPolicy"] == "Always", "a sidecar ends after the containers"


def test_three_servers_of_the_bus_never_share_a_node(base: list[Manifest]) -> None:
    (pod,) = pod_specs(workload(base, "nats"))
    (rule,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["labelSelector"] == workload(base, "nats")["spec"]["selector"]


def test_only_services_that_may_be_several_are(base: list[Manifest]) -> None:
    numbers = {
        each["metadata"]["name"]: each["spec"].get("replicas")
        for each in base
        if each["kind"] in ("Deployment", "StatefulSet")
    }
    scaled = {each["metadata"]["name"] for each in base if each["kind"] == "HorizontalPodAutoscaler"}
    assert scaled == SEVERAL
    assert {name for name, number in numbers.items() if number is None} == SEVERAL, "two would own the number"
    assert {name for name in ONE if numbers[name] == 1} == ONE
    assert (numbers["nats"], numbers["serving"]) == (3, 2)


def test_the_autoscalers_go_by_a_queue_that_is_exported_and_that_an_instance_shortens(
    root: Path, base: list[Manifest]
) -> None:
    values = yaml.safe_load((root / "k8s" / "examples" / "prometheus-adapter.yaml").read_text())
    (rule,) = values["rules"]["external"]
    exported = prometheus_name("ropewalk.pool.cpus")
    labels = {
        re.sub(r"\W", "_", label) for label in named_attributes(dict.fromkeys(METRICS["ropewalk.pool.cpus"].labels, ""))
    }
    assert rule["seriesQuery"] == exported
    assert set(re.findall(r"\bropewalk_\w+", rule["metricsQuery"])) == labels
    for name in SEVERAL:
        scaler = one(base, "HorizontalPodAutoscaler", name)["spec"]
        (metric,) = scaler["metrics"]
        assert metric["external"]["metric"] == {"name": exported, "selector": {"matchLabels": {"ropewalk_pool": name}}}
        assert scaler["scaleTargetRef"]["name"] == name
        (pod,) = pod_specs(workload(base, name))
        given = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert given["ROPEWALK_POOL"] == name
        # With more room than instances one would do the work of two; with less an instance would wait for nothing.
        assert float(given["ROPEWALK_CAPACITY_CPUS"]) == scaler["maxReplicas"]


def needed(services: tuple[str, ...], found: list[Manifest]) -> set[tuple[str | None, str, int]]:
    """Every flow as (client, server, port), from what the pods are told; None is anybody outside."""
    flows: set[tuple[str | None, str, int]] = {("nats", "nats", 6222), ("checkpoint-manager", "serving", 8080)}
    flows |= {(None, "serving", port) for port in (8080, 8000, 8001)}  # and so does every pod that may go out there
    for name in (*services, "streams"):
        flows |= {(name, "nats", 4222), (name, "otel-collector", 4318)}
        (pod,) = pod_specs(workload(found, name))
        for variable in pod["containers"][0]["env"]:
            if variable["name"] == "ROPEWALK_SERVING_PUBLIC_URL":
                continue  # told to others
            for host, port in re.findall(r"[@/]([a-z-]+):(\d+)", str(variable.get("value", ""))):
                flows.add((name, host, int(port)))
    return flows


def test_every_flow_that_is_needed_is_allowed_and_no_other(dev: list[Manifest], services: tuple[str, ...]) -> None:
    network, flows = Network(dev), needed(services, dev)
    stores = {*services, "ray"}
    flows |= {(name, "objects", 8333) for name in stores}
    apps = {*services, "streams", "nats", "otel-collector", "clickhouse", "ray", "objects"}
    ports = {6222, 4222, 4318, 8889, 13133, 8123, 8080, 8000, 8001, 8090, 6379, 6380, 30000, 8333, 22, 443}
    ray = ("ray", "preprocessing", "trainer")  # nodes and drivers, on any port that needs no rights
    flows |= {each for each in itertools.product(ray, ray, ports) if each[2] >= 1024}
    allowed = {
        (client, server, port)
        for client, server, port in itertools.product([None, *apps], apps, ports)
        if network.allows(client, server, port)
    }
    assert allowed == flows


def test_whoever_reads_or_writes_objects_gets_out_to_the_store_and_nobody_else_gets_out(
    base: list[Manifest], services: tuple[str, ...]
) -> None:
    network = Network(base)
    apps = {*services, "streams", "nats", "otel-collector", "clickhouse", "ray"}
    credentials = {
        each["metadata"]["name"]
        for each in base
        for pod in pod_specs(each)
        if any(v["name"] == "AWS_SECRET_ACCESS_KEY" for c in containers_of(pod) for v in c.get("env", []))
    }
    assert {name for name in apps if network.allows(name, None, 443)} == credentials
    assert not [name for name in apps for port in (22, 80, 4222, 8080) if network.allows(name, None, port)]
    nothing = one(base, "NetworkPolicy", "nothing-else")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_the_pool_of_ray_has_what_its_workers_have(root: Path, base: list[Manifest]) -> None:
    (group,) = one(base, "RayCluster", "ray")["spec"]["workerGroupSpecs"]
    cpus = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"]) * group["replicas"]
    for name in ("preprocessing", "trainer"):
        (pod,) = pod_specs(workload(base, name))
        given = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert (given["ROPEWALK_POOL"], given["ROPEWALK_CAPACITY_CPUS"]) == ("ray", str(cpus))
    for overlay, setting in (("dev", "ROPEWALK_CAPACITY_CPUS"), ("gpu", "ROPEWALK_CAPACITY_GPUS")):
        text = (root / "k8s" / "overlays" / overlay / "pool.yaml").read_text()
        for patch in yaml.safe_load_all(text):
            assert patch["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": setting, "value": "2"}]
