"""What TCANet computes in another order than it is defined in equals the definition."""

import pytest
import torch
import torch.nn.functional as F

from actline.models import boundary_regressor
from actline.models.boundary_regressor import (
    offset_head,
    on_samples,
    sample_features,
    segment_head,
)
from actline.models.lgte import window_attention, within


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("head", [offset_head(8, 12, samples=16), segment_head(8, 16, samples=16)])
def test_a_head_on_samples_is_the_head_on_sampled_features(head):
    head.double()
    features = seeded(2, 8, 10).requires_grad_()
    # From beyond the first feature to beyond the last, and on some of them exactly.
    places = (seeded(2, 5, 16, seed=1) * 6 + 4).clamp(-1, 10)
    places[0, 0] = torch.arange(16).clamp(max=10) - 1.0
    places.requires_grad_()
    inputs = (features, places, *head.parameters())

    ours = on_samples(head, features, places)
    sampled = sample_features(features, places.flatten(1)).view(10, 16, 8).transpose(1, 2)
    plain = head(sampled).view(2, 5, -1)
    torch.testing.assert_close(ours, plain)
    direction = seeded(*plain.shape, seed=2)
    gradients = torch.autograd.grad((ours * direction).sum(), inputs)
    expected = torch.autograd.grad((plain * direction).sum(), inputs)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other)


def test_proposals_refined_in_parts_are_the_same(monkeypatch):
    head = segment_head(8, 16, samples=16).double()
    features, places = seeded(2, 8, 10), seeded(2, 7, 16, seed=1).clamp(-1, 10)
    whole = on_samples(head, features, places)
    monkeypatch.setattr(boundary_regressor, "AT_ONCE", 6)  # three of each video
    with torch.no_grad():
        torch.testing.assert_close(on_samples(head, features, places), whole)
        assert on_samples(head, features, places[:, :0]).shape == (2, 0, 3)


@pytest.mark.parametrize("window", [1, 4, 5, 30])
@pytest.mark.parametrize("padded", [False, True])
def test_attention_to_a_window_is_attention_under_a_mask(window, padded):
    length = 12
    queries, keys, values = (seeded(2, 3, length, 4, seed=i).requires_grad_() for i in range(3))
    seen = within(window, length, device=queries.device)
    mask = None
    if padded:
        mask = torch.arange(length) < torch.tensor([[12], [7]])
        seen = seen & (mask.view(2, 1, 1, length) | torch.eye(length, dtype=torch.bool))
    ours = window_attention(queries, keys, values, window=window, mask=mask)
    plain = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
    torch.testing.assert_close(ours, plain)
    direction = seeded(*plain.shape, seed=3)
    inputs = (queries, keys, values)
    gradients = torch.autograd.grad((ours * direction).sum(), inputs)
    expected = torch.autograd.grad((plain * direction).sum(), inputs)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other)
