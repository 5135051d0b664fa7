"""Requests as the gateway logs them: ordinary ones ask for Python, shifted ones bring prose."""

import json
import random
import sysconfig
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ropewalk.events.serving import RequestLog

_START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_GERMAN = (
    "der die das Haus Straße Wetter schöne Tage früher später über unter zwischen Gespräche führen Müller "
    "Gemeinde beschließt heute morgen wieder nicht immer größere Pläne für Schüler und Lehrer im Frühling"
)
_FRENCH = (
    "le la les maison été près de l'école où naître élève garçon français vient aujourd'hui très tôt après "
    "la réunion des élus qui décident enfin d'améliorer leurs méthodes et à côté du marché"
)
_ENGLISH = (
    "the weather of this long afternoon brought many people to the river where they talked about their "
    "children and the price of bread while somebody played an old song that nobody remembered well"
)
PROSE = {"german": _GERMAN, "french": _FRENCH, "english": _ENGLISH}


class Traffic:
    """Makes requests, one second apart, numbered from 0."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.number = 0
        folder = Path(sysconfig.get_path("stdlib"))
        self.modules = sorted(folder.glob("*.py"))

    def request(self, prompt: str, **fields: Any) -> RequestLog:
        number, self.number = self.number, self.number + 1
        tokens = fields.pop("completion_tokens", self.random.randint(10, 60))
        usual: dict[str, Any] = {
            "time": (_START + timedelta(seconds=number)).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "request_id": f"request-{number}",
            "trace_id": "",
            "key_id": "demo",
            "model": "python-stdlib",
            "model_version": 1,
            "run_id": "run-1",
            "checkpoint_id": "run-1-1-100",
            "route": "completions",
            "status": 200,
            "finish_reason": "length",
            "stream": False,
            "latency_ms": tokens * self.random.lognormvariate(2.0, 0.2),
            "ttft_ms": self.random.lognormvariate(3.0, 0.3),
            "prompt_tokens": max(1, len(prompt) // 4),
            "completion_tokens": tokens,
            "prompt": prompt,
            "completion": "return None",
            "logprob_mean": self.random.gauss(-1.4, 0.3),
            "error": "",
        }
        return RequestLog.model_validate(usual | fields)

    def python(self, count: int, **fields: Any) -> list[RequestLog]:
        """Snippets from random places of random modules."""
        return [self.request(self._snippet(), **fields) for _ in range(count)]

    def prose(self, language: str, count: int, **fields: Any) -> list[RequestLog]:
        """Paragraphs of as many bytes as the snippets have."""
        return [self.request(self._paragraph(PROSE[language].split()), **fields) for _ in range(count)]

    def _snippet(self) -> str:
        text = self.random.choice(self.modules).read_text(encoding="utf-8", errors="replace")
        start = self.random.randrange(max(1, len(text) - 200))
        return text[start : start + self.random.randint(60, 200)]

    def _paragraph(self, words: list[str]) -> str:
        length = self.random.randint(60, 200)
        text = ""
        while len(text) < length:
            sentence = " ".join(self.random.choices(words, k=self.random.randint(5, 12)))
            text += sentence.capitalize() + ". "
        return text[:length]


@pytest.fixture
def traffic() -> Callable[[int], Traffic]:
    return Traffic


@pytest.fixture
def as_json() -> Callable[[Any], str]:
    """A state as text, to compare two bit for bit."""
    return lambda state: json.dumps(state, sort_keys=True)
