"""Reads k8s/ without kustomize: the objects of a folder, the pods they make, and what its network policies allow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
RAY_KINDS = ("RayCluster", "RayJob")


def manifests(folder: Path) -> list[Manifest]:
    """Every object of a kustomization's own resources."""
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = [folder / name for name in listed if name.endswith(".yaml")]
    return [manifest for file in files for manifest in yaml.safe_load_all(file.read_text())]


def pod_specs(manifest: Manifest) -> list[dict[str, Any]]:
    """The pods that an object makes."""
    return [template["spec"] for template in templates(manifest)]


def templates(manifest: Manifest) -> list[dict[str, Any]]:
    """The same with their metadata."""
    spec = manifest.get("spec", {})
    if manifest["kind"] in RAY_KINDS:
        cluster = spec.get("rayClusterSpec", spec)
        return [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    return [spec["template"]] if "template" in spec else []


def containers_of(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All of a pod, those that start before the others too."""
    return [*pod.get("initContainers", []), *pod.get("containers", [])]


def named(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The one of that name."""
    (one,) = [each for each in found if each["name"] == name]
    return one


def one(found: list[Manifest], kind: str, name: str) -> Manifest:
    """The object of that kind and name."""
    (match,) = [each for each in found if each["kind"] == kind and each["metadata"]["name"] == name]
    return match


def workload(found: list[Manifest], name: str) -> Manifest:
    """What makes the pods of that name."""
    (match,) = [each for each in found if each["metadata"]["name"] == name and pod_specs(each)]
    return match


class Network:
    """What policies let through, as the API defines it: both ends must allow it; a pod that none chose is open."""

    def __init__(self, found: list[Manifest]) -> None:
        self._policies = [each["spec"] for each in found if each["kind"] == "NetworkPolicy"]

    def allows(self, client: str | None, server: str | None, port: int) -> bool:
        """Whether pods labelled `client` reach those labelled `server`; None is anybody outside of the namespace."""
        out = client is None or self._open("Egress", client, server, port)
        return out and (server is None or self._open("Ingress", server, client, port))

    def _open(self, way: str, here: str, there: str | None, port: int) -> bool:
        rules = [each.get(way.lower(), []) for each in self._policies if way in each["policyTypes"] and _is(here, each)]
        return not rules or any(self._fits(rule, way, there, port) for several in rules for rule in several)

    def _fits(self, rule: dict[str, Any], way: str, there: str | None, port: int) -> bool:
        peers = rule.get("to" if way == "Egress" else "from")
        ports = rule.get("ports")
        right_port = ports is None or any(each["port"] <= port <= each.get("endPort", each["port"]) for each in ports)
        # A peer with a namespaceSelector is in another namespace and no client or server of the tests.
        inside = peers is None or any("namespaceSelector" not in peer and _is(there, peer) for peer in peers)
        return right_port and inside


def _is(app: str | None, holder: dict[str, Any]) -> bool:
    selector = holder["podSelector"]
    wanted = [*selector.get("matchLabels", {}).values()]
    chosen = [value for each in selector.get("matchExpressions", []) for value in each["values"]]
    return not selector or app in (*wanted, *chosen)


def command_lines(node: Any) -> Iterator[str]:
    """Every `command`, `args`, `entrypoint` and `test` in a manifest."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in {"command", "args", "entrypoint", "test"} and isinstance(value, list | str):
                yield str(value)
            else:
                yield from command_lines(value)
    elif isinstance(node, list):
        for value in node:
            yield from command_lines(value)
