"""Which sheet a rater gets next: what is worth most, and now and then one that says how good the labels are.

Pure: the same rater who has said the same gets the same sheet again, however often the page is asked for.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ropewalk.evaluator.domain.labelling.sheets import PAIR, Sheet
from ropewalk.events.label import LabelGiven, SheetKind
from ropewalk.projections.labels import Labelled

BLOCK = 20  # labels, of which one is gold and two are repeats: 5 % and 10 %
_NUM_GOLD, _NUM_REPEATS = 1, 2
_APART = 4  # labels at least between a sheet and its repeat, and before the first of either in a block


@dataclass(frozen=True, kw_only=True)
class AskedSheets:
    """What people are asked now. `raters_each` is by the id of a sheet; `gold` are sheets whose grade is known."""

    sheets: Sequence[Sheet]
    raters_each: Mapping[str, int]
    gold: Sequence[Sheet] = ()

    def find(self, sheet_id: str) -> Sheet | None:
        """A sheet that may be labelled."""
        return next((each for each in (*self.sheets, *self.gold) if each.sheet_id == sheet_id), None)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a rater is asked: `position` says which label of theirs the answer will be, from 1."""

    position: int
    sheet: Sheet
    kind: SheetKind
    shown_first: int  # of a pair: which of the sheet's answers


def seeded(*parts: object) -> float:
    """From 0 to 1, by a hash: as good as chance, and the same for the same parts."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def open_for(rater: str, wanted: AskedSheets, said: Labelled) -> list[Sheet]:
    """The sheets that this rater has said nothing of and too few others have, the most valuable first."""
    voices = said.raters()

    def value(sheet: Sheet) -> tuple[float, ...]:
        # what is drawn with a higher chance leaves more doubt
        return len(voices.get(sheet.sheet_id, ())), -sheet.chance, seeded(rater, sheet.sheet_id)

    found = (each for each in wanted.sheets if rater not in voices.get(each.sheet_id, ()))
    return sorted(
        (each for each in found if len(voices.get(each.sheet_id, ())) < wanted.raters_each[each.sheet_id]), key=value
    )


def next_offer(rater: str, wanted: AskedSheets, said: Labelled) -> Offer | None:
    """None where this rater has nothing left to say. What was just taken back comes again."""
    position = next_position(rater, said)
    back = said.withdrawn.get((rater, position - 1))
    sheet = wanted.find(back.sheet_id) if back is not None else None
    if back is not None and sheet is not None:
        return Offer(position=position, sheet=sheet, kind=back.kind, shown_first=back.shown_first)
    left = open_for(rater, wanted, said)
    if not left:
        return None
    own = [label for (who, _), label in said.labels.items() if who == rater]
    kind = _kind_at(rater, position)
    others = _unseen(wanted.gold, own) if kind == "gold" else _repeatable(wanted, own) if kind == "repeat" else []
    chosen = min(others, key=lambda each: seeded(rater, position, each.sheet_id), default=None)
    sheet, kind = (left[0], "wanted") if chosen is None else (chosen, kind)
    first = int(sheet.scale == PAIR and seeded(rater, sheet.sheet_id, kind, "first") < 0.5)
    return Offer(position=position, sheet=sheet, kind=kind, shown_first=first)


def kind_of(rater: str, sheet_id: str, wanted: AskedSheets, said: Labelled) -> SheetKind:
    """Why this rater is asked of a sheet next, whatever others have said since: a page does not tell."""
    back = said.withdrawn.get((rater, next_position(rater, said) - 1))
    if back is not None and back.sheet_id == sheet_id:
        return back.kind
    if any(who == rater and label.sheet_id == sheet_id for (who, _), label in said.labels.items()):
        return "repeat"
    return "gold" if any(each.sheet_id == sheet_id for each in wanted.gold) else "wanted"


def next_position(rater: str, said: Labelled) -> int:
    """That of the label which this rater gives next."""
    return 1 + max((place for who, place in (*said.labels, *said.withdrawn) if who == rater), default=0)


def _kind_at(rater: str, position: int) -> SheetKind:
    """Places in a block are drawn for each rater, by a hash: the page does not tell them, who knows this code can."""
    block, place = divmod(position - 1, BLOCK)
    drawn = sorted(range(_APART, BLOCK), key=lambda each: seeded(rater, block, each))
    if place in drawn[:_NUM_GOLD]:
        return "gold"
    return "repeat" if place in drawn[_NUM_GOLD : _NUM_GOLD + _NUM_REPEATS] else "wanted"


def _unseen(gold: Sequence[Sheet], own: Sequence[LabelGiven]) -> list[Sheet]:
    seen = {label.sheet_id for label in own}
    return [each for each in gold if each.sheet_id not in seen]


def _repeatable(wanted: AskedSheets, own: Sequence[LabelGiven]) -> list[Sheet]:
    """What this rater labelled a while ago, once."""
    told = [label.sheet_id for label in sorted(own, key=lambda label: label.position)]
    early = set(told[:-_APART])
    return [each for each in wanted.sheets if each.sheet_id in early and told.count(each.sheet_id) == 1]
