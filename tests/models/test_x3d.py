"""X3D's sizes, its split normalization, and its features at every stage."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from actline.models.normalization import SplitBatchNorm3d, aggregate_statistics
from actline.models.x3d import X3D_L, X3D_M, X3D_S, X3D_XL, X3DConfig


@pytest.mark.parametrize(
    ("config", "millions"),
    # PyTorchVideo's model zoo; X3D-XL from the paper's Table 3. Ours add the normalization of the
    # first shortcut.
    [(X3D_S, 3.79), (X3D_M, 3.79), (X3D_L, 6.15), (X3D_XL, 11.0)],
)
def test_parameter_counts_are_the_published_ones(config, millions):
    count = sum(p.numel() for p in replace(config, per_frame=False).build(400).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_features_halve_in_space_and_keep_every_frame():
    network = X3DConfig(widths=(8, 8, 16, 16), depths=(1, 1, 2, 1), head_width=32).build(3).eval()
    shapes = [tuple(s.shape) for s in network.features(torch.randn(1, 3, 5, 64, 64))]
    assert shapes == [
        (1, 8, 5, 16, 16),
        (1, 8, 5, 8, 8),
        (1, 16, 5, 4, 4),
        (1, 16, 5, 2, 2),
        (1, 36, 5, 2, 2),
    ]


@pytest.mark.parametrize("splits", [1, 2, 4])
def test_each_part_of_a_batch_is_normalized_by_itself(splits):
    norm = SplitBatchNorm3d(3, splits=splits).train()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    x = torch.randn(8, 3, 2, 4, 4) * torch.arange(1, 9).view(8, 1, 1, 1, 1)
    ours = norm(x)
    for part in range(splits):
        plain = nn.BatchNorm3d(3)
        plain.weight, plain.bias = norm.weight, norm.bias
        assert torch.allclose(ours[part::splits], plain(x[part::splits]), atol=1e-5)


def test_aggregated_statistics_are_those_of_all_parts_together():
    norm = SplitBatchNorm3d(3, splits=4, momentum=1.0).train()
    x = torch.randn(8, 3, 2, 4, 4) + torch.arange(8.0).view(8, 1, 1, 1, 1)
    norm(x)
    aggregate_statistics(norm)
    assert torch.allclose(norm.running_mean, x.mean(dim=(0, 2, 3, 4)), atol=1e-5)
    n = 2 * 2 * 4 * 4  # values a part and channel: its variance is kept unbiased
    parts = torch.stack([x[part::4] for part in range(4)])
    unbiased = parts.var(dim=(1, 3, 4, 5), unbiased=True)
    means = parts.mean(dim=(1, 3, 4, 5))
    assert n == parts[0, :, 0].numel()
    wanted = unbiased.mean(0) + (means - means.mean(0)).square().mean(0)
    assert torch.allclose(norm.running_var, wanted, atol=1e-4)


def test_a_batch_that_cannot_be_split_is_an_error():
    with pytest.raises(ValueError, match="3 cannot be split into 2"):
        SplitBatchNorm3d(3, splits=2).train()(torch.randn(3, 3, 1, 2, 2))


def test_changing_the_splits_keeps_the_statistics():
    norm = SplitBatchNorm3d(3, splits=2).train()
    norm(torch.randn(4, 3, 2, 4, 4) + 5)
    norm.set_splits(4)
    before = norm.running_mean.clone()
    norm.aggregate_statistics()
    assert torch.allclose(norm.running_mean, before)
