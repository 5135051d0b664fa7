"""Where things came from, what they cost, which steps count."""

from ropewalk.events.monitoring import CostRecorded
from ropewalk.events.training import StepsCommitted
from ropewalk.projections.graph import Node, graph_of
from ropewalk.projections.projector import Projector


def projection(name, stored_messages):
    projector = Projector([name])
    for stored in stored_messages:
        projector.apply(stored)
    return {key: projector.view(name, key) for key in projector.keys(name)}


def cost(stage, usd, run_id="r"):
    return CostRecorded(
        run_id=run_id, stage=stage, epoch=1, seconds=1.0, cpu_seconds=2.0, usd=usd, usd_per_cpu_hour=0.04
    )


def steps(first, last, epoch=1, name=""):
    return StepsCommitted(
        run_id="r",
        epoch=epoch,
        first_step=first,
        last_step=last,
        num_samples=10 * (last - first + 1),
        sha256=f"{first}-{last}-{epoch}",
        uri="u",
        checkpoint_id=name or f"r-{epoch}-{last + 1}",
    )


def test_the_way_from_a_source_to_the_endpoint_is_there_both_ways(sample_log):
    graph = graph_of(projection("lineage", sample_log))
    [model] = graph.find("model-0@2")
    [source] = graph.find("/data/7")

    kinds_up = {node.kind for node in graph.ancestors(model)}
    assert kinds_up == {"source", "segment", "dataset", "run", "checkpoint"}
    assert Node("source", "source-7") == source
    assert model in graph.descendants(source)
    assert Node("endpoint", "model-0:production") in graph.descendants(source)
    assert Node("run", "sample-00001") not in graph.descendants(source)


def test_runs_of_the_same_data_share_it(sample_log):
    graph = graph_of(projection("lineage", sample_log))

    # runs 1 and 12 read the same folder
    assert Node("run", "sample-00001") in graph.descendants(Node("source", "source-1"))
    assert Node("run", "sample-00012") in graph.descendants(Node("source", "source-1"))


def test_an_id_may_be_shortened_or_be_given_with_its_kind(sample_log):
    graph = graph_of(projection("lineage", sample_log))

    assert graph.find("sample-00007-8-8") == [Node("checkpoint", "sample-00007-8-8")]
    assert graph.find("run:sample-00007") == [Node("run", "sample-00007")]
    assert len(graph.find("sample-000")) > 4
    assert graph.find("nothing") == []


def test_costs_are_summed_without_rounding_whatever_their_order(log):
    costs = [cost("train", 1e16), cost("train", 1.0), cost("train", -1e16), cost("ingest", 0.5)]
    story = log(*costs)

    assert projection("costs", story) == projection("costs", reversed(story))
    assert projection("costs", story)["r"]["stages"]["train"]["usd"] == 1.0
    total = {"attempts": 4, "seconds": 4.0, "cpu_seconds": 8.0, "gpu_seconds": 0.0, "usd": 1.5}
    assert projection("costs", story)["r"]["total"] == total


def test_steps_taken_again_after_a_loss_are_told_from_those_that_count(log):
    story = log(steps(0, 7), steps(8, 15), steps(8, 11, epoch=2), steps(12, 19, epoch=2), steps(16, 23))

    assert projection("ledger", story)["r"] == {
        "ranges": [[0, 19]],
        "num_steps": 20,
        "num_samples": 200,
        "num_discarded_steps": 16,
        "checkpoint_id": "r-2-20",
        "epoch": 2,
    }


def test_a_gap_in_the_ledger_is_seen(log):
    assert projection("ledger", log(steps(0, 7), steps(16, 23)))["r"]["ranges"] == [[0, 7], [16, 23]]
