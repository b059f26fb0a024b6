"""What TCANet computes in another order than it is defined in equals the definition."""

import pytest
import torch

from actline.models import boundary_regressor
from actline.models.boundary_regressor import (
    grouped_features,
    offset_head,
    on_samples,
    sample_features,
    segment_head,
)


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

    ours = on_samples(head, grouped_features(features), places)
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
    whole = on_samples(head, grouped_features(features), places)
    monkeypatch.setattr(boundary_regressor, "AT_ONCE", 6)  # three of each video
    with torch.no_grad():
        torch.testing.assert_close(on_samples(head, grouped_features(features), places), whole)
        assert on_samples(head, grouped_features(features), places[:, :0]).shape == (2, 0, 3)
