"""The engine against transformers, and its promises about neighbours, text and endings."""

import json
from pathlib import Path

import pytest
import torch
from parts.small_engines import Completion, a_llama, a_qwen3, a_tokenizer, an_export, complete, prompts
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedModel

from ropewalk.model.engine import Engine, EngineStoppedError
from ropewalk.model.engine_forward import SlotDecoder
from ropewalk.model.engine_sampling import Sampling, choose
from ropewalk.model.engine_text import TextStream
from ropewalk.model.engine_weights import read_architecture, read_weights


@pytest.mark.parametrize("make", [a_qwen3, lambda: a_qwen3(tied=False), a_llama], ids=["qwen3", "untied", "llama"])
def test_logits_of_prefill_and_decode_match_transformers(make: object, tmp_path: Path) -> None:
    reference = make()  # type: ignore[operator]
    folder = an_export(tmp_path, reference)
    shape = read_architecture(folder)
    decoder = SlotDecoder(shape, read_weights(folder, shape), num_slots=2)
    tokens = prompts()[4]

    ours = [decoder.prefill(0, tokens[:20])]
    decoder.prefill(1, tokens[:9])
    ours += [decoder.decode([token, 5], [20 + i, 9 + i])[:1] for i, token in enumerate(tokens[20:])]

    with torch.inference_mode():
        expected = reference(torch.tensor([tokens])).logits[0, 19:]
    assert torch.allclose(torch.cat(ours), expected, atol=1e-4)


def test_greedy_tokens_are_those_of_transformers(engine: Engine, model: PreTrainedModel) -> None:
    for prompt in prompts()[:8]:
        with torch.inference_mode():
            expected = model.generate(
                torch.tensor([prompt]), max_new_tokens=40, do_sample=False, use_cache=True, pad_token_id=0
            )[0, len(prompt) :].tolist()
        assert complete(engine, prompt, max_tokens=40).wait().tokens == expected


def test_greedy_tokens_do_not_depend_on_neighbours(engine: Engine) -> None:
    alone = [complete(engine, prompt, max_tokens=60).wait() for prompt in prompts()]
    together = [complete(engine, prompt, max_tokens=60) for prompt in prompts()]
    for prompt in prompts():  # noise that comes and goes meanwhile and draws at random
        complete(engine, prompt, max_tokens=9, temperature=1.5)

    assert [completion.wait().tokens for completion in together] == [completion.tokens for completion in alone]
    means = [completion.updates[-1].logprob_mean for completion in alone]
    assert [completion.updates[-1].logprob_mean for completion in together] == means


def test_the_mean_log_probability_is_that_of_the_chosen_tokens(engine: Engine, model: PreTrainedModel) -> None:
    prompt = prompts()[3]
    completion = complete(engine, prompt, max_tokens=12, temperature=0.8, seed=5).wait()
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + completion.tokens])).logits[0, len(prompt) - 1 : -1]
    expected = logits.log_softmax(-1).gather(1, torch.tensor(completion.tokens)[:, None]).mean()
    assert completion.updates[-1].logprob_mean == pytest.approx(float(expected), abs=1e-4)


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others(engine: Engine) -> None:
    first, again, other = (complete(engine, "def add", max_tokens=24, temperature=1.0, seed=seed) for seed in (7, 7, 8))
    assert first.wait().tokens == again.wait().tokens
    assert first.tokens != other.wait().tokens


