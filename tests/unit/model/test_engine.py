"""The engine against transformers, and its promises about neighbours, text and endings."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from ropewalk.model.engine import Engine, EngineRequestError, EngineStoppedError, Update
from ropewalk.model.engine_forward import SlotDecoder
from ropewalk.model.engine_sampling import Sampling, choose
from ropewalk.model.engine_text import TextStream
from ropewalk.model.engine_weights import UnsupportedModelError, read_architecture, read_weights

_CORPUS = ["def add(a, b):\n    return a + b\n", "for i in range(10):\n    print(i)\n", "naïve café — 日本 🎉\n"] * 4
_SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "eos_token_id": 0,
}


def a_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    return tokenizer


def an_export(folder: Path, model: PreTrainedModel) -> Path:
    model.save_pretrained(folder)
    a_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def a_qwen3(*, tied: bool = True) -> PreTrainedModel:
    torch.manual_seed(3)
    config = Qwen3Config(vocab_size=a_tokenizer().get_vocab_size(), tie_word_embeddings=tied, **_SHAPE)
    model = Qwen3ForCausalLM(config).eval()
    for parameter in model.parameters():  # sharper than the initialisation, so that greedy text varies
        parameter.data.mul_(4) if parameter.dim() > 1 else parameter.data.uniform_(0.5, 1.5)
    return model


def a_llama() -> PreTrainedModel:
    torch.manual_seed(4)
    return LlamaForCausalLM(LlamaConfig(vocab_size=a_tokenizer().get_vocab_size(), **_SHAPE)).eval()


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return a_qwen3()


@pytest.fixture(scope="module")
def folder(model: PreTrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return an_export(tmp_path_factory.mktemp("qwen3"), model)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    engine = Engine(folder, num_slots=12)
    engine.start()
    yield engine
    engine.stop()


class Completion:
    """Collects the updates of one request."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.done = threading.Event()

    def __call__(self, update: Update) -> None:
        self.updates.append(update)
        if update.finish_reason:
            self.done.set()

    def wait(self) -> "Completion":
        assert self.done.wait(20), "no end within 20 s"
        return self

    @property
    def tokens(self) -> list[int]:
        return [token for update in self.updates for token in update.token_ids]

    @property
    def text(self) -> str:
        return "".join(update.text for update in self.updates)

    @property
    def reason(self) -> str:
        return self.updates[-1].finish_reason


def complete(engine: Engine, prompt: str | list[int], **sampling: object) -> Completion:
    completion = Completion()
    tokens = engine.encode(prompt) if isinstance(prompt, str) else prompt
    engine.submit(tokens, Sampling(**{"temperature": 0.0, **sampling}), completion)  # type: ignore[arg-type]
    return completion


def prompts() -> list[list[int]]:
    torch.manual_seed(11)
    return [torch.randint(1, 300, (length,)).tolist() for length in (1, 3, 7, 15, 30, 63, 64, 65, 90, 110)]


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


def test_a_prompt_longer_than_the_context_is_refused_with_both_sizes(engine: Engine) -> None:
    with pytest.raises(EngineRequestError, match=r"prompt has 128 tokens.*context is 128 tokens"):
        complete(engine, [1] * 128)


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


@pytest.mark.parametrize(("field", "value"), [("max_tokens", 0), ("temperature", -1.0), ("top_p", 0.0), ("top_k", -2)])
def test_an_impossible_wish_is_refused_by_name_and_value(engine: Engine, field: str, value: float) -> None:
    with pytest.raises(EngineRequestError, match=rf"{field} is {value}"):
        complete(engine, [1], **{field: value})


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


EXTREMES = [
    {"top_p": 1e-46},
    {"top_p": 1e-300, "temperature": 100.0},
    {"temperature": 1e-40},
    {"temperature": 5e-324},
    {"temperature": 1e-40, "top_p": 1e-46, "top_k": 1},
    {"top_k": 10**30},
    {"seed": -1},
    {"seed": 10**400},
    {"max_tokens": 10**30},
    {"stop": ("\x00", "", "\N{REPLACEMENT CHARACTER}")},
]


@pytest.mark.parametrize("wishes", EXTREMES, ids=str)
def test_a_wish_at_the_edge_is_fulfilled_and_nobody_else_notices(engine: Engine, wishes: dict) -> None:
    other = complete(engine, "def add", max_tokens=20, ignore_eos=True)
    extreme = complete(engine, "for i", **{"max_tokens": 8, "temperature": 1.0, "ignore_eos": True} | wishes)
    assert extreme.wait().reason in {"length", "stop"}
    assert len(other.wait().tokens) == 20


