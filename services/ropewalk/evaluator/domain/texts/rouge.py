"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004) without stemming: overlap of words, blind to their meaning.

"the gunman kill police" has the same ROUGE-1 and ROUGE-2 for "police killed the gunman" as "police kill the gunman".
"""

import re
from collections import Counter
from dataclasses import dataclass

_WORDS = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Overlap:
    """Shares of the hypothesis and of the reference that the other has, and their harmonic mean."""

    precision: float
    recall: float
    f: float


def rouge_n(reference: str, hypothesis: str, n: int) -> Overlap:
    """Common sequences of `n` words, each counted as often as both have it."""
    ours, theirs = (
        Counter(zip(*(words[at:] for at in range(n)), strict=False)) for words in _both(reference, hypothesis)
    )
    return _overlap((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(reference: str, hypothesis: str) -> Overlap:
    """The longest common subsequence of words."""
    theirs, ours = _both(reference, hypothesis)
    lengths = [0] * (len(ours) + 1)
    for word in theirs:
        before = lengths
        lengths = [0]
        for place, other in enumerate(ours):
            lengths.append(before[place] + 1 if word == other else max(lengths[-1], before[place + 1]))
    return _overlap(lengths[-1], len(theirs), len(ours))


def _both(reference: str, hypothesis: str) -> tuple[list[str], list[str]]:
    return _WORDS.findall(reference.lower()), _WORDS.findall(hypothesis.lower())


def _overlap(common: int, of_reference: int, of_hypothesis: int) -> Overlap:
    precision, recall = common / max(1, of_hypothesis), common / max(1, of_reference)
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall) if common else 0.0)
