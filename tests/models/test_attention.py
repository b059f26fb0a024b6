"""Attention in its quick forms equals its definition, dropout included, and so do gradients."""

import pytest
import torch
import torch.nn.functional as F

from actline.models import attention as module
from actline.models.attention import attention, window_attention
from actline.models.dropout import draw_kept, dropout


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def assert_same(ours, plain, inputs):
    torch.testing.assert_close(ours, plain)
    direction = seeded(*plain.shape, seed=3)
    gradients = torch.autograd.grad((ours * direction).sum(), inputs)
    expected = torch.autograd.grad((plain * direction).sum(), inputs)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other)


def validity(length: int) -> torch.Tensor:
    """Of two videos, the second of which is seven long."""
    return torch.arange(length) < torch.tensor([[length], [7]])


@pytest.mark.parametrize("window", [1, 4, 5, 30])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("block", [3, 5, 64])
def test_attention_to_a_window_is_attention_under_a_mask(window, padded, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    length = 12
    inputs = [seeded(2, 3, length, 4, seed=i).requires_grad_() for i in range(3)]
    offset = torch.arange(length) - torch.arange(length).unsqueeze(1) + window // 2
    seen = (offset >= 0) & (offset < window)
    mask = validity(length) if padded else None
    if mask is not None:
        seen = seen & (mask.view(2, 1, 1, length) | torch.eye(length, dtype=torch.bool))
    ours = window_attention(*inputs, window=window, mask=mask)
    assert_same(ours, F.scaled_dot_product_attention(*inputs, attn_mask=seen), inputs)


@pytest.mark.parametrize("padded", [False, True])
def test_attention_with_dropout_is_its_definition_with_the_same_weights_dropped(padded):
    length, probability = 12, 0.3
    inputs = [seeded(2, 3, length, 4, seed=i).requires_grad_() for i in range(3)]
    seen = validity(length).view(2, 1, 1, length) | torch.eye(length, dtype=torch.bool)
    seen = seen if padded else torch.ones_like(seen)
    torch.manual_seed(5)
    ours = attention(*inputs, seen=seen if padded else None, probability=probability)
    torch.manual_seed(5)
    kept, scale = draw_kept(torch.Size((2, 3, length, length)), probability)
    assert 0 < kept.float().mean() < 1
    queries, keys, values = inputs
    scores = (queries @ keys.transpose(2, 3) / 2).masked_fill(~seen, -torch.inf)
    assert_same(ours, (scores.softmax(dim=3) * kept * scale) @ values, inputs)


def test_attention_without_dropout_is_pytorchs():
    inputs = [seeded(1, 2, 9, 4, seed=i) for i in range(3)]
    ours = attention(*inputs, seen=None, probability=0.0)
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(*inputs))


def test_attention_to_a_window_drops_weights_too():
    inputs = [torch.ones(1, 1, 500, 2) for _ in range(3)]
    torch.manual_seed(0)
    ours = window_attention(*inputs, window=9, probability=0.5)
    # Nine equal weights, each dropped or doubled; about nine are left on average.
    assert ours.std() > 0.1
    assert ours.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_drops_as_often_as_asked(probability):
    torch.manual_seed(0)
    x = torch.ones(1001, 997).requires_grad_()
    dropped = dropout(x, probability)
    assert (dropped == 0).double().mean() == pytest.approx(probability, abs=2e-3)
    assert dropped.detach().double().mean() == pytest.approx(1.0, abs=5e-3 / (1 - probability))
    assert dropped.detach().unique().numel() == 2
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    torch.testing.assert_close(gradient, dropped.detach())


def test_dropout_follows_the_generator_and_neighbours_are_independent():
    x = torch.ones(400_000)
    torch.manual_seed(1)
    first = dropout(x, 0.5)
    second = dropout(x, 0.5)
    torch.manual_seed(1)
    torch.testing.assert_close(dropout(x, 0.5), first)
    assert not torch.equal(first, second)
    signs = first - 1
    for apart in (1, 2, 3, 4):
        assert abs((signs[apart:] * signs[:-apart]).mean()) < 0.01


def test_dropout_of_nothing_is_the_same():
    x = torch.rand(3)
    assert dropout(x, 0.0) is x
