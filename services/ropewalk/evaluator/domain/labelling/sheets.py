"""What one rater is asked once: one answer by one criterion, or which of two is better. Content is its identity.

Two models that answer alike have one sheet, and a label of it counts for both, whatever run wanted it.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

PAIR = "pair"  # the scale of a comparison; of grades it is `0-3`


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """`answers`: one to be graded, or two to be compared, in the order of their hashes so that nobody's comes first.

    `rubric` is the digest of what it is judged by: labels by one rubric are none by another. `chance` is that with
    which the item was drawn to be labelled; `gold` the grade that everybody should give, None where nobody knows.
    """

    item_id: str
    cluster: str
    criterion: str
    scale: str
    rubric: str = ""
    question: str
    answers: tuple[str, ...]
    reference: str = ""
    note: str = ""
    chance: float = 1.0
    gold: int | None = None

    @property
    def sheet_id(self) -> str:
        """The hash of what is asked."""
        asked = (self.question, self.reference, self.note, self.answers)
        told = (self.item_id, self.criterion, self.scale, self.rubric, *asked)
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]

    @property
    def grades(self) -> tuple[int, ...]:
        """Those that may be given."""
        top = 2 if self.scale == PAIR else int(self.scale.rpartition("-")[2])
        return tuple(range(top + 1))


def in_order(answers: Sequence[str]) -> tuple[str, ...]:
    """As a sheet has them."""
    return tuple(sorted(answers, key=lambda each: hashlib.sha256(each.encode()).digest()))


def dumped(sheets: Iterable[Sheet]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(asdict(each), ensure_ascii=False).encode() + b"\n" for each in sheets)


def loaded(body: bytes) -> tuple[Sheet, ...]:
    """What `dumped` wrote."""
    records = [json.loads(line) for line in body.split(b"\n") if line]
    return tuple(Sheet(**{**each, "answers": tuple(each["answers"])}) for each in records)
