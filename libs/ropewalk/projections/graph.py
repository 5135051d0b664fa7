"""Lineage as a graph over all runs: up to where something came from, down to what became of it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from ropewalk.projections.fold import Json

NodeKind = Literal["source", "segment", "dataset", "run", "checkpoint", "model", "endpoint"]

KINDS: tuple[NodeKind, ...] = get_args(NodeKind)


@dataclass(frozen=True)
class Node:
    """Something with an id. Runs share sources, segments and dataset versions."""

    kind: NodeKind
    identity: str


@dataclass
class Graph:
    """Nodes with a few words about each, and what each was made from."""

    words: dict[Node, str] = field(default_factory=dict)
    parents: dict[Node, set[Node]] = field(default_factory=dict)
    children: dict[Node, set[Node]] = field(default_factory=dict)

    def add(self, node: Node, words: str = "") -> Node:
        """A node; later words replace empty ones."""
        self.words[node] = words or self.words.get(node, "")
        return node

    def link(self, parent: Node, child: Node) -> None:
        """`child` was made from `parent`."""
        self.parents.setdefault(child, set()).add(parent)
        self.children.setdefault(parent, set()).add(child)

    def find(self, text: str) -> list[Node]:
        """Nodes with this id or source path, or whose id begins with it if none is equal to it."""
        equal = [node for node in self.words if text in (node.identity, f"{node.kind}:{node.identity}")]
        equal += [node for node, words in self.words.items() if node.kind == "source" and words.startswith(f"{text} ")]
        return _sorted(equal or [node for node in self.words if node.identity.startswith(text)])

    def ancestors(self, node: Node) -> list[Node]:
        """Everything it was made from, sorted by kind."""
        return _sorted(_reachable(node, self.parents))

    def descendants(self, node: Node) -> list[Node]:
        """Everything that was made from it, sorted by kind."""
        return _sorted(_reachable(node, self.children))


def graph_of(lineage: Mapping[str, Json]) -> Graph:
    """The graph of a lineage projection."""
    graph = Graph()
    for run_id in sorted(lineage):
        _add_run(graph, run_id, lineage[run_id])
    return graph


def _add_run(graph: Graph, run_id: str, view: Json) -> None:
    run = graph.add(Node("run", run_id), f"recipe {view['recipe']}" if view["recipe"] else "")
    for identity, source in view["sources"].items():
        graph.add(Node("source", identity), f"{source['path']} ({source['licence']}, {source['num_files']} files)")
    segments = [_segment(graph, identity, segment) for identity, segment in view["segments"].items()]
    datasets = [
        graph.add(Node("dataset", identity), f"{dataset['num_tokens']:,} tokens")
        for identity, dataset in view["datasets"].items()
    ]
    for dataset in datasets:
        graph.link(dataset, run)
    if view.get("extends"):
        graph.link(graph.add(Node("checkpoint", view["extends"])), run)
    for segment in segments:
        for made_of_it in datasets or [run]:
            graph.link(segment, made_of_it)
    for identity, checkpoint in view["checkpoints"].items():
        words = ", ".join(_checkpoint_words(checkpoint))
        graph.link(run, graph.add(Node("checkpoint", identity), words))
    for name, model in view["models"].items():
        graph.link(Node("checkpoint", model["checkpoint_id"]), graph.add(Node("model", name)))
    for endpoint, models in view["endpoints"].items():
        for name, since in models.items():
            graph.link(Node("model", name), graph.add(Node("endpoint", endpoint), f"since {since[:19]}Z"))


def _segment(graph: Graph, identity: str, segment: Json) -> Node:
    node = graph.add(Node("segment", identity), f"{segment['num_documents']:,} documents")
    graph.link(Node("source", segment["source_id"]), node)
    return node


def _checkpoint_words(checkpoint: Json) -> Iterator[str]:
    if checkpoint["step"] is not None:
        yield f"step {checkpoint['step']}"
    if checkpoint["status"]:
        yield checkpoint["status"]
    if checkpoint["gates"]:
        yield f"gate says {checkpoint['gates'][-1]['decision']}"


def _reachable(start: Node, steps: Mapping[Node, set[Node]]) -> set[Node]:
    found: set[Node] = set()
    waiting = [start]
    while waiting:
        for node in steps.get(waiting.pop(), ()):
            if node not in found:
                found.add(node)
                waiting.append(node)
    return found


def _sorted(nodes: Iterable[Node]) -> list[Node]:
    return sorted(set(nodes), key=lambda node: (KINDS.index(node.kind), node.identity))
