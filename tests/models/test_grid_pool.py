"""Grid Pool samples where confidence is high, Grid Unpool undoes it, and both have gradients."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from actline.models.grid_pool import (
    GridPool,
    cumulative_positions,
    grid_unpool,
    inverse_positions,
    sample_frames,
)


def confidences(intervals: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.05 + 0.9 * torch.rand(2, intervals, generator=generator, dtype=torch.float64)


@given(st.integers(1, 20), st.integers(0, 1000))
def test_positions_increase_from_first_frame_to_last(intervals, seed):
    positions = cumulative_positions(confidences(intervals, seed))
    assert positions.shape == (2, intervals + 1)
    assert (positions[:, 0] == 0).all()
    assert torch.allclose(positions[:, -1], torch.ones(2, dtype=torch.float64))
    assert (positions.diff(dim=1) > 0).all()


def test_equal_confidences_sample_at_equal_distances():
    positions = cumulative_positions(torch.full((1, 8), 0.3))
    assert torch.allclose(positions, torch.linspace(0, 1, 9).unsqueeze(0))


def test_sampling_is_denser_where_confidence_is_higher():
    confidence = torch.tensor([[0.1, 0.1, 0.9, 0.9, 0.1, 0.1]])
    gaps = cumulative_positions(confidence).diff(dim=1)[0]
    assert gaps[2:4].max() < gaps[[0, 1, 4, 5]].min() / 5


@given(st.integers(2, 12), st.integers(2, 30), st.integers(0, 1000))
def test_temporal_interpolation_equals_trilinear_sampling_on_pixel_centres(points, frames, seed):
    generator = torch.Generator().manual_seed(seed)
    clip = torch.randn(2, 3, frames, 4, 5, generator=generator, dtype=torch.float64)
    positions = cumulative_positions(confidences(points - 1, seed))
    height, width = (
        torch.linspace(-1, 1, 4, dtype=torch.float64),
        torch.linspace(-1, 1, 5, dtype=torch.float64),
    )
    grids = []
    for row in positions:
        t, h, w = torch.meshgrid(2 * row - 1, height, width, indexing="ij")
        grids.append(torch.stack((w, h, t), dim=-1))
    trilinear = F.grid_sample(clip, torch.stack(grids), align_corners=True)
    assert torch.allclose(sample_frames(clip, positions), trilinear, atol=1e-9)


@given(st.integers(2, 20), st.integers(0, 1000))
def test_grid_unpool_inverts_grid_pool_on_linear_signals(intervals, seed):
    positions = cumulative_positions(confidences(intervals, seed))
    ramp = torch.linspace(0, 1, 64, dtype=torch.float64).expand(2, 1, 64)
    restored = grid_unpool(sample_frames(ramp, positions), positions)
    regular = torch.linspace(0, 1, intervals + 1, dtype=torch.float64)
    assert torch.allclose(restored, regular.expand(2, 1, -1), atol=1e-6)


def test_inverse_positions_undo_the_warp():
    positions = cumulative_positions(confidences(9, 3))
    inverse = inverse_positions(positions)
    regular = torch.linspace(0, 1, 10, dtype=torch.float64).expand(2, -1)
    assert torch.allclose(
        sample_frames(positions.unsqueeze(1), inverse).squeeze(1), regular, atol=1e-9
    )


def test_gradients_of_pooling_and_unpooling_are_exact():
    clip = torch.randn(1, 2, 6, 2, 2, dtype=torch.float64, requires_grad=True)
    confidence = (0.3 + 0.4 * torch.rand(1, 4, dtype=torch.float64)).requires_grad_()

    def there_and_back(clip, confidence):
        positions = cumulative_positions(confidence)
        return grid_unpool(sample_frames(clip, positions).mean(dim=(3, 4)), positions)

    assert gradcheck(there_and_back, (clip, confidence), eps=1e-7, atol=1e-5)


def test_confidences_learn_from_the_loss():
    pool = GridPool(4)
    pooled, _ = pool(torch.randn(2, 4, 16, 8, 8))
    pooled.square().mean().backward()
    for parameter in (pool.conv1.weight, pool.conv2.weight, pool.conv3.weight):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 16, 31])
def test_any_number_of_frames_can_be_pooled(frames):
    pooled, positions = GridPool(4).eval()(torch.randn(1, 4, frames, 8, 8))
    assert pooled.shape[2] == positions.shape[1] == -(-frames // 4) + 1
    assert torch.isfinite(pooled).all()