def test_a_temperature_near_zero_and_a_top_p_near_zero_are_greedy(engine: Engine) -> None:
    wishes = ({"temperature": 0.0}, {"temperature": 1e-40}, {"top_p": 1e-46}, {"temperature": 50.0, "top_p": 1e-46})
    asked = [{"max_tokens": 12, "temperature": 1.0, "ignore_eos": True} | wish for wish in wishes]
    assert len({complete(engine, "def", **each).wait().text for each in asked}) == 1


@pytest.mark.parametrize(
    ("stop", "named"),
    [
        (tuple(f"stop {number}" for number in range(20_000)), "stop has 20000 strings"),
        (("a" * 100_000,), "stop has a string of 100000 characters"),
        ((*"ab", "c" * 501), "stop has a string of 501 characters"),
    ],
)
def test_more_or_longer_stop_strings_than_are_looked_for_are_refused(engine: Engine, stop: tuple, named: str) -> None:
    with pytest.raises(EngineRequestError, match=named):
        engine.submit([5], Sampling(stop=stop), lambda update: None)


def test_a_text_no_tokenizer_could_fit_is_refused_by_its_length_alone(engine: Engine) -> None:
    with pytest.raises(EngineRequestError, match=r"has 10000000 characters, but this model's context is 128 tokens"):
        engine.encode("x" * 10_000_000)


def test_other_threads_go_on_while_a_long_text_is_cut_into_tokens(folder: Path) -> None:
    engine = Engine(folder, num_slots=1)
    engine._max_chars = 10**7
    done = threading.Event()
    encoding = threading.Thread(target=lambda: (engine.encode("naïve café " * 50_000), done.set()))
    encoding.start()
    ticks = 0
    while not done.wait(0.001):
        ticks += 1
    encoding.join()
    assert ticks > 20


def test_broken_numbers_end_the_request_they_meet_with_a_reason_and_the_engine_lives(folder: Path) -> None:
    engine = Engine(folder, num_slots=4)
    engine._decoder._weights.embedding[5] = float("nan")
    engine.start()
    broken = complete(engine, [5], max_tokens=4).wait()
    assert (broken.reason, "not finite" in broken.updates[-1].error) == ("error", True)
    assert engine.silent_s == 0.0
    engine.stop()
    assert not engine._running


@pytest.mark.parametrize("failing", ["prefill", "decode"])
def test_whatever_goes_wrong_in_the_middle_of_one_request_ends_it_alone(
    folder: Path, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(folder, num_slots=4)
    working, victims = getattr(engine._decoder, failing), 1

    def fails_once(*arguments: object) -> object:
        nonlocal victims
        if victims:
            victims -= 1
            raise MemoryError("no room for one more")
        return working(*arguments)

    monkeypatch.setattr(engine._decoder, failing, fails_once)
    engine.start()
    assert complete(engine, "def").wait().updates[-1].error == "MemoryError: no room for one more"
    assert complete(engine, "def", max_tokens=4, ignore_eos=True).wait().reason == "length"
    engine.stop()


def test_a_failing_tokenizer_ends_one_of_two_requests_in_one_batch(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: TextStream, token: int) -> tuple[str, bool]:
        if self._stop == ("victim",):
            raise OverflowError("int too large")
        return advance(self, token)

    advance = TextStream.add
    monkeypatch.setattr(TextStream, "add", fails)
    victim = complete(engine, "def", max_tokens=9, stop=("victim",), ignore_eos=True)
    other = complete(engine, "def", max_tokens=9, ignore_eos=True)
    assert victim.wait().updates[-1].error == "OverflowError: int too large"
    assert len(other.wait().tokens) == 9


def test_text_that_never_becomes_a_character_is_given_out_all_the_same() -> None:
    tokenizer = a_tokenizer()
    half = tokenizer.token_to_id(pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("é")[0][0][0])
    stream = TextStream(tokenizer, ())
    assert "".join(stream.add(half)[0] for _ in range(40)).count("\N{REPLACEMENT CHARACTER}") > 20


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_model_with_one_number_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    broken = a_qwen3()
    broken.model.layers[1].mlp.down_proj.weight.data[3, 5] = value
    with pytest.raises(
        UnsupportedModelError, match=r"layers\.1\.mlp\.down_proj\.weight hold numbers that are not finite"
    ):
        Engine(an_export(tmp_path, broken))


def test_top_k_and_top_p_leave_only_the_likely_tokens() -> None:
    logits = torch.tensor([4.0, 3.0, 2.0, 1.0])
    generator = Sampling(seed=1).generator()
    assert {choose(logits, Sampling(top_k=2), generator) for _ in range(200)} == {0, 1}
    assert {choose(logits, Sampling(top_p=0.5), generator) for _ in range(50)} == {0}
    assert {choose(logits, Sampling(), generator) for _ in range(500)} == {0, 1, 2, 3}


def test_a_model_that_cannot_be_run_faithfully_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UnsupportedModelError, match="gpt2"):
        read_architecture(tmp_path)


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
