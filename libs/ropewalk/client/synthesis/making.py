"""What the child process of a synthesis does: a new input like an example, two answers to it, a line if they agree.

A line is whole as soon as it is there: whatever ends the process, what was made is kept and the next call goes on.
"""

import fcntl
import json
import os
import queue
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import IO, Any

from ropewalk.client.synthesis.nearness import KnownInputs
from ropewalk.client.synthesis.writers import EndpointWriter, Writer, WriterError
from ropewalk.corpus.document import SYNTHETIC
from ropewalk.corpus.reading.conversations import is_blank
from ropewalk.corpus.reading.examples import INPUT, OUTPUT
from ropewalk.corpus.reading.places import ANYWHERE
from ropewalk.corpus.reading.records import ORIGIN, Content, Limits, Record, content_of
from ropewalk.corpus.task_checks import placed_examples
from ropewalk.recipes.recipe import SourceRecipe
from ropewalk.recipes.task import TaskRecipe
from ropewalk.stages.errors import StageError
from ropewalk.usecases.agreement import choose_answer
from ropewalk.usecases.endpoint import Endpoint
from ropewalk.usecases.schema import AnswerChecker

MOST = 10_000  # variants in a file, and examples that are looked at
_WORKERS, _SAMPLES = 8, 2
_TRIES_EACH, _TRIES_MORE = 10, 50  # for a variant, and for all of them
_FAILURES = 20  # one after the other: the endpoint is away
_MOST_PAUSE_S = 30.0
_TOLD = 20  # times, how many there are
_INPUT_HEAT, _ANSWER_HEAT = 1.0, 0.7
_ASK = """\
A model will be given inputs of one kind, with this instruction:

{instruction}

Here is one of the inputs, between two lines of dashes:
----
{example}
----
Write another input of the same kind, form and length that is about something else. Write the input alone: no answer, \
no dashes, no words around it."""


@dataclass(frozen=True, kw_only=True)
class SynthesisOrder:
    """`writer` is an endpoint, or the name and the folder of the base model. `pause_s`: after the first failure."""

    task: TaskRecipe
    examples: SourceRecipe
    target: Path
    count: int
    minutes: float
    writer: Endpoint | tuple[str, Path]
    pause_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Synthesised:
    """`num_there` are in the file now, `num_new` of them made in this call. `dropped` is by reason."""

    num_there: int
    num_new: int
    dropped: dict[str, int]
    ending: str = ""  # why there are fewer than were asked for


@dataclass(frozen=True)
class _Example:
    """`key`: what belongs to it is held out together or not at all."""

    asked: str
    key: str
    line: str