def test_streamed_pieces_join_to_the_decoded_tokens(engine: Engine, folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    completion = complete(engine, "naïve", max_tokens=50, temperature=1.0, seed=2, ignore_eos=True).wait()
    assert completion.text == tokenizer.decode(completion.tokens)
    assert completion.reason == "length"
    assert completion.updates[-1].num_output_tokens == 50


def test_a_stop_string_ends_the_text_before_itself_and_never_leaks(engine: Engine) -> None:
    whole = complete(engine, "def", max_tokens=40, ignore_eos=True).wait().text
    stop = whole[20:24]
    stopped = complete(engine, "def", max_tokens=40, ignore_eos=True, stop=(stop,)).wait()
    assert stopped.text == whole[: whole.find(stop)]
    assert stopped.reason == "stop"


def test_text_stream_holds_back_the_beginning_of_a_stop_string() -> None:
    tokenizer = a_tokenizer()
    stream = TextStream(tokenizer, ("END.",))
    pieces = [stream.add(token)[0] for token in tokenizer.encode("xEND").ids]
    assert "".join(pieces) == "x"
    assert stream.end() == "END"


def test_a_character_split_over_tokens_is_given_whole() -> None:
    tokenizer = a_tokenizer()
    stream = TextStream(tokenizer, ())
    pieces = [stream.add(token)[0] for token in tokenizer.encode("a🧶b").ids]
    assert "".join(pieces) == "a🧶b"
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_the_end_token_ends_a_completion_without_being_text(engine: Engine, model: PreTrainedModel) -> None:
    prompt, (token, *_) = prompts()[2], complete(engine, prompts()[2], max_tokens=1).wait().tokens
    engine_shape = engine.shape
    object.__setattr__(engine_shape, "eos_ids", frozenset([token]))
    try:
        completion = complete(engine, prompt, max_tokens=9).wait()
    finally:
        object.__setattr__(engine_shape, "eos_ids", frozenset([0]))
    assert (completion.tokens, completion.text, completion.reason) == ([token], "", "stop")


def test_a_completion_ends_where_the_context_ends(engine: Engine) -> None:
    completion = complete(engine, prompts()[-1], max_tokens=100, ignore_eos=True).wait()
    assert (len(completion.tokens), completion.reason) == (128 - 110, "length")


def test_an_empty_prompt_begins_a_document(engine: Engine) -> None:
    assert engine.encode("") == [0]  # what stands between two documents
    assert complete(engine, "", max_tokens=3, ignore_eos=True).wait().tokens


@pytest.mark.parametrize(
    ("bos", "eos", "beginning"), [(7, 3, [7]), (None, 3, [3]), (None, [5, 6], [5]), (0, 3, [0]), (None, None, [])]
)
def test_an_empty_prompt_is_the_token_that_stands_before_a_document(
    tmp_path: Path, bos: int | None, eos: int | list[int] | None, beginning: list[int]
) -> None:
    folder = an_export(tmp_path, a_qwen3())
    config = json.loads((folder / "config.json").read_text()) | {"bos_token_id": bos, "eos_token_id": eos}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").unlink()
    engine = Engine(folder)
    assert engine.encode("") == beginning
    assert engine.encode("a") != beginning


def test_a_cancelled_request_ends_and_frees_its_slot(folder: Path) -> None:
    engine = Engine(folder, num_slots=1)
    first, second = Completion(), Completion()
    number = engine.submit([5], Sampling(max_tokens=120, ignore_eos=True), first)
    engine.submit([6], Sampling(max_tokens=2, ignore_eos=True), second)
    engine.cancel(number)
    engine.start()
    assert first.wait().reason == "cancelled"
    assert second.wait().reason == "length"
    assert engine.silent_s == 0.0
    engine.stop()


def test_stopping_ends_every_open_request_and_refuses_new_ones(folder: Path) -> None:
    engine = Engine(folder, num_slots=1)
    engine.start()
    open_requests = [complete(engine, [5], max_tokens=120, ignore_eos=True) for _ in range(3)]
    engine.stop()
    assert {completion.wait().reason for completion in open_requests} <= {"error", "length"}
    with pytest.raises(EngineStoppedError):
        complete(engine, [5])


def test_text_that_never_becomes_a_character_is_given_out_all_the_same() -> None:
    tokenizer = a_tokenizer()
    half = tokenizer.token_to_id(pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("é")[0][0][0])
    stream = TextStream(tokenizer, ())
    assert "".join(stream.add(half)[0] for _ in range(40)).count("\N{REPLACEMENT CHARACTER}") > 20


def test_top_k_and_top_p_leave_only_the_likely_tokens() -> None:
    logits = torch.tensor([4.0, 3.0, 2.0, 1.0])
    generator = Sampling(seed=1).generator()
    assert {choose(logits, Sampling(top_k=2), generator) for _ in range(200)} == {0, 1}
    assert {choose(logits, Sampling(top_p=0.5), generator) for _ in range(50)} == {0}
    assert {choose(logits, Sampling(), generator) for _ in range(500)} == {0, 1, 2, 3}


def test_a_special_token_that_a_prompt_spells_is_text(engine: Engine) -> None:
    spelled, marked = engine.encode("a<|endoftext|>"), engine.encode("a<|endoftext|>", [(1, 14)])
    assert 0 not in spelled
    assert marked == [*engine.encode("a"), 0]
    forged = engine.encode("<|endoftext|>b<|endoftext|>", [(14, 27)])
    assert forged == [*engine.encode("<|endoftext|>b"), 0]


def test_a_stop_string_that_is_a_special_token_ends_the_completion(engine: Engine) -> None:
    wishes = {"max_tokens": 100, "temperature": 100.0, "ignore_eos": True}
    for seed in range(40):  # such a hot model says the end token once in three hundred
        free = complete(engine, "a", seed=seed, **wishes).wait()
        if 0 in free.tokens:
            break
    stopped = complete(engine, "a", seed=seed, stop=("<|endoftext|>",), **wishes).wait()
    assert stopped.reason == "stop"
    assert stopped.tokens == free.tokens[: free.tokens.index(0) + 1]
