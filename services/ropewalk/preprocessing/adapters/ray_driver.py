"""The passes over a corpus in order. Runs in a child process; everything large happens in tasks.

answer inputs, if there are any (tasks) -> clean (tasks) -> deduplicate and split -> decontaminate (tasks) -> tokenizer
-> encode (tasks) -> ask the base model, if the objective needs it (tasks) -> assemble
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ropewalk.corpus.document import DOCUMENTS, Document, read_documents, write_documents
from ropewalk.corpus.trained import KEPT
from ropewalk.events.data import BlockedTaskSet, DatasetPublished, SegmentCleaned, SegmentRef, TokenizerTrained
from ropewalk.preprocessing.adapters.asking import asked_in_time
from ropewalk.preprocessing.adapters.cleaned import CleanedCorpus
from ropewalk.preprocessing.adapters.dataset import Assembly, publish_dataset
from ropewalk.preprocessing.adapters.encoding import EncodeOrder
from ropewalk.preprocessing.adapters.evalset import publish_evalset
from ropewalk.preprocessing.adapters.guarded import Guarded, readable_sets
from ropewalk.preprocessing.adapters.job import PreprocessJob
from ropewalk.preprocessing.adapters.references import DOCUMENTS_A_TASK, ReferenceOrder, ask_reference, check_asked
from ropewalk.preprocessing.adapters.registry import HeldOutBefore, publish_held_out
from ropewalk.preprocessing.adapters.self_training import INPUTS_A_TASK, AnswerOrder, answer_inputs
from ropewalk.preprocessing.adapters.sketching import plain_text, told_turns
from ropewalk.preprocessing.adapters.tasks import (
    PASSAGES,
    EncodedSegment,
    check_examples_fit,
    clean_segment,
    encode_segment,
    hash_of,
    left_out,
    made_once,
    match_items,
    told_lengths,
)
from ropewalk.preprocessing.adapters.tokenizer import (
    TokenizerFacts,
    adopt_tokenizer,
    bytes_per_token,
    describe,
    publish_tokenizer,
    train_tokenizer,
)
from ropewalk.preprocessing.adapters.workers import Workers
from ropewalk.preprocessing.domain.contamination import Pairs, in_corpus, no_pairs
from ropewalk.preprocessing.domain.held_items import held_items
from ropewalk.preprocessing.domain.held_out import Registry
from ropewalk.preprocessing.domain.sampling import TokenizerSample
from ropewalk.preprocessing.domain.states import DEV, HELD_OUT, count_states, first_states, thinned
from ropewalk.recipes.bases import base_location
from ropewalk.recipes.formats import INPUTS
from ropewalk.recipes.recipe import Plan
from ropewalk.stages.errors import StageError
from ropewalk.storage.manifest import file_sha256
from ropewalk.storage.objects import ObjectStore

T = TypeVar("T")
_RATE_SAMPLE_BYTES = 300_000
_BYTES_PER_TOKEN = 4  # or less


def preprocess(job: PreprocessJob, report: Callable[[object], None]) -> tuple[DatasetPublished, float]:
    """Make a dataset version from segments, reporting (fact, key), and say what CPU time the tasks took, without Ray.

    Raises StageError when nothing can be learnt.
    """
    with Workers(job.ray_address, job.num_workers) as workers:
        dataset = _Driver(job, workers, report).run()
    return dataset, workers.cpu_seconds


class Parts(NamedTuple):
    """What is put together: encoded segments, and where the rows of another model lie that was asked about them."""

    encoded: list[EncodedSegment]
    references: list[str]


class _Driver:
    """One corpus on its way. The order of segments is that of their ids, whatever order they came in."""

    def __init__(self, job: PreprocessJob, workers: Workers, report: Callable[[object], None]) -> None:
        self._job = job
        self._workers = workers
        self._report = report
        self._objects: ObjectStore = job.store.connect()
        self._segments = [segment for _, segment in sorted({each.segment_id: each for each in job.segments}.items())]
        self._work = f"work/{job.run_id}"

    def run(self) -> DatasetPublished:
        """All passes, then the facts about the whole."""
        arguments = [(self._job.store, uri, self._job.recipe.profile) for uri in self._answer_inputs()]
        corpus = CleanedCorpus(self._objects, self._workers.all(clean_segment, arguments))
        recipe = self._job.recipe
        signatures = corpus.load_entries()  # (n, 112) of uint32: 448 bytes per document
        before = HeldOutBefore(self._objects, self._first_seen("registry", self._job.held_out_before), recipe.model)
        fraction, registry = recipe.evaluation.held_out_fraction, before.load()
        corpus.states = first_states(corpus.entries, signatures, recipe.profile, fraction, registry)
        blocked = self._decontaminate(corpus, before)
        if recipe.evaluation.learnt_fraction < 1:  # last: nothing else depends on how much is learnt
            corpus.states = thinned(corpus.states, corpus.entries, recipe.evaluation.learnt_fraction, recipe.seed)
        if not corpus.in_state(KEPT) or not corpus.in_state(HELD_OUT):
            raise StageError(_too_few(corpus.states, recipe.model))
        tokenizer = self._make_tokenizer(corpus)
        encoded = self._encode(corpus, tokenizer)
        references = [] if recipe.derived.objective == "sft" else self._ask_reference(corpus, tokenizer, encoded)
        return self._assemble(corpus, tokenizer, Parts(encoded, references), registry).model_copy(
            update={"task_sets": blocked}
        )

    def _answer_inputs(self) -> list[str]:
        """The keys of the segments, with what the base model answers to records that have no answer."""
        uris = [segment.uri for segment in self._segments]
        if all(source.format != INPUTS for source in self._job.recipe.sources):
            return uris
        orders = [
            (AnswerOrder(segment_uri=segment.uri, first=first, recipe=self._job.recipe, prefix=self._work), size)
            for segment in self._segments
            for first, size in _tasks(segment.num_documents, INPUTS_A_TASK)
        ]
        parts: dict[str, dict[int, str]] = {uri: {} for uri in uris}
        for place, part in self._ask("answers", answer_inputs, orders):
            parts[orders[place][0].segment_uri][place] = part

        def joined(uri: str) -> str:
            def write(folder: Path) -> dict[str, Any]:
                folders = (self._objects.fetch(part) for _, part in sorted(parts[uri].items()))
                documents = (read_documents(each / DOCUMENTS) for each in folders)
                write_documents(folder / DOCUMENTS, chain.from_iterable(documents))
                return {}

            return made_once(self._objects, f"{self._work}/answered-{hash_of(uri)}", write)

        return [joined(uri) for uri in uris]

    def _ask(
        self, purpose: Literal["answers", "references"], task: Callable[..., Any], orders: Sequence[tuple[Any, int]]
    ) -> Iterator[tuple[int, Any]]:
        return asked_in_time(self._job, self._workers, self._report, purpose, (task, orders))

    def _first_seen(self, name: str, found: Sequence[T]) -> list[T]:
        """What the first attempt saw of the log: a later one must come to the same split."""

        def write(folder: Path) -> dict[str, Any]:
            (folder / "uris.json").write_text(json.dumps(found))
            return {}

        folder = self._objects.fetch(made_once(self._objects, f"{self._work}/{name}", write))
        seen: list[T] = json.loads((folder / "uris.json").read_text())
        return seen

    def _decontaminate(self, corpus: CleanedCorpus, before: HeldOutBefore) -> tuple[BlockedTaskSet, ...]:
        """Nothing that is kept gives away what is held out now or was before, or is an item of a frozen task set."""
        present = {corpus.entries[at].content for at in corpus.in_state(HELD_OUT)}
        absent = (document for content, document in before.documents() if content not in present)
        found = chain(corpus.documents(HELD_OUT), corpus.documents(DEV))
        held_out = chain((document for _, document in found), absent)
        frozen = self._first_seen("task_sets", self._job.task_sets)
        sets = readable_sets(self._objects, frozen, self._job.recipe.evaluation.task_sets)
        guarded = Guarded(
            (
                held_items((plain_text(document), told_turns(document)) for document in held_out),
                *(items for _, _, items in sets),
            )
        )
        training = self._find(corpus, guarded.wanted, guarded.halves) if len(guarded.wanted) else no_pairs()
        _, *leaks = given_away = guarded.leaks(training, len(corpus.in_state(KEPT)))
        for at in set[int]().union(*given_away):
            corpus.states[at] = "contaminated"
        return tuple(
            BlockedTaskSet(task_set=name, content=content, num_items=items.num_documents, num_dropped=len(dropped))
            for (name, content, items), dropped in zip(sets, leaks, strict=True)
        )

    def _find(self, corpus: CleanedCorpus, wanted: NDArray[np.uint64], halves: tuple[int, ...]) -> Pairs:
        """The documents to learn from that hold one of the passages."""
        folder = self._job.scratch / "passages"
        folder.mkdir()
        np.save(folder / PASSAGES, wanted)
        # Through the store and not as an argument: it may be large, and Ray's own store is small.
        uri = f"{self._work}/passages-{file_sha256(folder / PASSAGES)}"
        self._objects.publish(folder, uri, {})
        found = self._workers.all(match_items, [(self._job.store, cleaned, uri, halves) for cleaned in corpus.uris])
        self._objects.delete(uri)
        firsts = [corpus.of_segment(segment)[0] for segment in range(len(corpus.uris))]
        pairs = np.concatenate([in_corpus(part, first) for part, first in zip(found, firsts, strict=True)])
        return pairs[np.isin(pairs[:, 0], corpus.in_state(KEPT))]

    def _make_tokenizer(self, corpus: CleanedCorpus) -> TokenizerFacts:
        recipe = self._job.recipe
        folder = self._job.scratch / "tokenizer"
        folder.mkdir()
        kept = [corpus.entries[at] for at in corpus.in_state(KEPT)]
        if recipe.has_base:
            adopt_tokenizer(
                base_location(recipe, self._objects), folder, for_chat=any(entry.is_conversation for entry in kept)
            )
        else:
            sample = TokenizerSample(num_documents=len(kept), num_bytes=sum(entry.num_bytes for entry in kept))
            texts = (
                _training_text(document)[: sample.cut_chars]
                for _, document in corpus.documents(KEPT)
                if sample.takes(document.doc_id)
            )
            train_tokenizer(texts, recipe.derived.vocab_size, folder)
        rate = bytes_per_token(folder, _first_texts(corpus))
        uri = publish_tokenizer(self._objects, folder)
        facts = describe(self._objects.fetch(uri), uri)
        event = TokenizerTrained(
            run_id=self._job.run_id,
            uri=uri,
            sha256=facts.sha256,
            vocab_size=facts.vocab_size,
            bytes_per_token=rate,
        )
        self._report((event, facts.sha256))
        return facts

    def _encode(self, corpus: CleanedCorpus, tokenizer: TokenizerFacts) -> list[EncodedSegment]:
        """Encode what is kept; each segment's count is final, and reported, when it is encoded."""
        kept = [corpus.entries[at] for at in corpus.in_state(KEPT)]
        has_mask, plan = any(entry.is_conversation for entry in kept), self._job.recipe.derived
        sizes = [entry.num_bytes for entry in kept]
        orders = [
            EncodeOrder(
                cleaned_uri=uri,
                keep=tuple(corpus.entries[at].place for at in corpus.of_segment(segment) if corpus.states[at] == KEPT),
                tokenizer=tokenizer,
                context_length=plan.context_length,
                has_mask=has_mask,
                prefix=self._work,
                learns_preference=plan.objective == "dpo",
                shares_windows=has_mask and plan.document_masks and _is_enough_to_share(sizes, plan),
            )
            for segment, uri in enumerate(corpus.uris)
        ]
        results: dict[int, EncodedSegment] = {}
        for segment, encoded in self._workers.each(encode_segment, [(self._job.store, order) for order in orders]):
            places = corpus.of_segment(segment)
            for place, reason in encoded.refused:
                corpus.states[places[place]] = reason
            self._report_cleaned(self._segments[segment], [corpus.states[at] for at in places])
            results[segment] = encoded
        return [results[segment] for segment in range(len(orders))]

    def _report_cleaned(self, segment: SegmentRef, states: list[str]) -> None:
        kept, held_out, dropped = count_states(states)
        event = SegmentCleaned(
            run_id=self._job.run_id,
            segment_id=segment.segment_id,
            num_inputs=segment.num_documents,
            num_kept=kept,
            num_held_out=held_out,
            dropped=dropped,
        )
        assert kept + held_out + sum(dropped.values()) == segment.num_documents, "every document has one state"
        self._report((event, segment.segment_id))

    def _ask_reference(
        self, corpus: CleanedCorpus, tokenizer: TokenizerFacts, encoded: list[EncodedSegment]
    ) -> list[str]:
        """Where the rows of the base model lie, in the order of the encoded tokens."""
        recipe, prefix = self._job.recipe, self._work
        orders = [
            (
                ReferenceOrder(
                    part_uri=part.uri,
                    cleaned_uri=cleaned,
                    tokenizer=tokenizer,
                    first=first,
                    recipe=recipe,
                    prefix=prefix,
                ),
                size,
            )
            for part, cleaned in zip(encoded, corpus.uris, strict=True)
            for first, size in _tasks(part.num_documents, DOCUMENTS_A_TASK)
        ]
        uris: dict[int, str] = dict(self._ask("references", ask_reference, orders))
        check_asked(self._objects, list(uris.values()), self._job.recipe)
        return [uris[place] for place in range(len(orders))]

    def _assemble(
        self, corpus: CleanedCorpus, tokenizer: TokenizerFacts, parts: Parts, registry: Registry
    ) -> DatasetPublished:
        plan = self._job.recipe.derived
        if self._job.recipe.task is not None:
            check_examples_fit(parts.encoded, plan.context_length)
        evalset_uri = publish_evalset(self._objects, self._job.scratch / "evalset", corpus)
        registered = self._publish_held_out(corpus, registry)
        assembly = Assembly(
            folder=self._job.scratch / "dataset",
            parts=[self._objects.fetch(part.uri) for part in parts.encoded],
            references=[self._objects.fetch(uri) for uri in parts.references],
            tokenizer=tokenizer,
            context_length=plan.context_length,
            has_mask=any(corpus.entries[at].is_conversation for at in corpus.in_state(KEPT)),
            evalset_uri=evalset_uri,
            sketches=corpus.sketches[corpus.in_state(KEPT)],
            left_out=left_out(parts.encoded),
        )
        names = [segment.segment_id for segment in self._segments]
        meta, uri = publish_dataset(self._objects, assembly, corpus.state_records(names), min_windows=plan.batch_size)
        # The dataset is sealed: a later attempt finds it and needs none of these.
        for leftover in self._objects.list(self._work):
            self._objects.delete(leftover)
        kept, held_out, dropped = count_states(corpus.states)
        return DatasetPublished(
            run_id=self._job.run_id,
            dataset_version=meta.dataset_version,
            uri=uri,
            tokenizer_uri=tokenizer.uri,
            evalset_uri=evalset_uri,
            num_inputs=len(corpus.states),
            num_kept=kept,
            num_held_out=held_out,
            num_dev=len(corpus.in_state(DEV)),
            dropped=dropped,
            num_tokens=meta.num_tokens,
            num_windows=meta.num_windows,
            context_length=meta.context_length,
            model=self._job.recipe.model,
            **registered,
            num_synthetic=sum(corpus.entries[at].is_synthetic for at in corpus.in_state(KEPT)),
            **told_lengths(parts.encoded),
        )

    def _publish_held_out(self, corpus: CleanedCorpus, registry: Registry) -> dict[str, Any]:
        """Where the documents are that are held out for the first time, their hash, and how many they are: as told."""
        added = [
            (corpus.entries[at].content, document)
            for at, document in corpus.documents(HELD_OUT)
            if corpus.entries[at].content not in registry.names
        ]
        uri, sha256 = publish_held_out(self._objects, self._job.scratch / "held-out", added) if added else ("", "")
        counts = {"num_newly_held_out": len(added), "num_registered": registry.num_documents + len(added)}
        return {"held_out_uri": uri, "held_out_sha256": sha256, **counts}


