"""Scores of documents, against one plain pass over each."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ropewalk.model.nll import ScoredTokens, bits_per_byte, score_documents


def plain_nats(model, tokens):
    """One pass, for a document that fits the context."""
    logits = model(input_ids=torch.tensor([[0, *tokens[:-1]]])).logits[0]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(tokens), reduction="sum").item()


def test_documents_that_fit_score_as_in_one_plain_pass(lively_model):
    documents = [[5, 9, 9, 4], [1], list(range(20, 36)), [7, 7]]
    scores = score_documents(
        lively_model, [ScoredTokens(tokens=d, num_bytes=len(d)) for d in documents], context_length=16, start_id=0
    )
    assert [score.nats for score in scores] == pytest.approx([plain_nats(lively_model, d) for d in documents], rel=1e-4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lengths=st.lists(st.integers(0, 70), min_size=1, max_size=5), tokens_at_once=st.integers(1, 120))
def test_every_token_counts_exactly_once_at_any_length(model, lengths, tokens_at_once):
    """A fresh model gives every token about ln(97) nats, so the sum counts the tokens."""
    documents = [ScoredTokens(tokens=[3] * length, num_bytes=length) for length in lengths]
    scores = score_documents(model, documents, context_length=16, start_id=0, tokens_at_once=tokens_at_once)
    assert [score.num_tokens for score in scores] == lengths
    for score, length in zip(scores, lengths, strict=True):
        assert score.nats == pytest.approx(length * math.log(97), rel=0.02)


def test_a_token_far_into_a_document_is_predicted_from_at_least_half_a_context(lively_model):
    tokens = torch.randint(1, 97, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    (score,) = score_documents(lively_model, [ScoredTokens(tokens=tokens, num_bytes=40)], context_length=16, start_id=0)
    with_start = [0, *tokens]
    expected = plain_nats(lively_model, tokens[:16])
    for first in (16, 24, 32):  # eight new tokens per window of sixteen
        inputs = with_start[first - 8 : first + 8]
        logits = lively_model(input_ids=torch.tensor([inputs])).logits[0, 8:]
        expected += torch.nn.functional.cross_entropy(
            logits, torch.tensor(tokens[first : first + 8]), reduction="sum"
        ).item()
    assert score.nats == pytest.approx(expected, rel=1e-4)


def test_only_counted_tokens_score(lively_model):
    tokens, counted = [5, 9, 9, 4], [False, True, False, True]
    (some,) = score_documents(
        lively_model, [ScoredTokens(tokens=tokens, num_bytes=4, counted=counted)], context_length=16, start_id=0
    )
    logits = lively_model(input_ids=torch.tensor([[0, *tokens[:-1]]])).logits[0]
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens), reduction="none")
    assert some.num_tokens == 2
    assert some.nats == pytest.approx((losses[1] + losses[3]).item(), rel=1e-4)


def test_bits_per_byte_weighs_documents_by_their_bytes(model):
    scores = score_documents(
        model,
        [ScoredTokens(tokens=[1, 2], num_bytes=8), ScoredTokens(tokens=[1] * 10, num_bytes=8)],
        context_length=16,
        start_id=0,
    )
    assert bits_per_byte(scores) == pytest.approx(12 * math.log2(97) / 16, rel=0.02)
