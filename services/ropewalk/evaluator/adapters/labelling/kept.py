"""What a look at judged answers leaves in the store: for raters, for the next look, and for audits."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ropewalk.evaluator.adapters.judging.bench import JudgedLook
from ropewalk.evaluator.domain.labelling.answered import AnsweredItem
from ropewalk.evaluator.domain.labelling.rounds import Round
from ropewalk.evaluator.domain.labelling.sheets import Sheet, dumped
from ropewalk.storage.objects import ObjectStore
from ropewalk.tasksets.judges.shelf import RECORDED, store_judge
from ropewalk.tasksets.shelf import store_files

SHEETS, _ROUNDS, _ANSWERS = "sheets.jsonl", "rounds.json", "answers.jsonl"


def sheet_files(pair: str, sheets: Sequence[Sheet], rounds: Sequence[Round]) -> dict[str, bytes]:
    """What raters are asked, and what the next look must know of how it was drawn."""
    told = {"pair": pair, "rounds": [asdict(each) for each in rounds]}
    return {SHEETS: dumped(sheets), _ROUNDS: json.dumps(told).encode()}


def sheets_key(files: Mapping[str, bytes]) -> str:
    """Where they lie: by their content."""
    return f"sheets/{hashlib.sha256(b''.join(files.values())).hexdigest()[:32]}"


def keep(objects: ObjectStore, found: JudgedLook, scratch: Path) -> None:
    """Put all of it into the store, but for what is there; `scratch` is a folder that is not there yet."""
    lines = "".join(f"{json.dumps(asdict(each))}\n" for each in found.answers)
    store_files(objects, _answers_key(found.pair), {_ANSWERS: lines.encode()}, {}, scratch)
    for content, said in found.said:
        store_files(objects, _said_key(content, found.pair), {RECORDED: said}, {}, scratch)
    for audit in found.audits:
        store_judge(objects, audit.labels, scratch)
    if found.files:
        store_files(objects, sheets_key(found.files), found.files, {}, scratch)


def kept_answers(objects: ObjectStore, pair: str) -> tuple[AnsweredItem, ...]:
    """What both models of a pair answered; empty where nobody asked yet."""
    key = _answers_key(pair)
    if not objects.exists(key):
        return ()
    lines = (objects.fetch(key) / _ANSWERS).read_bytes().splitlines()
    return tuple(AnsweredItem(**json.loads(line)) for line in lines)


def kept_said(objects: ObjectStore, content: str, pair: str) -> bytes:
    """What a judge said about the answers of a pair; empty where it was not asked yet."""
    key = _said_key(content, pair)
    return (objects.fetch(key) / RECORDED).read_bytes() if objects.exists(key) else b""


def kept_rounds(objects: ObjectStore, key: str, pair: str) -> tuple[Round, ...]:
    """How items were drawn at the look before; empty where that compared another pair of models."""
    if not key or not objects.exists(key):
        return ()
    told = json.loads((objects.fetch(key) / _ROUNDS).read_bytes())
    rounds = told["rounds"] if told["pair"] == pair else []
    return tuple(Round(tuple(each["drawn"]), tuple(each["chances"])) for each in rounds)


def _answers_key(pair: str) -> str:
    return f"judged_answers/{pair}"


def _said_key(content: str, pair: str) -> str:
    return f"judge_answers/{content[:32]}-{pair}"
