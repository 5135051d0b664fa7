"""BLEU and chrF by sacrebleu, whose tokens and smoothing are those that published figures are compared by."""

from collections.abc import Sequence


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU (Papineni et al. 2002), 0 to 100: 13a tokens, exponential smoothing.

    `references` holds sets: each has one reference per hypothesis, in their order.
    """
    from sacrebleu import corpus_bleu  # its imports only where texts are compared

    return float(corpus_bleu(list(hypotheses), [list(each) for each in references]).score)


def chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]], word_order: int = 0) -> float:
    """Corpus chrF2 (Popović 2015), 0 to 100: sequences of up to 6 characters; chrF++ with `word_order` 2."""
    from sacrebleu import corpus_chrf

    return float(corpus_chrf(list(hypotheses), [list(each) for each in references], word_order=word_order).score)


def sentence_bleu(hypothesis: str, references: Sequence[str]) -> float:
    """BLEU of one text, 0 to 100, to correlate with labels of items; a corpus' figure is no mean of these."""
    from sacrebleu import sentence_bleu as of_sentence

    return float(of_sentence(hypothesis, list(references)).score)