def synthesise(order: SynthesisOrder, say: Callable[[str], None]) -> Synthesised:
    """Write until there are as many as were asked for. Raises StageError where nothing can be made."""
    source, until = order.examples, time.monotonic() + 60 * order.minutes
    placed = placed_examples([source], Limits(), ANYWHERE)
    found = ((place, each) for place, each in placed if isinstance(each, Content) and each.is_answered)
    examples = [
        _Example(each.messages[-2].content, each.split_key, place.rpartition("#")[2])
        for place, each in islice(found, MOST)
        if not each.source
    ]
    if not examples:
        raise StageError(f"there is no example in {source.path} to make variants of: write some first")
    with _opened(order.target) as (file, there):
        known, num_before = KnownInputs(), len(there)
        for text in (*(each.asked for each in examples), *there):
            known.add(text)
        if num_before >= order.count:
            return Synthesised(num_there=num_before, num_new=0, dropped={})
        with closing(_writer(order, until)) as writer:
            making, num_new, ending = _Making(order, examples, known, writer), 0, ""
            for num_new, line in enumerate(making.lines(order.count - num_before, until), 1):
                file.write(line)
                file.flush()
                if (num_before + num_new) % max(1, order.count // _TOLD) == 0:
                    say(f"{num_before + num_new} of {order.count}")
        if num_before + num_new < order.count:
            ending = making.fault or "the time was over"
        return Synthesised(num_there=num_before + num_new, num_new=num_new, dropped=dict(making.dropped), ending=ending)


class _Making:
    """Threads that each try one variant after the other; what they make is looked at by one."""

    def __init__(self, order: SynthesisOrder, examples: list[_Example], known: KnownInputs, writer: Writer) -> None:
        self._order, self._known, self._writer = order, known, writer
        self._source = order.examples.model_copy(update={"key_field": ""})  # the mark says what belongs together
        self._longest = max(len(each.asked) for each in examples)
        Random().shuffle(examples)  # a second call begins with others
        self._examples, self._lock = cycle(examples), threading.Lock()
        self.dropped: Counter[str] = Counter()
        self.fault = ""

    def lines(self, count: int, until: float) -> Iterator[bytes]:
        """`count` of them, or fewer: `fault` says why."""
        results: queue.Queue[dict[str, Any] | WriterError | StageError | str] = queue.Queue(1)
        for _ in range(min(count, _WORKERS)):
            threading.Thread(target=self._work, args=(results,), daemon=True).start()
        num_made = failures = 0
        for _ in range(_TRIES_EACH * count + _TRIES_MORE):
            try:
                result = results.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return
            failures = failures + 1 if isinstance(result, WriterError) else 0
            if isinstance(result, StageError) or failures == _FAILURES:
                self.fault = str(result)
                return
            if isinstance(result, dict) and (line := self._line(result)):
                yield line
                num_made += 1
                if num_made == count:
                    return
            elif not isinstance(result, dict):
                self.dropped["no answer of the writer" if isinstance(result, WriterError) else result] += 1
        self.fault = "too few of what was written could be used"

    def _line(self, record: dict[str, Any]) -> bytes:
        """Empty for a record that another thread has made too, or that could not be read again."""
        text = json.dumps(record, ensure_ascii=False)
        if self._known.has_near(record[INPUT]):
            self.dropped["input nearly one that there is"] += 1
        elif isinstance(content_of(Record(record, len(text)), self._source), Content):
            self._known.add(record[INPUT])
            return text.encode() + b"\n"
        else:
            self.dropped["no record that can be read"] += 1
        return b""

    def _work(self, results: "queue.Queue[dict[str, Any] | WriterError | StageError | str]") -> None:
        failures = 0
        while True:
            with self._lock:
                example = next(self._examples)
            try:
                results.put(self._variant(example))
                failures = 0
            except WriterError as error:
                results.put(error)
                time.sleep(min(_MOST_PAUSE_S, self._order.pause_s * 2**failures))
                failures += 1
            except StageError as error:
                results.put(error)
                return

    def _variant(self, example: _Example) -> dict[str, Any] | str:
        """A record, or why there is none."""
        task = self._order.task
        asking = _ASK.format(instruction=task.instruction, example=example.asked)
        asked = self._writer.say(
            [{"role": "user", "content": asking}], max(64, self._longest // 2), _INPUT_HEAT
        ).strip()
        if is_blank(asked) or len(asked) > 2 * self._longest:
            return "no input of the right length"
        if self._known.has_near(asked):
            return "input nearly one that there is"
        turns = [{"role": "system", "content": task.instruction}, {"role": "user", "content": asked}]
        said = [self._writer.say(turns, task.max_answer_tokens, _ANSWER_HEAT) for _ in range(_SAMPLES)]
        checker = AnswerChecker(task.json_schema)
        answer = choose_answer([_bare(each) for each in said], _SAMPLES, checker)
        if not answer:
            return "answers that do not fit the schema or disagree"
        value, today = checker.parse(answer).value, datetime.now(UTC).date().isoformat()
        mark = {ORIGIN: example.key, "line": example.line, "by": self._writer.name, "date": today}
        return {INPUT: asked, OUTPUT: value if isinstance(value, dict | list) else answer, SYNTHETIC: mark}


def _bare(answer: str) -> str:
    """Without the fence that many models put around JSON."""
    lines = answer.strip().splitlines()
    fenced = len(lines) > 2 and lines[0].startswith("```") and lines[-1] == "```"
    return "\n".join(lines[1:-1]) if fenced else answer.strip()


def _writer(order: SynthesisOrder, until: float) -> Writer:
    if isinstance(order.writer, Endpoint):
        return EndpointWriter(order.writer, until)
    from ropewalk.client.synthesis.base_writer import BaseWriter  # loads torch

    name, folder = order.writer
    return BaseWriter(folder, name, until)


def _appended(target: Path) -> IO[bytes]:
    """Raises StageError for what is no regular file: a pipe would be waited for, and would hold nothing."""
    remedy = "move it away, for the variants are written there"
    try:
        # a pipe without a reader would block
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise StageError(f"{target.name} in the task's folder cannot be written ({error.strerror}): {remedy}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StageError(f"{target.name} in the task's folder is no regular file: {remedy}")
    return os.fdopen(descriptor, "a+b")


@contextmanager
def _opened(target: Path) -> Iterator[tuple[IO[bytes], list[str]]]:
    """The file to append to, without half a line at its end, and the inputs in it. Raises StageError."""
    with _appended(target) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StageError(f"{target.name} is being written by another call: wait for it") from None
        file.seek(0)
        lines = file.read().splitlines(keepends=True)
        if lines and not lines[-1].endswith(b"\n"):
            file.truncate(sum(map(len, lines[:-1])))
            lines.pop()
        try:
            there = [str(json.loads(line)[INPUT]) for line in lines if line.strip()]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise StageError(f"{target.name} has a line that is no record of a variant: mend or remove it") from None
        yield file, there
