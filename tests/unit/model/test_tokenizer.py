"""A tokenizer folder as preprocessing writes it."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ropewalk.model.chat.encoder import Encoder
from ropewalk.model.tokenizer import decode, load_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["def add(a, b):\n    return a + b\n"] * 3, trainer)
    path = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[0]).save_pretrained(path)
    return path


@pytest.mark.parametrize("text", ["", "  two  spaces ,", "def add(a, b):\n\treturn 'ünï ✓'\n", " lead"])
def test_text_survives_encoding_and_decoding(folder, text):
    assert decode(load_tokenizer(folder), Encoder(folder).text(text)) == text
