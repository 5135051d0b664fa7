"""What a bus of three servers survives: real servers with the configuration of the manifests, real loss of machines."""

import pytest
from hosts.load import Load
from hosts.nats_cluster import SERVERS, NatsCluster, until

pytestmark = pytest.mark.hosts


def sound(found: dict) -> bool:
    return found["acknowledged"] > 0 and not (
        found["lost"] or found["doubled"] or found["disorder"] or found["letters"]
    )


def test_work_goes_on_without_one_server_whether_it_is_killed_or_cut_off(cluster: NatsCluster) -> None:
    with Load(cluster) as load:
        for name in SERVERS:
            cluster.kill(name)
            load.until_moving()
            until(lambda: load.unready() == [], lambda: str(load.unready()))
            cluster.start(name)
            cluster.until_healthy(name)
        for name in SERVERS:
            cluster.network.cut(name)
            load.until_moving()
            cluster.network.mend(name)
            cluster.until_healthy(*SERVERS)
        assert load.ended() == []
        found = load.judged()
    assert sound(found), found


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_with_two_servers_lost_sends_wait_and_services_say_so_and_all_goes_on_when_they_are_back(
    cluster: NatsCluster, how: str
) -> None:
    with Load(cluster) as load:
        lost = SERVERS[:2]
        if how == "killed":
            cluster.kill(*lost)
        else:
            for name in lost:
                cluster.network.cut(name)
        until(lambda: len(load.unready()) >= 2, lambda: f"ready: {load.log('answer')}")
        assert all("bus" in reason for reason in load.unready()), load.unready()
        assert load.ended() == []
        num_acknowledged = len(load.acknowledged())
        until(lambda: "keeping" in load.log("publish"), lambda: load.log("publish"))
        assert len(load.acknowledged()) == num_acknowledged
        if how == "killed":
            cluster.start(*lost)
        else:
            for name in lost:
                cluster.network.mend(name)
        cluster.until_healthy(*SERVERS)
        load.until_moving()
        until(lambda: load.unready() == [], lambda: str(load.unready()))
        assert load.ended() == []
        found = load.judged()
    assert sound(found), found


def test_a_server_that_lost_its_disk_gets_everything_back_from_the_others(cluster: NatsCluster) -> None:
    with Load(cluster) as load:
        cluster.kill("nats-1")
        cluster.wipe("nats-1")
        cluster.start("nats-1")
        cluster.until_healthy("nats-1")
        cluster.kill("nats-0")  # the quorum now needs what was brought back
        load.until_moving()
        cluster.start("nats-0")
        cluster.until_healthy(*SERVERS)
        assert load.ended() == []
        found = load.judged()
    assert sound(found), found


def test_a_rolling_restart_of_all_three_under_load_loses_nothing(cluster: NatsCluster) -> None:
    with Load(cluster) as load:
        for name in reversed(SERVERS):  # as a StatefulSet does it, each once the one before is ready
            cluster.stop(name)
            cluster.start(name)
            cluster.until_healthy(name)
        load.until_moving()
        assert load.ended() == []
        found = load.judged()
    assert sound(found), found
