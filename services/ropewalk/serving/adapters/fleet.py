"""The model versions that are loaded, beside the routes that name them.

The log says what should answer; the backend may have been restarted meanwhile. `watch` brings the two together.
"""

import asyncio
import logging
import time
from pathlib import Path

from ropewalk.serving.adapters.chat_template import ChatTemplate
from ropewalk.serving.domain.routes import Routes, Version
from ropewalk.serving.domain.vitals import Vitals
from ropewalk.serving.errors import BackendError, BackendGoneError
from ropewalk.serving.ports import Entry, Inference
from ropewalk.storage.manifest import ManifestError
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore

logger = logging.getLogger(__name__)

_WATCH_S = 2.0


class Fleet:
    """Routes and what they need. Lives on one event loop."""

    def __init__(self, inference: Inference, objects: ObjectStore) -> None:
        self.routes = Routes()
        self.ready = asyncio.Event()  # the log was folded
        self.vitals = Vitals()
        self._loaded: frozenset[str] = frozenset()  # the targets that could answer when last looked
        self._inference = inference
        self._objects = objects
        self._templates: dict[str, ChatTemplate] = {}
        self._broken: set[str] = set()
        self._loading = asyncio.Lock()

    async def load(self, version: Version) -> None:
        """Make a version answer. Raises BackendError, ObjectNotFoundError, ManifestError."""
        folder = await asyncio.to_thread(self._objects.fetch, version.export_uri)
        lineage = {
            "model": version.model,
            "model_version": str(version.number),
            "run_id": version.run_id,
            "checkpoint_id": version.checkpoint_id,
            "export_uri": version.export_uri,
        }
        async with self._loading:
            await self._inference.load(Entry(target=version.target, weights=Path(folder), lineage=lineage))
        self._loaded |= {version.target}
        self.vitals.answered(version.target)
        self._templates[version.target] = await asyncio.to_thread(ChatTemplate.of, folder)

    async def unload(self, version: Version) -> None:
        """Let a version end what it answers, then forget it. Raises BackendGoneError."""
        await self._inference.unload(version.target)
        self._loaded -= {version.target}
        self._templates.pop(version.target, None)

    def answering(self) -> tuple[list[str], list[str]]:
        """The names that would be answered now, and those that would not."""
        now = time.monotonic()
        answering: list[str] = []
        away: list[str] = []
        for name, version in self.routes.names().items():
            sound = version.target in self._loaded and not self.vitals.is_failing(version.target, now)
            (answering if sound else away).append(name)
        return answering, away

    def template(self, version: Version) -> ChatTemplate:
        """The chat template of a version; an empty one while it is being loaded."""
        return self._templates.get(version.target) or ChatTemplate("", {})

    def version_of_target(self, target: str) -> Version | None:
        """The version behind a name of the backend."""
        return next((one for one in self.routes.versions.values() if one.target == target), None)

    async def reconcile(self) -> None:
        """Load every version that should answer and does not. Raises BackendGoneError."""
        loaded = self._loaded = await self._inference.loaded()
        for version in list(self.routes.versions.values()):
            retired = self.version_of_target(version.target) is None  # while another was being loaded
            if retired or (version.target in loaded and version.target in self._templates):
                continue
            try:
                if version.target in loaded:  # this service was restarted, the backend was not
                    folder = await asyncio.to_thread(self._objects.fetch, version.export_uri)
                    self._templates[version.target] = await asyncio.to_thread(ChatTemplate.of, folder)
                    continue
                await self.load(version)
                logger.info("loaded %s", version.target)
                self._broken.discard(version.target)
            except BackendGoneError:
                raise
            except (BackendError, ObjectNotFoundError, ManifestError) as error:
                self._report_broken(version.target, error)

    def _report_broken(self, target: str, error: Exception) -> None:
        """Say it once, although it is tried again and again."""
        if target not in self._broken:
            logger.error("cannot load %s, and try on: %s", target, error)
            self._broken.add(target)

    async def watch(self) -> None:
        """Reconcile for ever, so that a restarted backend gets its models back."""
        away = False
        while True:
            try:
                await self.reconcile()
                away = False
            except BackendGoneError as error:
                self._loaded = frozenset()
                if not away:
                    logger.warning("the inference backend is away: %s", error)
                away = True
            await asyncio.sleep(_WATCH_S)
