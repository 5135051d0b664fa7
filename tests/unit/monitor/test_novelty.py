import math

import pytest

from ropewalk.monitor.domain.novelty import ByteBigrams


def test_probabilities_after_any_byte_add_up_to_one():
    model = ByteBigrams.of(["def f(x):\n    return x\n"])
    total = sum(2.0 ** -model.bits_per_byte("f" + chr(byte)) for byte in range(128))
    # the bytes above 127 cannot be written as one character: each has the unseen share of the unigram
    columns = model.counts.sum()
    unseen = 4.0 * (0.5 / (columns + 128)) / (model.counts[ord("f")].sum() + 4.0)
    assert total + 128 * unseen == pytest.approx(1.0)


def test_texts_like_the_model_are_less_novel_than_others():
    model = ByteBigrams.of(["for x in range(10):\n    print(x)\n"] * 20)
    assert model.bits_per_byte("for y in range(3):") < model.bits_per_byte("Ärger über größere Pläne")


def test_leaving_a_text_out_is_as_if_it_had_never_been_there():
    texts = ["import os\n", "def f(): pass\n", "日本語\n"]
    assert (ByteBigrams.of(texts).without(texts[2]).counts == ByteBigrams.of(texts[:2]).counts).all()


def test_a_packed_model_is_the_same_model():
    model = ByteBigrams.of(["import os\n", "été\n"])
    assert (ByteBigrams.unpacked(model.packed()).counts == model.counts).all()


def test_an_unseen_world_costs_eight_bits_a_byte():
    assert ByteBigrams.of([]).bits_per_byte("anything") == pytest.approx(math.log2(256))
    assert ByteBigrams.of([]).bits_per_byte("x") == 0.0
