"""What is remembered of one request until it becomes a row of the request log."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Literal

from ropewalk.events.serving import RequestLog
from ropewalk.serving.domain.generation import Piece
from ropewalk.serving.domain.routes import Version

PROVIDER = "ropewalk"  # as telemetry names us
UNROUTED = "unrouted"  # run id of requests that reached no model version


@dataclass
class Exchange:
    """One request and, piece by piece, its answer."""

    request_id: str
    key_id: str
    route: Literal["completions", "chat"]
    traceparent: str = ""  # the client's
    model: str = ""
    version: Version | None = None
    prompt: str = ""
    stream: bool = False
    trace_id: str = ""
    finish_reason: str = ""
    num_input_tokens: int = 0
    num_output_tokens: int = 0
    logprob_mean: float = 0.0
    token_ids: list[int] = field(default_factory=list)
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    _texts: list[str] = field(default_factory=list)
    _started: float = field(default_factory=perf_counter)
    _ttft_ms: float = 0.0

    def add(self, piece: Piece) -> None:
        """Take a piece of the answer in."""
        self._ttft_ms = self._ttft_ms or self._elapsed_ms()
        self._texts.append(piece.text)
        self.token_ids.extend(piece.token_ids)
        self.num_input_tokens = piece.num_input_tokens or self.num_input_tokens
        self.num_output_tokens += piece.num_output_tokens
        self.logprob_mean = piece.logprob_mean
        self.finish_reason = piece.finish_reason

    @property
    def text(self) -> str:
        """The completion so far."""
        return "".join(self._texts)

    @property
    def operation(self) -> str:
        """What was asked for, in the words of OpenTelemetry's conventions."""
        return "chat" if self.route == "chat" else "text_completion"

    def row(self, status: int, error: str) -> RequestLog:
        """The row of the request log."""
        version = self.version
        return RequestLog(
            time=self.time,
            request_id=self.request_id,
            trace_id=self.trace_id,
            key_id=self.key_id,
            model=version.model if version else self.model,
            model_version=version.number if version else 0,
            run_id=version.run_id if version else UNROUTED,
            checkpoint_id=version.checkpoint_id if version else "",
            route=self.route,
            status=status,
            finish_reason=self.finish_reason,
            stream=self.stream,
            latency_ms=self._elapsed_ms(),
            ttft_ms=self._ttft_ms,
            prompt_tokens=self.num_input_tokens,
            completion_tokens=self.num_output_tokens,
            prompt=self.prompt,
            completion=self.text,
            logprob_mean=self.logprob_mean,
            error=error,
            backend=version.backend if version else "",
        )

    def _elapsed_ms(self) -> float:
        return round((perf_counter() - self._started) * 1000, 3)
