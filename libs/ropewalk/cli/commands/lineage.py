"""`lineage`: where something came from and what became of it."""

from itertools import groupby
from typing import Annotated, Any

import typer

from ropewalk.cli.connecting import settings_of
from ropewalk.cli.options import AsJson, StateDir
from ropewalk.cli.screens.terminal import console, print_json, say
from ropewalk.client.errors import ClientError
from ropewalk.client.log import open_log, projections
from ropewalk.events.foreign import quoted
from ropewalk.projections.graph import Graph, Node, graph_of

app = typer.Typer()

_MAX_CHOICES = 10
_MAX_SHOWN = 25


@app.command()
def lineage(
    identity: Annotated[
        str,
        typer.Argument(metavar="ID", help="A source (id or path), segment, dataset version, run, checkpoint, model@1."),
    ],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what something was made from and what was made from it, from the documents to the endpoint.

    Example: ropewalk lineage pycode@1
    """
    with open_log(settings_of(state_dir)) as wire:
        graph = graph_of(projections(wire, "lineage")["lineage"])
    node = _only(graph, identity)
    made_from, became = graph.ancestors(node), graph.descendants(node)
    if as_json:
        lists = {"made_from": made_from, "became": became}
        listed = {name: [_node_json(graph, each) for each in nodes] for name, nodes in lists.items()}
        print_json(_node_json(graph, node) | listed)
        return
    _print_nodes(graph, "made from", made_from)
    say(_words(graph, node), style="bold")
    _print_nodes(graph, "became", became)


def _only(graph: Graph, identity: str) -> Node:
    found = graph.find(identity)
    if not found:
        raise ClientError(f"nothing in the log has the id {quoted(identity)}; `ropewalk runs` lists runs to begin with")
    if len(found) > 1:
        choices = ", ".join(f"{node.kind}:{node.identity}" for node in found[:_MAX_CHOICES])
        more = f" and {len(found) - _MAX_CHOICES} more" if len(found) > _MAX_CHOICES else ""
        raise ClientError(f"{quoted(identity)} may be {choices}{more}: name one of them")
    return found[0]


def _print_nodes(graph: Graph, title: str, nodes: list[Node]) -> None:
    if nodes:
        console.print(title, style="dim")
    # The graph hands nodes out kind by kind, so each kind is one group.
    for kind, members in groupby(nodes, key=lambda node: node.kind):
        several = list(members)
        for node in several[:_MAX_SHOWN]:
            say(f"  {_words(graph, node)}")
        if len(several) > _MAX_SHOWN:
            say(f"  and {len(several) - _MAX_SHOWN:,} more of kind {kind}; --json has all", style="dim")


def _words(graph: Graph, node: Node) -> str:
    words = graph.words.get(node, "")
    return f"{node.kind} {node.identity}{f'  {words}' if words else ''}"


def _node_json(graph: Graph, node: Node) -> dict[str, Any]:
    return {"kind": node.kind, "id": node.identity, "about": graph.words.get(node, "")}
