"""Who is asked for grades: an endpoint of somebody else, or a recording. The model of our own is in `own_model`."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from ropewalk.events.foreign import one_line
from ropewalk.stages.errors import StageError
from ropewalk.tasksets.judges.definition import JudgeEndpoint
from ropewalk.tasksets.judges.prompt import JudgePrompt
from ropewalk.usecases.endpoint import ChatEndpoint, Endpoint, EndpointError, NoAnswerError, text_of

_TRIES, _PAUSE_S, _AT_ONCE = 3, 1.0, 4
_TOP = 20  # log-probabilities of the next token: as many as most endpoints tell
_NO_ANSWERS = 5  # one after the other, and the endpoint is given up


@dataclass(frozen=True, kw_only=True)
class JudgeAnswer:
    """What a judge said: natural log-probabilities of the next token, empty where it said nothing of use."""

    next_token: dict[str, float] = field(default_factory=dict)
    prompt_tokens: int = 0
    answer_tokens: int = 0
    num_retries: int = 0
    is_certain: bool = False  # one token, taken as the grade


class JudgeVoice(Protocol):
    """`name` in words; `digest` of what answers; `decoding` in words."""

    name: str
    digest: str
    decoding: str

    def ask(self, prompts: Sequence[JudgePrompt], on_told: Callable[[], None]) -> list[JudgeAnswer]:
        """In order. Raises StageError where it cannot be asked, TimeoutError when the time is over."""
        ...


class RecordedVoice:
    """Says again what lines of {"prompt": digest, "next_token": {…}} hold."""

    decoding = "recorded"

    def __init__(self, body: bytes, digest: str) -> None:
        self.name, self.digest, self._told = "a recording", digest, dict(map(_recorded, body.splitlines()))

    def ask(self, prompts: Sequence[JudgePrompt], on_told: Callable[[], None]) -> list[JudgeAnswer]:
        """See JudgeVoice."""
        if missing := [each.digest for each in prompts if each.digest not in self._told]:
            raise StageError(
                f"the recording has no answer to {len(missing)} of {len(prompts)} questions (the first is "
                f"{missing[0][:12]}…): it was made with another rubric, other answers or another version of the prompt"
            )
        return [JudgeAnswer(next_token=self._told[each.digest]) for each in prompts]


def _recorded(line: bytes) -> tuple[str, dict[str, float]]:
    try:
        record = json.loads(line)
        return str(record["prompt"]), {str(key): float(value) for key, value in record["next_token"].items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise StageError(
            f"the recording has a line that is no answer: {one_line(line[:80].decode(errors='replace'))}"
        ) from None


class EndpointVoice:
    """Chat completions of one token, several at once, each tried three times."""

    def __init__(self, asked: JudgeEndpoint, key: str, until: float) -> None:
        self._logprobs, self._until = asked.logprobs, until
        self.name = one_line(f"{asked.model} at {asked.host}")
        self.digest = one_line(f"{asked.model} at {asked.url}", 1_300)  # nobody tells what weights answer there
        self.decoding = f"first token, temperature 0, top {_TOP}" if asked.logprobs else "one token, temperature 0"
        self._endpoint = ChatEndpoint(Endpoint(url=asked.url, model=asked.model, key=key), until)
        self._failed = 0

    def ask(self, prompts: Sequence[JudgePrompt], on_told: Callable[[], None]) -> list[JudgeAnswer]:
        """See JudgeVoice."""
        told = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for each in pool.map(self._one, prompts):
                    told.append(each)
                    on_told()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return told

    def _one(self, prompt: JudgePrompt) -> JudgeAnswer:
        body: dict[str, object] = {"messages": prompt.messages, "max_tokens": 1, "temperature": 0}
        body |= {"logprobs": True, "top_logprobs": _TOP} if self._logprobs else {}
        for tried in range(_TRIES):
            if time.monotonic() > self._until:
                raise TimeoutError
            try:
                return self._told(self._endpoint.complete(body), tried)
            except NoAnswerError as error:
                self._failed += tried == _TRIES - 1
                if self._failed >= _NO_ANSWERS:
                    raise StageError(f"{self.name} does not answer: {error}") from None
                time.sleep(_PAUSE_S * 2**tried)
            except EndpointError as error:
                hint = "; if it cannot tell log-probabilities, say `logprobs: false`" if self._logprobs else ""
                raise StageError(f"{error}{hint}") from None
        return JudgeAnswer(num_retries=_TRIES - 1)

    def _told(self, answer: dict[str, Any], tried: int) -> JudgeAnswer:
        usage = answer.get("usage")
        counts = [_count(usage, f"{kind}_tokens") for kind in ("prompt", "completion")]
        tops = _tops(answer) if self._logprobs else {}
        text, _ = text_of(answer) if not tops else ("", True)
        self._failed = 0
        return JudgeAnswer(
            next_token=tops or {text.strip()[:8]: 0.0},
            prompt_tokens=counts[0],
            answer_tokens=counts[1],
            num_retries=tried,
            is_certain=not tops,
        )


def _count(usage: object, name: str) -> int:
    found = usage.get(name) if isinstance(usage, dict) else 0
    return found if isinstance(found, int) and 0 <= found <= 10_000_000 else 0


def _tops(answer: dict[str, Any]) -> dict[str, float]:
    """The log-probabilities of the first token; empty where the endpoint tells none."""
    try:
        tops = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return {str(each["token"])[:8]: float(each["logprob"]) for each in tops[:_TOP]}
    except (LookupError, TypeError, ValueError):
        return {}
