"""The model versions that are loaded, beside the routes that name them, and the backends that they are loaded in.

The log says what should answer; a backend may have been restarted meanwhile. `watch` brings the two together.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

from ropewalk.events.foreign import quoted
from ropewalk.model.adapter_files import base_content, read_config
from ropewalk.serving.adapters.chats import Chats
from ropewalk.serving.domain.generation import Generation, Piece
from ropewalk.serving.domain.routes import Routes, Version
from ropewalk.serving.domain.vitals import Vitals
from ropewalk.serving.errors import BackendError, BackendGoneError, LoadFailedError, ModelNotLoadedError
from ropewalk.serving.ports import Inference, ModelToLoad
from ropewalk.storage.errors import StorageError
from ropewalk.storage.objects import ObjectStore
from ropewalk.telemetry.metrics import gauge

logger = logging.getLogger(__name__)

_WATCH_S = 2.0  # between two looks at the backends
_LONGEST_PAUSE_S = 300.0  # between two tries to load what cannot be loaded


class Fleet:
    """Routes and what they need; `backends` by their kind. Lives on one event loop."""

    def __init__(self, backends: Mapping[str, Inference], objects: ObjectStore) -> None:
        self.routes = Routes()
        self.expected = Routes()  # what the log says: an alias of it may wait here until its version is loaded
        self.ready = asyncio.Event()  # the log was folded
        self.vitals = Vitals()
        self._loaded: frozenset[str] = frozenset()  # the targets that could answer when last looked
        self._backends = backends
        self._away: set[str] = set()  # the kinds that did not answer when last looked
        self._objects = objects
        self._chats: dict[str, Chats] = {}  # by target; a version answers chats once it has one
        self._loading: dict[str, asyncio.Task[None]] = {}  # by target, so that two who ask wait for one load
        self._restoring: set[str] = set()  # the targets that the watch is bringing back
        self._failures: Counter[str] = Counter()  # in a row
        self._not_before: dict[str, float] = {}  # by target: when a failed load is tried again (monotonic seconds)

    def _backend(self, version: Version) -> Inference:
        """What the version is on. Raises LoadFailedError for a kind that only another release knows."""
        if version.backend not in self._backends:
            known = ", ".join(self._backends)
            raise LoadFailedError(
                f"{version.target} is on a backend of the kind {quoted(version.backend)}, and this program knows "
                f"{known}: retire the version, or run the release that knows the kind"
            )
        return self._backends[version.backend]

    def generate(self, version: Version, generation: Generation) -> AsyncGenerator[Piece, None]:
        """See Inference.generate. Also raises LoadFailedError."""
        return self._backend(version).generate(version.target, generation)

    async def is_loaded(self, version: Version) -> bool:
        """Whether its backend has the version now. Raises BackendGoneError, LoadFailedError."""
        return version.target in await self._backend(version).loaded()

    async def load(self, version: Version) -> None:
        """Make a version answer; whoever asks meanwhile waits for the same load, and no other version waits.

        Raises BackendError, StorageError.
        """
        task = self._loading.get(version.target)
        if task is None:
            task = self._loading[version.target] = asyncio.create_task(self._load(version))
            task.add_done_callback(lambda _: self._loading.pop(version.target, None))
        await asyncio.shield(task)  # who asked may go away; others may wait for the same load

    async def _load(self, version: Version) -> None:
        backend = self._backend(version)
        folder = await asyncio.to_thread(self._objects.fetch, version.export_uri)
        base = await asyncio.to_thread(self._base_of, folder)
        lineage = {
            "model": version.model,
            "model_version": str(version.number),
            "run_id": version.run_id,
            "checkpoint_id": version.checkpoint_id,
            "export_uri": version.export_uri,
        }
        await backend.load(
            ModelToLoad(
                target=version.target, weights=Path(folder), lineage=lineage, address=version.address, base=base
            )
        )
        self._loaded |= {version.target}
        self.vitals.answered(version.target)
        await self._open_chats(version, folder)

    def _base_of(self, export: Path) -> Path | None:
        """The imported base of an adapter, if it is still there: else the merged weights of the export serve."""
        content = base_content(read_config(export))
        try:
            return self._objects.fetch(f"bases/{content}") if content else None
        except StorageError as error:
            logger.warning("an adapter is served merged, for its base cannot be had: %s", error)
            return None

    async def unload(self, version: Version) -> None:
        """Let a version end what it answers, then forget it. Raises BackendGoneError."""
        if version.backend in self._backends:  # else nothing of it can be loaded
            await self._backends[version.backend].unload(version.target)
        self._loaded -= {version.target}
        if chats := self._chats.pop(version.target, None):
            await asyncio.to_thread(chats.close)

    def answering(self) -> tuple[list[str], list[str]]:
        """The names that would be answered now, whoever asks, and those that would not."""
        now = time.monotonic()
        answering: list[str] = []
        away: list[str] = []
        for name, versions in self.routes.names().items():
            sound = all(one.target in self._loaded and not self.vitals.is_failing(one.target, now) for one in versions)
            (answering if sound else away).append(name)
        return answering, away

    def measure(self) -> None:
        """Export which backends and models answer."""
        answering, away = self.answering()
        gauge("ropewalk.model.answering", len(answering))
        gauge("ropewalk.model.away", len(away))
        for kind in self._backends:
            gauge("ropewalk.backend.up", kind not in self._away, backend=kind)

    def chats(self, version: Version) -> Chats:
        """What renders the chats of a version. Raises ModelNotLoadedError."""
        if version.target not in self._chats:
            raise ModelNotLoadedError(f"{version.target} is being loaded")
        return self._chats[version.target]

    async def _open_chats(self, version: Version, folder: Path) -> None:
        before = self._chats.get(version.target)
        self._chats[version.target] = await asyncio.to_thread(Chats, folder)
        if before is not None:
            await asyncio.to_thread(before.close)

    def version_of_target(self, target: str) -> Version | None:
        """The version behind a name of the backend."""
        return next((one for one in self.routes.versions.values() if one.target == target), None)

    async def reconcile(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to load every version that should answer and does not. A slow load keeps nobody waiting."""
        for version, loaded in await self._missing():
            target = version.target
            if target not in self._restoring and time.monotonic() >= self._not_before.get(target, 0.0):
                self._restoring.add(target)
                tasks.create_task(self._restore(version, loaded))

    async def _missing(self) -> list[tuple[Version, bool]]:
        """The versions that cannot answer although their backend is there; whether only their template is missing."""
        self._loaded = frozenset().union(*await asyncio.gather(*map(self._look, self._backends)))
        known = [one for one in self.routes.versions.values() if one.backend not in self._away]
        return [
            (one, one.target in self._loaded)
            for one in known
            if one.target not in self._loaded or one.target not in self._chats
        ]

    async def _look(self, kind: str) -> frozenset[str]:
        """The targets that a backend has; none while it is away, which is said once."""
        try:
            loaded = await self._backends[kind].loaded()
        except BackendGoneError as error:
            if kind not in self._away:
                logger.warning("the inference backend %s is away: %s", kind, error)
            self._away.add(kind)
            return frozenset()
        self._away.discard(kind)
        return loaded

    async def _restore(self, version: Version, loaded: bool) -> None:
        target = version.target
        try:
            if loaded:  # this service was restarted, the backend was not
                folder = await asyncio.to_thread(self._objects.fetch, version.export_uri)
                await self._open_chats(version, folder)
                return
            await self.load(version)
            if self.version_of_target(target) is None:  # retired meanwhile
                await self.unload(version)
                return
            logger.info("loaded %s", target)
            self._failures.pop(target, None)
        except BackendGoneError:
            return  # the watch will notice
        except (BackendError, StorageError) as error:
            self._report_broken(target, error)
        finally:
            self._restoring.discard(target)

    def _report_broken(self, target: str, error: Exception) -> None:
        """Say it once, although it is tried again, ever more rarely."""
        if not self._failures[target]:
            logger.error("cannot load %s, and try on: %s", target, error)
        self._failures[target] += 1
        pause_s = min(_LONGEST_PAUSE_S, _WATCH_S * 2 ** self._failures[target])
        self._not_before[target] = time.monotonic() + pause_s

    async def watch(self) -> None:
        """Reconcile for ever, so that a restarted backend gets its models back."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self.reconcile(tasks)
                await asyncio.sleep(_WATCH_S)
