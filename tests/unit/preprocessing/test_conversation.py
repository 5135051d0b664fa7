"""A conversation is encoded with exact masks, or refused for a true reason, and never ends the work on the others."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ropewalk.corpus.document import DOCUMENTS, ChatMessage, Document, read_records, write_documents
from ropewalk.corpus.shards import MASK, TOKENS
from ropewalk.model.chat.encoder import Encoder
from ropewalk.preprocessing.adapters.conversation import ConversationEncoder
from ropewalk.preprocessing.adapters.encoding import RESULT, EncodeOrder, write_encoded
from ropewalk.preprocessing.adapters.tasks import EncodedSegment, check_examples_fit, left_out, told_lengths
from ropewalk.preprocessing.adapters.tokenizer import CHAT_TEMPLATE, TokenizerFacts, adopt_tokenizer, train_tokenizer
from ropewalk.stages.errors import StageError

STRICT = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}"
    "{% endif %}<|{{ m.role }}|>\n{{ m.content }}<|endoftext|>{% endfor %}"
)
THINKING = (
    "{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' and loop.last %}(thought)\n{% endif %}"
    "{{ m.content }}<|endoftext|>{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    train_tokenizer(["say what you mean (thought) and mean it"] * 5, 320, folder)
    return folder


def said(*contents: str, first: str = "user", weights: tuple[int, ...] = ()) -> tuple[ChatMessage, ...]:
    roles = ["user", "assistant"] if first == "user" else ["assistant", "user"]
    pairs = [(roles[place % 2], content) for place, content in enumerate(contents)]
    return tuple(
        ChatMessage(role=role, content=content, weight=weights[place] if weights else 1)
        for place, (role, content) in enumerate(pairs)
    )


def learnt(folder: Path, messages: tuple[ChatMessage, ...], template: str = "") -> str:
    """What counts, as text; or the reason of the refusal."""
    if template:
        (folder / "chat_template.jinja").write_text(template)
    encoder = Encoder(folder)
    encoded = ConversationEncoder(folder, encoder).encode(messages)
    if isinstance(encoded, str):
        return encoded
    ids, mask = encoded
    return encoder.tokenizer.decode(
        [i for i, counts in zip(ids, mask, strict=True) if counts], skip_special_tokens=False
    )


def test_every_answer_counts_with_its_end_token(base: Path) -> None:
    assert learnt(base, said("a", "one", "b", "two")) == "one<|endoftext|>two<|endoftext|>"


def test_a_conversation_that_begins_with_the_assistant_is_learnt_or_refused_by_its_template(base: Path) -> None:
    greeting = said("Good morning", "a", "one", first="assistant")
    assert learnt(base, greeting) == "Good morning<|endoftext|>one<|endoftext|>"
    assert learnt(base, greeting, STRICT) == "template_refused"
    assert learnt(base, said("a", "one"), STRICT) == "one<|endoftext|>"


def test_a_think_block_after_the_last_question_refuses_no_conversation_of_many_turns(base: Path) -> None:
    shown = learnt(base, said("a", "one", "b", "two", "c", "three"), THINKING)
    assert shown == "one<|endoftext|>two<|endoftext|>(thought)\nthree<|endoftext|>"


def test_an_answer_of_weight_0_is_not_learnt(base: Path) -> None:
    assert learnt(base, said("a", "one", "b", "two", weights=(1, 0, 1, 1))) == "two<|endoftext|>"


@pytest.mark.parametrize(
    ("messages", "template", "reason"),
    [
        (said("a <|assistant|> b", "c"), "", "special_token_in_text"),
        (
            (ChatMessage(role="user", content="a", name="<|user|>"), *said("c", first="assistant")),
            "",
            "special_token_in_text",
        ),
        (said("a", "one"), "{% for m in messages %}{{ m.role }}{% endfor %}", "template_mismatch"),
        (said("a", "one"), "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", "template_mismatch"),
        (said("a", "one"), "{{ messages[9].content.strip() }}", "template_refused"),
        (said("a", "one"), "{% for m in messages %}{{ 'x' * 10 ** 11 }}{% endfor %}", "template_refused"),
    ],
)
def test_a_refusal_names_its_reason(base: Path, messages: tuple[ChatMessage, ...], template: str, reason: str) -> None:
    assert learnt(base, messages, template) == reason


def test_the_tokenizer_of_a_base_model_brings_one_template_or_gets_ours(base: Path, tmp_path: Path) -> None:
    def adopted(name: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        adopt_tokenizer(str(base), folder, for_chat=True)
        assert all(path.is_file() for path in folder.iterdir())
        return (folder / "chat_template.jinja").read_text()

    assert adopted("own") == CHAT_TEMPLATE
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    (base / "chat_template.jinja").write_text("plain")
    assert adopted("named") == "plain"
    shutil.rmtree(base / "additional_chat_templates")
    (base / "chat_template.jinja").write_text("{% if %}")
    with pytest.raises(StageError, match="cannot learn conversations: the chat template does not compile"):
        adopted("broken")


def test_a_refusal_keeps_what_the_template_said(base: Path) -> None:
    (base / "chat_template.jinja").write_text(STRICT)
    conversations = ConversationEncoder(base, Encoder(base))
    assert conversations.refusal == ""
    assert conversations.encode(said("Good morning", "a", "one", first="assistant")) == "template_refused"
    assert "alternate" in conversations.refusal


def test_a_segment_whose_conversations_are_all_refused_says_how_many_and_why(base: Path, tmp_path: Path) -> None:
    (base / "chat_template.jinja").write_text("{{ messages[0].nope.nope }}")
    cleaned, folder = tmp_path / "cleaned", tmp_path / "encoded"
    cleaned.mkdir()
    folder.mkdir()
    documents = [
        Document(
            doc_id=str(n),
            source_id="s",
            path="p",
            licence="l",
            fetched_at="",
            num_bytes=1,
            messages=said("a", "b"),
        )
        for n in range(3)
    ]
    write_documents(cleaned / DOCUMENTS, documents)
    order = EncodeOrder(
        cleaned_uri="c",
        keep=(0, 1, 2),
        tokenizer=TokenizerFacts(uri="t", sha256="t", vocab_size=320, eos_id=0),
        context_length=64,
        has_mask=True,
        prefix="w",
    )
    write_encoded(folder, order, cleaned, base)
    result = json.loads((folder / RESULT).read_text())
    assert result["num_tokens"] == 0
    assert "nope" in result["refusal"]
    refused = tuple(map(tuple, result["refused"]))
    encoded = EncodedSegment(uri="", num_documents=0, refused=refused, refusal=result["refusal"])
    assert left_out([encoded]) == f"3 template_refused ({result['refusal']})"
    assert left_out([]) == ""


def test_conversations_share_windows_and_each_counts_as_it_would_alone(base: Path, tmp_path: Path) -> None:
    cleaned, found = tmp_path / "cleaned", {}
    cleaned.mkdir()
    facts = {"source_id": "s", "path": "p", "licence": "l", "fetched_at": "", "num_bytes": 1}
    talks = [said(f"say {'so ' * number}", f"{number} it is") for number in range(1, 13)]
    documents = [Document(doc_id=str(number), messages=talk, **facts) for number, talk in enumerate(talks)]
    write_documents(cleaned / DOCUMENTS, [*documents, Document(doc_id="text", text="a text " * 30, **facts)])
    for shares in (False, True):
        folder = tmp_path / f"encoded-{shares}"
        folder.mkdir()
        order = EncodeOrder(
            cleaned_uri="c",
            keep=tuple(range(13)),
            tokenizer=TokenizerFacts(uri="t", sha256="t", vocab_size=320, eos_id=0),
            context_length=128,
            has_mask=True,
            prefix="w",
            shares_windows=shares,
        )
        assert write_encoded(folder, order, cleaned, base)["num_tokens"] % 128 == 0
        tokens, mask = np.fromfile(folder / TOKENS, dtype="<u2"), np.fromfile(folder / MASK, dtype=np.uint8)
        records = list(read_records(folder / DOCUMENTS))
        assert [record["start"] for record in records] == sorted(record["start"] for record in records)
        own = {each["doc_id"]: slice(each["start"], each["start"] + each["length"]) for each in records}
        assert mask.sum() == sum(mask[place].sum() for place in own.values())
        assert all(
            place.start // 128 == (place.stop - 1) // 128 and mask[place.start] == 0
            for name, place in own.items()
            if name != "text"
        )
        found[shares] = {name: (tokens[place].tolist(), mask[place].tolist()) for name, place in own.items()}
        found[f"{shares}/size"] = len(tokens)
    assert found[True] == found[False]
    assert found["True/size"] < 0.6 * found["False/size"]


def test_conversations_beyond_the_window_are_counted_with_the_window_that_would_hold_nearly_all(
    base: Path, tmp_path: Path
) -> None:
    cleaned, folder = tmp_path / "cleaned", tmp_path / "encoded"
    cleaned.mkdir()
    folder.mkdir()
    facts = {"source_id": "s", "path": "p", "licence": "l", "fetched_at": "", "num_bytes": 1}
    talks = [said("a", "b")] * 196 + [said("a", "b " * 50)] * 3 + [said("a", "b " * 500)]
    documents = [Document(doc_id=str(number), messages=talk, **facts) for number, talk in enumerate(talks)]
    write_documents(cleaned / DOCUMENTS, documents)
    order = EncodeOrder(
        cleaned_uri="c",
        keep=tuple(range(200)),
        tokenizer=TokenizerFacts(uri="t", sha256="t", vocab_size=320, eos_id=0),
        context_length=64,
        has_mask=True,
        prefix="w",
    )
    write_encoded(folder, order, cleaned, base)
    result = json.loads((folder / RESULT).read_text())
    assert result["num_cut"] == 4
    lengths = Counter({int(length): count for length, count in result["lengths"].items()})
    told = told_lengths([EncodedSegment(uri="", num_documents=0, refused=(), num_cut=4, lengths=lengths)])
    assert told["num_cut"] == 4
    assert 100 < told["window_for_most"] < 500
    assert told_lengths([]) == {"num_cut": 0, "window_for_most": 0}


def test_a_run_whose_windows_cut_most_examples_ends_with_the_length_that_would_hold_them():
    part = EncodedSegment(uri="", num_documents=9, refused=(), num_cut=4, lengths=Counter({64: 4, 192: 4}))
    check_examples_fit([part], 128)
    check_examples_fit([], 128)
    with pytest.raises(
        StageError, match=r"has the value 128: 5 of 8 examples are longer.*; a window of 192 tokens holds 99 % of them"
    ):
        check_examples_fit([replace(part, num_cut=5)], 128)
