"""BLEU, chrF and TER by sacrebleu, whose tokens and smoothing are those that published figures are compared by.

Texts are `hypotheses`, `references` either one for each, or several sets with one for each. Figures are of a corpus,
from 0 to 100, and no means of figures of its texts.
"""

from collections.abc import Sequence
from typing import Any

References = Sequence[str] | Sequence[Sequence[str]]


def bleu(hypotheses: Sequence[str], references: References) -> float:
    """BLEU (Papineni et al. 2002): 13a tokens, exponential smoothing."""
    return float(bleu_parts(hypotheses, references)["score"])


def bleu_parts(hypotheses: Sequence[str], references: References) -> dict[str, Any]:
    """The same with its `precisions` of one to four words in percent and its brevity penalty `bp`."""
    from sacrebleu import corpus_bleu  # its imports only where texts are compared

    found = corpus_bleu(list(hypotheses), _sets(references))
    return {"score": found.score, "precisions": found.precisions, "bp": found.bp}


def chrf(hypotheses: Sequence[str], references: References, word_order: int = 0) -> float:
    """chrF2 (Popović 2015): sequences of up to 6 characters; chrF++ with `word_order` 2."""
    from sacrebleu import corpus_chrf

    return float(corpus_chrf(list(hypotheses), _sets(references), word_order=word_order).score)


def ter(hypotheses: Sequence[str], references: References) -> float:
    """TER (Snover et al. 2006): edits per word of the reference, fewer are better."""
    from sacrebleu import corpus_ter

    return float(corpus_ter(list(hypotheses), _sets(references)).score)


def sentence_bleu(hypothesis: str, references: Sequence[str]) -> float:
    """BLEU of one text with any number of references, to correlate with labels of items."""
    from sacrebleu import sentence_bleu as of_sentence

    return float(of_sentence(hypothesis, list(references)).score)


def sentence_chrf(hypothesis: str, references: Sequence[str]) -> float:
    """chrF2 of one text with the nearest of any number of references."""
    from sacrebleu import sentence_chrf as of_sentence

    return float(of_sentence(hypothesis, list(references)).score)


def _sets(references: References) -> list[list[str]]:
    alone = [each for each in references if isinstance(each, str)]
    return [alone] if alone else [list(each) for each in references]
