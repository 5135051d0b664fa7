"""Hosts as Ray actors: Ray finds a place for each and says when it is lost; all else is in `host`.

The cluster is disposable: whatever it holds can be made again, and nothing of a run is kept there.
"""

import logging
import shutil
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ropewalk.events.foreign import one_line
from ropewalk.recipes.recipe import Recipe
from ropewalk.trainer.adapters.cpu_meter import Beat
from ropewalk.trainer.adapters.host import Host
from ropewalk.trainer.adapters.hosts import HostHandle, HostsLostError
from ropewalk.trainer.adapters.rank_task import Ended, RankTask, Where
from ropewalk.trainer.adapters.ray_cluster import Daemon, daemons, kill_daemons, num_gpus, ray_cluster
from ropewalk.trainer.adapters.reports import ClusterSpec
from ropewalk.trainer.adapters.worker.job import WorkerReport
from ropewalk.trainer.domain.placement import place_group
from ropewalk.trainer.domain.recovery import Symptom
from ropewalk.trainer.domain.sight import Sight

logger = logging.getLogger(__name__)
_PLACE_S = 120.0  # for the cluster to find room, and for an actor to come up there
_LOOK_S = 2.0  # for what is asked twice a second
_MISSED_EVERY_S = 0.5
_NODE_MARKS = ("node died", "node has died", "node is dead", "node was terminated")  # in Ray's words for an actor's end
_ASK_S = 3.0  # for an answer of an actor that is up
_CALLS_AT_ONCE = 4  # `run` blocks one
_MAX_CHARACTERS = 300  # of what Ray's errors say, whose own texts are tracebacks over many lines


class RayHosts:
    """See Hosts. Use as a context manager."""

    def __init__(self, spec: ClusterSpec, recipe: Recipe, scratch: Path) -> None:
        self._spec, self._recipe, self._scratch = spec, recipe, scratch
        self._cluster = ExitStack()
        self._handles: list[_RayHost] = []
        self._group: Any = None
        self._daemons: tuple[Daemon, ...] = ()

    def __enter__(self) -> "RayHosts":
        return self

    def __exit__(self, *_: object) -> None:
        self.renew()

    def ready(self) -> Sequence[HostHandle]:
        """See Hosts."""
        try:
            if self._group is None:
                self._begin()
            for rank, handle in enumerate(self._handles):
                if handle.lost:
                    handle.close()
                    _until_missed(handle)
                    self._handles[rank] = self._host(rank)
        except (RayError, ConnectionError, RuntimeError, OSError) as error:  # Ray raises all of these
            raise HostsLostError(in_one_line(error)) from error
        return self._handles

    def wrong(self) -> Sequence[Symptom]:
        """See Hosts: the daemons of a private Ray are children of this process."""
        ended = [process.name for process in self._daemons if not process.lives()]
        return [Symptom(kind="cluster", text=f"{name} of the private Ray was killed or crashed") for name in ended[:1]]

    def renew(self) -> None:
        """See Hosts."""
        if self.wrong():
            kill_daemons()  # with one of them gone the others only wait
        else:
            for handle in self._handles:
                handle.close()
        for handle in self._handles:
            handle.clear()
        self._handles, self._group, self._daemons = [], None, ()
        self._cluster.close()

    def _begin(self) -> None:
        self._cluster.enter_context(ray_cluster(self._spec))
        self._daemons = daemons()
        num_workers, self._kind = place_group(self._recipe.derived.device, self._recipe.num_workers, num_gpus())
        bundle = {"CPU": 1, "GPU": 1} if self._kind == "cuda" else {"CPU": 1}
        self._group = placement_group([bundle] * num_workers)
        if not self._group.wait(_PLACE_S):
            self._group = None
            raise HostsLostError(f"Ray found no room for {num_workers} workers with {bundle} each in {_PLACE_S:.0f} s")
        self._handles = [self._host(rank) for rank in range(num_workers)]

    def _host(self, rank: int) -> "_RayHost":
        place = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=rank)
        actor = (
            ray.remote(Host)
            .options(
                num_cpus=1,
                num_gpus=1 if self._kind == "cuda" else 0,
                max_concurrency=_CALLS_AT_ONCE,
                scheduling_strategy=place,
            )
            .remote(self._recipe.chosen_strategy, self._scratch, own_device=self._kind == "cuda")
        )
        return _RayHost(actor, rank)


