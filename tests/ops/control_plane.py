"""What control_plane.sh asks of a control plane: both overlays are taken, admitted, scheduled and guarded.

Nodes and volumes are only written down: there is no kubelet, so "ready" is written by this script too.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RAY_KINDS = ("RayCluster", "RayJob")
NODES = {  # overlay -> number, CPUs, memory, GPUs of each
    "dev": (1, "8", "16Gi", "0"),
    "gpu": (4, "16", "64Gi", "2"),
}
Manifest = dict[str, Any]


def kubectl(*arguments: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """kubectl, with `text` as its input. Ends the script with its words if it fails."""
    done = subprocess.run(["kubectl", *arguments], input=text, capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit(f"kubectl {' '.join(arguments)}: {done.stderr}")
    return done


def items(kind: str) -> list[Manifest]:
    """All objects of a kind in the namespace."""
    found: list[Manifest] = json.loads(kubectl("get", kind, "--output=json").stdout)["items"]
    return found


def wait(what: str, seen: Callable[[], bool]) -> None:
    """Until it is so; for two minutes."""
    end = time.monotonic() + 120
    while not seen():
        if time.monotonic() > end:
            events = kubectl("get", "events", "--field-selector=type=Warning").stdout
            sys.exit(f"in vain: {what}\n{events}")
        time.sleep(0.5)


def make_nodes(overlay: str) -> None:
    """Nodes that are ready, and volumes that can be claimed."""
    number, cpus, memory, gpus = NODES[overlay]
    size = {"cpu": cpus, "memory": memory, "pods": "110", "ephemeral-storage": "500Gi", "nvidia.com/gpu": gpus}
    condition = {"type": "Ready", "status": "True", "reason": "Written", "message": "", **_now()}
    for one in range(number):
        name = f"{overlay}-{one}"
        labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"zone-{one % 3}"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        kubectl("apply", "--filename=-", text=json.dumps(node))
        status = {"status": {"capacity": size, "allocatable": size, "conditions": [condition]}}
        kubectl("patch", "node", name, "--subresource=status", "--patch", json.dumps(status))
    for one in range(8):
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{overlay}-{one}"},
            "spec": {
                "capacity": {"storage": "100Gi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "written",
                "hostPath": {"path": "/nowhere"},
            },
        }
        kubectl("apply", "--filename=-", text=json.dumps(volume))


def _now() -> dict[str, str]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"lastHeartbeatTime": now, "lastTransitionTime": now}


def apply(overlay: str, with_ray: bool) -> list[Manifest]:
    """Apply an overlay twice, strictly; nothing may be warned of, and the second time nothing may be refused."""
    built = kubectl("kustomize", str(ROOT / "k8s" / "overlays" / overlay)).stdout
    built += "---\n" + (ROOT / "k8s" / "examples" / "rayjob.yaml").read_text()
    objects = [each for each in yaml.safe_load_all(built) if with_ray or each["kind"] not in RAY_KINDS]
    for _ in range(2):
        done = kubectl("apply", "--server-side", "--validate=strict", "--filename=-", text=yaml.safe_dump_all(objects))
        assert "Warning" not in done.stderr, done.stderr
    return objects


def wanted(objects: list[Manifest]) -> int:
    """Pods that have to come, without those of Ray: its operator makes them."""
    scalers = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "HorizontalPodAutoscaler"}
    number = 0
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet"):
            scaler = scalers.get(each["metadata"]["name"])
            number += scaler["minReplicas"] if scaler else each["spec"]["replicas"]
        number += each["kind"] == "Job"
    return number


def ray_pods(objects: list[Manifest]) -> list[Manifest]:
    """What KubeRay would make of a RayCluster or RayJob, as far as we wrote it."""
    pods = []
    for each in objects:
        if each["kind"] in RAY_KINDS:
            spec = each["spec"].get("rayClusterSpec", each["spec"])
            for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
                name = f"{each['metadata']['name']}-{group.get('groupName', 'head')}"
                metadata = {**group["template"]["metadata"], "name": name}
                pods.append(
                    {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": group["template"]["spec"]}
                )
    return pods


def all_scheduled(number: int) -> bool:
    """Whether so many pods have a node."""
    return sum("nodeName" in pod["spec"] for pod in items("pods")) == number


def make_ready() -> None:
    """Say of every pod what a kubelet would say once its probes pass."""
    for pod in items("pods"):
        conditions = [{"type": kind, "status": "True", **_now()} for kind in ("Ready", "ContainersReady")]
        for condition in conditions:
            del condition["lastHeartbeatTime"]
        status = {"status": {"phase": "Running", "conditions": conditions}}
        kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--patch", json.dumps(status))


def evict(pod: str) -> bool:
    """What a drain of its node does. Whether the pod may go."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "ropewalk"}}
    path = f"/api/v1/namespaces/ropewalk/pods/{pod}/eviction"
    done = kubectl("create", f"--raw={path}", "--filename=-", text=json.dumps(eviction), check=False)
    assert done.returncode == 0 or "disruption budget" in done.stderr, done.stderr
    return done.returncode == 0