def _tasks(num_documents: int, size: int) -> list[tuple[int, int]]:
    """Of each task where it begins and how many documents it has."""
    return [(first, min(size, num_documents - first)) for first in range(0, num_documents, size)]


def _is_enough_to_share(sizes: list[int], plan: Plan) -> bool:
    """Whether documents of so many bytes that share windows still fill about two batches: a few would not fill one."""
    window = _BYTES_PER_TOKEN * plan.context_length
    return sum(min(size, window) for size in sizes) >= 2 * plan.batch_size * window


def _training_text(document: Document) -> str:
    """What the tokenizer learns from: the text, or every turn, the system's too."""
    return document.text or "\n".join(turn.content for turn in document.messages)


def _first_texts(corpus: CleanedCorpus) -> list[str]:
    """Kept texts to measure the bytes per token on."""
    texts: list[str] = []
    size = 0
    for _, document in corpus.documents(KEPT):
        texts.append(_training_text(document)[:_RATE_SAMPLE_BYTES])
        size += len(texts[-1])
        if size >= _RATE_SAMPLE_BYTES:
            break
    return texts


def _too_few(states: list[str], model: str) -> str:
    kept, held_out, dropped = count_states(states)
    reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "none dropped"
    if held_out > 1:
        return (
            f"nothing is left to learn from: of {len(states)} documents {held_out} are held out to judge model {model} "
            f"by, now or by an earlier run, and the rest is dropped ({reasons}): add sources"
        )
    if kept > 1:
        return (
            f"nothing can be held out: all {kept} documents that are left belong together, as parts of one text or by "
            "key_field: add sources, or choose another key_field"
        )
    return (
        f"too few documents: of {len(states)}, {kept + held_out} are left after cleaning ({reasons}), and at least two "
        "are needed, one to learn from and one to judge by: add sources, or split a long file into several or into "
        "JSONL records"
    )