class _RayHost:
    """See HostHandle."""

    def __init__(self, actor: Any, rank: int) -> None:
        self._actor, self._rank = actor, rank
        self.lost = False
        self.node: dict[str, Any] = {}  # as Ray describes it
        self._folder: Path | None = None

    def where(self) -> Where:
        """See HostHandle."""
        try:
            where: Where = ray.get(self._actor.where.remote(), timeout=_PLACE_S)
            if not self.node:
                name = ray.get(self._actor.__ray_call__.remote(_name_of_node), timeout=_ASK_S)
                self.node = next((node for node in ray.nodes() if node["NodeID"] == name), {})
        except RayError as error:
            self.lost = True
            raise HostsLostError(f"no host for worker {self._rank}: {in_one_line(error)}") from error
        self._folder = where.folder
        return where

    def run(self, task: RankTask) -> Future[Ended]:
        """See HostHandle."""
        ended: Future[Ended] = Future()

        def on_done(call: Future[Ended]) -> None:
            error = call.exception()
            ended.set_result(call.result() if error is None else self._lost(error))

        self._actor.run.remote(task).future().add_done_callback(on_done)
        return ended

    def drain(self) -> list[WorkerReport]:
        """See HostHandle."""
        if self.lost:
            return []
        try:
            return ray.get(self._actor.drain.remote(), timeout=_ASK_S)
        except GetTimeoutError:
            logger.warning("the host of worker %d does not answer", self._rank)
        except RayError:
            self.lost = True
        return []

    def signal(self, number: int) -> None:
        """See HostHandle."""
        self._actor.signal.remote(number)

    def stop(self) -> None:
        """See HostHandle."""
        self._actor.stop.remote()

    def sight(self) -> Sight | None:
        """See HostHandle."""
        if self.lost:
            return None
        try:
            return ray.get(self._actor.sight.remote(), timeout=_LOOK_S)
        except RayError:  # also one that is late; who drains its mail finds out whether it is lost
            return None

    def stacks(self) -> str:
        """See HostHandle."""
        try:
            return ray.get(self._actor.stacks.remote(), timeout=_ASK_S)
        except RayError as error:
            return f"its host does not answer: {in_one_line(error)}"

    def machine_answers(self) -> bool:
        """See HostHandle: Ray itself misses a machine after a minute, so its raylet is asked."""
        if not self.node:
            return True
        try:
            socket.create_connection((self.node["NodeManagerAddress"], self.node["NodeManagerPort"]), _LOOK_S).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """See HostHandle. What it holds ends with it, by the kernel's hand."""
        self.lost = True
        with suppress(RayError):
            ray.get(self._actor.remove.remote(), timeout=_LOOK_S)
        ray.kill(self._actor)
        self.clear()

    def clear(self) -> None:
        """Remove the folder that a host leaves which was killed, if it was on this machine."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _lost(self, error: BaseException) -> Ended:
        self.lost = True
        nothing = Beat(node="", pid=0, cpu_seconds=0.0)
        if isinstance(error, OutOfMemoryError):
            text = f"Ray ended the host of worker {self._rank}: the machine ran out of memory"
            return Ended(symptom=Symptom(kind="out_of_memory", text=text, rank=self._rank), used=nothing)
        text = in_one_line(error)
        if isinstance(error, RayActorError) and any(mark in str(error) for mark in _NODE_MARKS):
            text = f"the machine of worker {self._rank} was lost"
            return Ended(symptom=Symptom(kind="node_lost", text=text, rank=self._rank), used=nothing)
        if isinstance(error, RayActorError):
            text = f"the host of worker {self._rank} was killed or crashed"
        return Ended(symptom=Symptom(kind="died", text=text, rank=self._rank), used=nothing)


def _name_of_node(_: Any) -> str:
    return str(ray.get_runtime_context().get_node_id())


def _until_missed(handle: _RayHost) -> None:
    """Wait until Ray knows that a machine is gone: before, it would lose the next host there, too."""
    deadline = time.monotonic() + _PLACE_S
    while not handle.machine_answers() and time.monotonic() < deadline:
        if not any(node["Alive"] and node["NodeID"] == handle.node["NodeID"] for node in ray.nodes()):
            return
        time.sleep(_MISSED_EVERY_S)


def in_one_line(error: BaseException) -> str:
    """Type and text; of an error raised inside a task or an actor, those of its cause."""
    cause = error.cause if isinstance(error, RayTaskError) and isinstance(error.cause, BaseException) else error
    return one_line(" ".join(f"{type(cause).__name__}: {cause}".split()), _MAX_CHARACTERS)
