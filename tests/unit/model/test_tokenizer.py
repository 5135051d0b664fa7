"""A tokenizer folder as preprocessing writes it."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ropewalk.model.tokenizer import decode, encode, encode_chat, load_tokenizer


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
    template = (
        "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|endoftext|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=special[0], chat_template=template).save_pretrained(
        path
    )
    return path


@pytest.mark.parametrize("text", ["", "  two  spaces ,", "def add(a, b):\n\treturn 'ünï ✓'\n", " lead"])
def test_text_survives_encoding_and_decoding(folder, text):
    tokenizer = load_tokenizer(folder)
    assert decode(tokenizer, encode(tokenizer, text)) == text


def test_a_conversation_ends_where_the_answer_begins(folder):
    tokenizer = load_tokenizer(folder)
    ids = encode_chat(tokenizer, [{"role": "user", "content": "add"}])
    assert (ids[0], ids[-2]) == (1, 2)
    assert 0 in ids
    assert decode(tokenizer, ids) == "\nadd\n"
