"""The losses against formulas in double precision, torch's own divergence and values that TRL computed."""

import numpy as np
import pytest
import torch

from ropewalk.model.architecture import Shape, build_model
from ropewalk.model.linear_nats import IGNORED
from ropewalk.model.lora import add_adapters, lora_config
from ropewalk.model.objectives.distill import Distill, teacher_kl
from ropewalk.model.objectives.objective import ToldAnswers, logprobs_of
from ropewalk.model.objectives.preference import Preference, preference_loss
from ropewalk.model.objectives.reference_pass import Asking, Lesson, ask
from ropewalk.model.objectives.told import ToldLoss

SHAPE = Shape(
    vocab_size=320,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=96,
    context_length=64,
)


TRL = [3.1919593811035156, 0.8119620084762573, 0.6931471824645996, 0.6745729446411133, 0.00819606613367796]


def numbers(*shape: int, seed: int = 1, scale: float = 2.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale


def a_model(family: str = "qwen3", seed: int = 3):
    """Weights that all matter: the fresh ones begin with blocks that do nothing."""
    if family == "qwen3":
        model = build_model(SHAPE, seed)
    else:
        from transformers import LlamaConfig, LlamaForCausalLM

        widths = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=320, intermediate_size=96, tie_word_embeddings=True, **widths))
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            parameter.copy_(numbers(*parameter.shape, seed=place + seed, scale=0.1))
            parameter.add_(1.0 if parameter.dim() == 1 else 0.0)
    return model.eval()


def slow_kl(student: np.ndarray, teacher: np.ndarray, k: int) -> float:
    """Over the teacher's k likeliest tokens and one bucket with the others, in double precision."""

    def softmax(logits: np.ndarray) -> np.ndarray:
        e = np.exp(logits - logits.max())
        return e / e.sum()

    p, q = softmax(teacher), softmax(student)
    top = np.argsort(-p)[:k]
    rest = np.setdiff1d(np.arange(len(p)), top)
    pairs = [(p[i], q[i]) for i in top] + ([(p[rest].sum(), q[rest].sum())] if len(rest) else [])
    return float(sum(a * np.log(a / b) for a, b in pairs))


@pytest.mark.parametrize("k", [1, 7, 50])
def test_the_divergence_from_a_teacher_is_that_of_the_slow_formula(k: int) -> None:
    student, teacher = numbers(9, 50), numbers(9, 50, seed=2)
    ids = teacher.topk(k).indices
    found = teacher_kl(student, ids, logprobs_of(teacher, ids))
    wanted = [slow_kl(a.double().numpy(), b.double().numpy(), k) for a, b in zip(student, teacher, strict=True)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_over_the_whole_vocabulary_the_divergence_and_its_gradient_are_torchs_and_with_fewer_tokens_never_more() -> (
    None
):
    student, teacher = numbers(9, 50).requires_grad_(), numbers(9, 50, seed=2)
    full = torch.nn.functional.kl_div(
        student.log_softmax(-1), teacher.log_softmax(-1), reduction="none", log_target=True
    ).sum(-1)
    (wanted,) = torch.autograd.grad(full.sum(), student, retain_graph=True)
    every = teacher.topk(50).indices
    found = teacher_kl(student, every, logprobs_of(teacher, every))
    torch.testing.assert_close(found, full, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), student)[0], wanted, atol=1e-6, rtol=0)
    few = teacher.topk(5).indices
    assert (teacher_kl(student, few, logprobs_of(teacher, few)) <= full + 1e-6).all()


def test_the_rest_keeps_its_digits_where_the_teacher_is_sure() -> None:
    logits = torch.zeros(1, 50)
    logits[0, 3] = 40.0
    rest = logprobs_of(logits, torch.tensor([[3]]))[0, 1]
    assert float(rest) == pytest.approx(np.log(49) - 40.0, abs=1e-5)


def test_a_token_that_no_teacher_saw_counts_its_nats_alone() -> None:
    logits, targets = numbers(2, 50), torch.tensor([4, 9])
    ids = numbers(2, 50, seed=2).topk(3).indices
    logprobs = logprobs_of(numbers(2, 50, seed=2), ids)
    logprobs[1] = -torch.inf
    nats = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    kl = teacher_kl(logits[:1] / 2, ids[:1], logprobs[:1])
    wanted = 0.25 * nats[0] + 0.75 * 4 * kl[0] + nats[1]
    found = Distill(kl_weight=0.75, temperature=2.0)(logits, ToldAnswers(targets, ids, logprobs, torch.zeros(2)))
    torch.testing.assert_close(found, wanted)