def play(overlay: str, with_ray: bool) -> None:
    """One overlay from an empty namespace to a drain, and away again."""
    make_nodes(overlay)
    objects = apply(overlay, with_ray)
    wait("every pod is admitted and has a node", lambda: all_scheduled(wanted(objects)))
    for pod in ray_pods(objects):
        done = kubectl("create", "--dry-run=server", "--filename=-", text=json.dumps(pod))
        assert "Warning" not in done.stderr, done.stderr
    root = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}}
    root["spec"] = {"containers": [{"name": "root", "image": "root"}]}
    refused = kubectl("create", "--filename=-", text=json.dumps(root), check=False)
    assert "violates PodSecurity" in refused.stderr, refused.stderr

    servers = [pod for pod in items("pods") if pod["metadata"]["name"].startswith("nats-")]
    nodes = {pod["spec"]["nodeName"] for pod in servers}
    assert len(nodes) == (1 if overlay == "dev" else 3), nodes
    make_ready()
    budgets = [each for each in objects if each["kind"] == "PodDisruptionBudget"]
    guarded = len(budgets) - 1  # that of Ray guards nothing yet
    wait(
        "every budget lets one go",
        lambda: sum(b["status"].get("disruptionsAllowed") == 1 for b in items("pdb")) == guarded,
    )
    assert evict("nats-0")
    assert not evict("nats-1"), "two of three servers may not go"
    print(f"{overlay}: {len(objects)} objects taken, {wanted(objects)} pods admitted and scheduled, drains guarded")

    kubectl("delete", "namespace", "ropewalk", "--wait=false")
    kubectl("delete", "pods", "--all", "--force", "--grace-period=0", check=False)
    kubectl("delete", "nodes", "--all")
    kubectl("delete", "persistentvolumes", "--all", "--wait=false")
    wait("the namespace is gone", lambda: kubectl("get", "namespace", "ropewalk", check=False).returncode != 0)


def main() -> None:
    """Definitions of KubeRay first, then one overlay after the other."""
    definitions = sys.argv[1] if len(sys.argv) > 1 else ""
    if definitions:
        kubectl("apply", "--server-side", f"--filename={definitions}")
        wait("RayCluster is a kind", lambda: kubectl("get", "rayclusters,rayjobs", check=False).returncode == 0)
    annotation = {"storageclass.kubernetes.io/is-default-class": "true"}
    store = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "kubernetes.io/no-provisioner"}
    kubectl(
        "apply", "--filename=-", text=json.dumps({**store, "metadata": {"name": "written", "annotations": annotation}})
    )
    version = json.loads(kubectl("version", "--output=json").stdout)["serverVersion"]["gitVersion"]
    print(f"control plane {version}, {'with' if definitions else 'without'} KubeRay's definitions")
    for overlay in NODES:
        play(overlay, bool(definitions))


if __name__ == "__main__":
    main()
