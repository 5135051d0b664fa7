"""Reads the sources of a run: looks at them first, then makes sealed segments of them, one in memory at a time.

All of it runs in a child process. Whoever writes a file can make its reader take all the memory that it may have, or
end its process: neither must happen to the service.

A segment's identity leaves out when it was fetched, so that reading the same files again finds the segment that is
there (with the time of its first reading) instead of writing it anew.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ropewalk.corpus.document import DOCUMENTS, Document, write_documents
from ropewalk.corpus.reading.contents import contents
from ropewalk.corpus.reading.places import Reach
from ropewalk.corpus.reading.records import Content, Flaw, Limits
from ropewalk.corpus.reading.source import SourceFile
from ropewalk.corpus.reading.sources import list_files
from ropewalk.corpus.reading.survey import Survey, SurveyLimits, survey
from ropewalk.corpus.reading.unpacking import Meter
from ropewalk.events.data import CorpusIngested, RecordQuarantined, SegmentIngested, SegmentRef, SourceRegistered
from ropewalk.events.foreign import one_line
from ropewalk.ingest.adapters.quarantine import Quarantine
from ropewalk.ingest.domain.segments import batches, segment_identity
from ropewalk.recipes.recipe import SourceRecipe
from ropewalk.stages.errors import StageError
from ropewalk.stages.faults import in_one_line, is_of_the_work
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.objects import ObjectStore

# Before a run is accepted its data is looked at for this long at most; what is larger is simply accepted.
_FIRST_LOOK = SurveyLimits(seconds=2.0, num_bytes=8_000_000, num_files=20_000)
_PULSE_S = 30.0
_NUM_NAMED = 3  # sources and places in a sentence
Record = tuple[str, Content | Flaw]  # with its place


@dataclass(frozen=True, kw_only=True)
class IngestJob:
    """What the child is told."""

    run_id: str
    sources: tuple[SourceRecipe, ...]
    limits: Limits
    reach: Reach
    store: StoreAddress
    scratch: Path
    fetched_at: str


class _Pulse(Meter):
    """Reports None now and then while bytes are read: hours of flawed records are silent otherwise, not stalled."""

    def __init__(self, report: Callable[[object], None]) -> None:
        self._report = report
        self._next = time.monotonic() + _PULSE_S

    def count(self, num_packed: int, num_plain: int) -> None:
        if time.monotonic() >= self._next:
            self._report(None)
            self._next = time.monotonic() + _PULSE_S


@dataclass(frozen=True)
class _Reading:
    job: IngestJob
    objects: ObjectStore
    report: Callable[[object], None]
    pulse: Meter
    segments: list[SegmentRef] = field(default_factory=list)
    quarantined: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


def first_look(asked: tuple[tuple[SourceRecipe, ...], Limits, Reach], _: Callable[[object], None]) -> Survey:
    """What is in some sources, as far as two seconds tell."""
    sources, limits, reach = asked
    return survey(sources, _FIRST_LOOK, limits, reach)


def ingest_all(job: IngestJob, report: Callable[[object], None]) -> CorpusIngested:
    """Read every source, reporting each fact with its key, and None as a sign of life.

    Raises StageError if there is no document at all.
    """
    reading = _Reading(job, job.store.connect(), report, _Pulse(report))
    # The same source named twice is read once: its records would only be dropped as repetitions.
    for source_id, source in {source.source_id: source for source in job.sources}.items():
        _ingest_source(reading, source_id, source)
    if not reading.segments:
        raise StageError(_empty_corpus(reading))
    return CorpusIngested(
        run_id=job.run_id,
        segments=tuple(reading.segments),
        num_documents=sum(segment.num_documents for segment in reading.segments),
        num_bytes=sum(segment.num_bytes for segment in reading.segments),
        num_quarantined=reading.quarantined.total(),
    )


def _ingest_source(reading: _Reading, source_id: str, source: SourceRecipe) -> None:
    job, report = reading.job, reading.report
    files = list_files(source, job.reach)
    registered = SourceRegistered(
        run_id=job.run_id, source_id=source_id, path=source.path, licence=source.licence, num_files=len(files)
    )
    report((registered, source_id))
    with Quarantine(job.scratch / f"quarantine-{source_id}") as quarantine:
        documents = _documents(reading, source_id, source, files, quarantine)
        for batch in batches(documents, job.limits.segment_bytes):
            ref = _publish_segment(reading, batch)
            reading.segments.append(ref)
            report((SegmentIngested(run_id=job.run_id, source_id=source_id, segment=ref), ref.segment_id))
    for reason, held in quarantine.publish(reading.objects).items():
        reading.quarantined[reason] += held.num_records
        reading.examples.append(held.examples[0])
        event = RecordQuarantined(run_id=job.run_id, source_id=source_id, reason=reason, **vars(held))
        report((event, f"{source_id}/{reason}"))


def _documents(
    reading: _Reading, source_id: str, source: SourceRecipe, files: list[SourceFile], quarantine: Quarantine
) -> Iterator[Document]:
    job = reading.job
    for file in files:
        records = contents(file, source, job.limits, reading.pulse)
        for path, content in naming_the_place(file.path, records):
            match content:
                case Flaw():
                    quarantine.add(path, content)
                case Content():
                    yield Document(
                        source_id=source_id,
                        path=path,
                        licence=source.licence,
                        fetched_at=job.fetched_at,
                        **vars(content),
                    )


def naming_the_place(path: str, records: Iterator[Record]) -> Iterator[Record]:
    """The records of a file. Raises StageError with the last place for an error that would come again every time."""
    place = path
    try:
        for place, content in records:
            yield place, content
    except Exception as error:
        if not is_of_the_work(error):
            raise
        where = f"in the file {one_line(path)}" if place == path else f"behind the record {one_line(place)}"
        raise StageError(
            f"reading stopped {where}: {in_one_line(error)}; leave the file out with `exclude`, or mend it"
        ) from error


def _publish_segment(reading: _Reading, batch: list[Document]) -> SegmentRef:
    documents = sorted(batch, key=lambda document: (document.path, document.doc_id))
    segment_id = segment_identity(documents)
    ref = SegmentRef(
        segment_id=segment_id,
        uri=f"segments/{segment_id}",
        num_documents=len(documents),
        num_bytes=sum(document.num_bytes for document in documents),
    )
    if not reading.objects.exists(ref.uri):
        folder = reading.job.scratch / segment_id
        folder.mkdir()
        write_documents(folder / DOCUMENTS, documents)
        reading.objects.publish(folder, ref.uri, {"segment_id": segment_id, "num_documents": ref.num_documents})
    return ref


def _empty_corpus(reading: _Reading) -> str:
    sources = reading.job.sources[:_NUM_NAMED]
    paths = ", ".join(one_line(source.path) for source in sources)
    if reading.quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in reading.quarantined.most_common())
        first = "; ".join(reading.examples[:_NUM_NAMED])
        return f"no document was found in {paths}: every record was quarantined ({reasons}), the first of each: {first}"
    patterns = "; ".join(
        one_line(f"include {list(source.include)}, exclude {list(source.exclude)}") for source in sources
    )
    return f"the corpus is empty: no file in {paths} matches ({patterns}); change the path or the patterns"