def test_the_loss_of_a_preference_is_the_formula_of_the_paper_in_double_precision() -> None:
    margins = np.array([-80.0, -3.0, 0.0, 0.7, 55.0])
    found = preference_loss(torch.from_numpy(margins), 0.3)
    assert found.tolist() == pytest.approx(np.logaddexp(0, -0.3 * margins).tolist(), abs=1e-12)


def test_the_loss_of_a_preference_is_trls() -> None:
    """What TRL 1.16's DPOTrainer computed, sigmoid: see benchmarks/finetune/oracles.py, which computes it anew."""
    margins = torch.tensor([-31.5, -2.25, 0.0, 0.375, 48.0])
    assert preference_loss(margins, 0.1).tolist() == pytest.approx(TRL, abs=1e-6)


def pairs() -> tuple[torch.Tensor, torch.Tensor, tuple[int, ...]]:
    """A window of two pairs, (32,): its tokens, its targets and the lengths of its four documents."""
    tokens = torch.randint(0, 320, (32,), generator=torch.Generator().manual_seed(5))
    lengths = (9, 11, 5, 7)
    targets = torch.full((32,), IGNORED)
    for begin, length in zip((0, 9, 20, 25), lengths, strict=True):
        targets[begin + 2 : begin + length - 1] = tokens[begin + 3 : begin + length]
    return tokens, targets, lengths


@pytest.mark.parametrize("kind", ["qwen3", "llama", "adapters"])
def test_packed_pairs_lose_what_each_answer_alone_says_and_only_the_difference_to_the_reference_counts(
    kind: str,
) -> None:
    tokens, targets, lengths = pairs()
    family = "llama" if kind == "llama" else "qwen3"
    model, reference = a_model(family), a_model(family, 8)
    if kind == "adapters":
        add_adapters(model, lora_config(4, 8), 5)
        with torch.no_grad():
            for place, parameter in enumerate(model.parameters()):
                parameter.add_(numbers(*parameter.shape, seed=place, scale=0.02))
    ids, logprobs = torch.zeros(32, 1, dtype=torch.long), torch.full((32, 2), -torch.inf)
    sums = []
    for document, wanted in zip(tokens.split(lengths), targets.split(lengths), strict=True):
        at = (wanted != IGNORED).nonzero()[:, 0]
        answers = [0] * len(document)
        for place in at.tolist():
            answers[place + 1] = 1
        ((said_ids, said),) = ask(reference, [Lesson(document.tolist(), answers)], Asking(top=0))
        begin = sum(lengths[: len(sums)])
        ids[begin + at], logprobs[begin + at] = torch.from_numpy(said_ids.astype(np.int64)), torch.from_numpy(said)
        with torch.no_grad():
            mine = model.double()(input_ids=document[None]).logits[0].log_softmax(-1)[at, wanted[at]].sum()
            theirs = reference.double()(input_ids=document[None]).logits[0].log_softmax(-1)[at, wanted[at]].sum()
        model.float(), reference.float()
        sums.append(float(mine - theirs))
    margins = np.array([sums[0] - sums[1], sums[2] - sums[3]])
    wanted_loss = np.logaddexp(0, -0.1 * margins).sum()
    places = torch.cat([torch.arange(length) for length in lengths])
    loss = ToldLoss(model.train(), Preference(beta=0.1))
    found = loss(torch.stack((tokens, places), -1)[None], targets[None], ids[None], logprobs[None])
    found.backward()
    assert float(found.detach()) == pytest.approx(float(wanted_loss), abs=1e-6)
    assert any(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in model.parameters())


def test_a_shared_beginning_is_read_once_and_changes_no_answer() -> None:
    model = a_model("llama")
    lessons = [Lesson([5, 6, 7, 8, 9, 30 + n, *range(40, 44 + n)], [0] * 7 + [1] * (3 + n)) for n in range(10)]
    together = ask(model, lessons, Asking(top=4, temperature=2.0))
    for lesson, (ids, logprobs) in zip(lessons, together, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([lesson.ids])).logits[0, 6:-1] / 2.0
        torch.testing.assert_close(
            torch.from_numpy(logprobs), logprobs_of(logits, logits.topk(4).indices), atol=1e-5, rtol=0
        )
        assert (ids == logits.topk(4).indices.numpy()).all()
