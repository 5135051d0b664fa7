"""The optimizer, against torch's own and against linear algebra."""

import pytest
import torch

from ropewalk.model.muon import MuonAdamW, Rates, is_block_matrix, orthogonalise, orthogonalise_in_bf16

RATES = Rates(matrix_lr=0.02, adam_lr=0.01, weight_decay=0.1)


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 12, 30), (2, 30, 12)])
def test_orthogonalising_keeps_the_singular_vectors_and_levels_the_values(shape):
    torch.manual_seed(0)
    matrices = torch.randn(*shape)
    result = orthogonalise(matrices)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.3
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    aligned = left.mT @ result @ right.mT
    off_diagonal = aligned - torch.diag_embed(torch.diagonal(aligned, dim1=-2, dim2=-1))
    assert off_diagonal.abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(3, 48, 48), (2, 32, 64), (2, 64, 32)])
def test_in_bf16_the_values_come_closer_to_one_although_the_vectors_are_rounded(shape):
    torch.manual_seed(0)
    matrices = torch.randn(*shape)
    rough, fine = orthogonalise_in_bf16(matrices), orthogonalise(matrices)
    assert rough.dtype == torch.bfloat16
    spread = [(torch.linalg.svdvals(each.float()) - 1).abs().mean() for each in (rough, fine)]
    assert spread[0] < spread[1]
    cosine = torch.nn.functional.cosine_similarity(rough.float().flatten(1), fine.flatten(1))
    assert cosine.min() > 0.95


def test_an_update_in_bf16_is_that_in_fp32_about():
    torch.manual_seed(0)
    gradient = torch.randn(32, 48)
    moved = []
    for in_bf16 in (False, True):
        parameter = torch.nn.Parameter(torch.zeros(32, 48))
        optimizer = MuonAdamW([("layers.0.q_proj.weight", parameter)], RATES, in_bf16=in_bf16)
        parameter.grad = gradient.clone()
        optimizer.step(1.0)
        assert {parameter.dtype, optimizer.state["layers.0.q_proj.weight.momentum"].dtype} == {torch.float32}
        moved.append(parameter.detach())
    assert torch.nn.functional.cosine_similarity(*(each.flatten() for each in moved), dim=0) > 0.98


def test_embedding_head_and_norms_move_as_under_torch_adamw():
    torch.manual_seed(0)
    names = ["embed_tokens.weight", "norm.weight", "lm_head.weight"]
    ours = [torch.nn.Parameter(torch.randn(6, 4) if "norm" not in name else torch.randn(4)) for name in names]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    optimizer = MuonAdamW(zip(names, ours, strict=True), RATES)
    oracle = torch.optim.AdamW(theirs, lr=0.01, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.0)
    for step in range(5):
        oracle.param_groups[0]["lr"] = 0.01 * (step + 1) / 5
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        optimizer.step((step + 1) / 5)
        oracle.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)


def test_a_block_matrix_moves_as_under_torch_muon():
    """torch.optim.Muon runs Newton-Schulz in bf16, so the two agree to about two digits."""
    torch.manual_seed(0)
    ours = torch.nn.Parameter(torch.randn(24, 16))
    theirs = torch.nn.Parameter(ours.detach().clone())
    optimizer = MuonAdamW([("layers.0.q_proj.weight", ours)], RATES)
    oracle = torch.optim.Muon([theirs], lr=0.02, momentum=0.95, nesterov=True, weight_decay=0.1)
    for _ in range(3):
        ours.grad = torch.randn_like(ours)
        theirs.grad = ours.grad.clone()
        optimizer.step(1.0)
        oracle.step()
    torch.testing.assert_close(ours, theirs, atol=4e-3, rtol=0)


def test_only_the_matrices_of_blocks_go_to_muon():
    matrix, vector = torch.Size((2, 2)), torch.Size((2,))
    assert is_block_matrix("model.layers.0.mlp.up_proj.weight", matrix)
    assert not is_block_matrix("model.layers.0.input_layernorm.weight", vector)
    assert not is_block_matrix("model.embed_tokens.weight", matrix)
    assert not is_block_matrix("lm_head.weight", matrix)


def test_matrices_of_all_shapes_are_orthogonalised_alone_and_in_batches_alike():
    torch.manual_seed(0)
    shapes = [(8, 8), (12, 8), (8, 12), (4, 8), (12, 8)]
    gradients = [torch.randn(shape) for shape in shapes]
    together = {f"m{i}": torch.nn.Parameter(torch.zeros(shape)) for i, shape in enumerate(shapes)}
    optimizer = MuonAdamW(together.items(), RATES)
    for parameter, gradient in zip(together.values(), gradients, strict=True):
        parameter.grad = gradient.clone()
    optimizer.step(1.0)
    for (name, batched), gradient in zip(together.items(), gradients, strict=True):
        alone = torch.nn.Parameter(torch.zeros_like(gradient))
        alone.grad = gradient.clone()
        MuonAdamW([(name, alone)], RATES).step(1.0)
        torch.testing.assert_close(batched, alone, atol=1e-6, rtol=1e-4)


def test_frozen_parameters_have_no_state_and_do_not_move():
    frozen, free = torch.nn.Parameter(torch.ones(2, 2), requires_grad=False), torch.nn.Parameter(torch.ones(2, 2))
    optimizer = MuonAdamW([("a", frozen), ("b", free)], RATES, use_muon=False)
    free.grad = torch.ones(2, 2)
    optimizer.step(1.0)
    assert set(optimizer.state) == {"b.exp_avg", "b.exp_avg_sq"}
    assert frozen.equal(torch.ones(2, 2))


def test_without_muon_matrices_are_moved_and_decayed_as_torch_does():
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(4, 3)) for _ in range(2))
    mine = MuonAdamW([("m.weight", ours)], Rates(matrix_lr=9.0, adam_lr=0.01, weight_decay=0.1, uses_muon=False))
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.1)
    for _ in range(3):
        ours.grad = theirs.grad = torch.randn(4, 3)
        reference.step()
        mine.step(1.0)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
