"""Every pooling in time puts what it pooled back at the right time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actline.models.coarse_fine import CoarseFineConfig, CoarseStream
from actline.models.fixed_pooling import average_frames, maximum_frames, strided_frames
from actline.models.x3d import X3DConfig

SMALL = X3DConfig(widths=(8, 8, 16, 16), depths=(1, 1, 2, 1), head_width=32)
POOLINGS = ("grid", "average", "maximum", "stride")
FIXED = POOLINGS[1:]
STREAMS: dict[str, CoarseStream] = {
    pooling: CoarseFineConfig(SMALL, SMALL, pooling=pooling, cells=2).build(5).eval().coarse
    for pooling in POOLINGS
}


def ramps(frames: int, slopes: tuple[float, ...], *, channels: int = 8) -> torch.Tensor:
    """Clips (B, C, T, 16, 16) whose every value changes evenly, each clip by its own slope."""
    time = torch.arange(frames, dtype=torch.float32)
    values = torch.stack([1 + slope * time for slope in slopes])
    return values.view(-1, 1, frames, 1, 1).repeat(1, channels, 1, 16, 16)


@pytest.mark.parametrize("pooling", POOLINGS)
@given(frames=st.integers(5, 130))
@torch.no_grad()
def test_a_ramp_comes_back_as_it_was(pooling, frames):
    stream = STREAMS[pooling]
    clips = ramps(frames, (1.0, -0.5))  # growing and falling: a maximum is at other ends
    pooled, positions = stream.pool(clips)
    restored = stream.unpool(pooled[:, :, :, 0, 0], positions, frames)
    assert (restored - clips[:, :, :, 0, 0]).abs().max() < 1e-5 * frames


@pytest.mark.parametrize("pooling", FIXED)
@given(frames=st.integers(1, 130))
def test_gaussians_are_centred_at_the_pooled_frames_own_times(pooling, frames):
    """On a clip whose values are its frames' numbers, what was pooled says when it is."""
    stream = STREAMS[pooling]
    clips = ramps(frames, (1.0, 1.0))
    pooled, positions = stream.pool(clips)
    centres = stream.centres(positions, frames, torch.tensor([0.0, 7.0]))
    assert pooled.shape[2] == -(-frames // 4)
    assert torch.allclose(centres[0], pooled[0, 0, :, 0, 0] - 1, atol=1e-4)
    assert torch.allclose(centres[1], pooled[1, 0, :, 0, 0] + 6, atol=1e-4)
    assert ((positions >= 0) & (positions <= 1)).all()


def test_grid_pools_gaussians_are_centred_as_published():
    positions = torch.tensor([[0.0, 0.25, 1.0]])
    centres = STREAMS["grid"].centres(positions, 16, torch.tensor([2.0]))
    assert centres.tolist() == [[2.0, 6.0, 18.0]]


def test_fewer_frames_at_the_end_are_pooled_by_themselves():
    clip = torch.tensor([3.0, 1.0, 2.0, 2.0, 8.0, 6.0]).view(1, 1, 6, 1, 1)
    for pool, values, frames in (
        (strided_frames, [3.0, 8.0], [0.0, 4.0]),
        (average_frames, [2.0, 7.0], [1.5, 4.5]),
        (maximum_frames, [3.0, 8.0], [0.0, 4.0]),
    ):
        pooled, positions = pool(clip, 4)
        assert pooled.flatten().tolist() == values
        assert torch.allclose(positions[0] * 5, torch.tensor(frames))


def test_a_maximum_lies_where_it_is_reached_and_in_the_middle_where_nothing_changes():
    still = torch.zeros(8)
    late = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    clips = torch.stack([torch.stack([still, still]), torch.stack([still, late])])
    _, positions = maximum_frames(clips.view(2, 2, 8, 1, 1), 4)
    assert torch.allclose(positions * 7, torch.tensor([[1.5, 5.5], [2.25, 6.25]]))


@pytest.mark.parametrize("pooling", FIXED)
def test_fixed_poolings_have_gradients(pooling):
    stream = CoarseFineConfig(SMALL, SMALL, pooling=pooling, cells=2).build(5).coarse
    clip = torch.randn(2, 8, 10, 4, 4, requires_grad=True)
    pooled, positions = stream.pool(clip)
    stream.unpool(pooled.mean(dim=(3, 4)), positions, 10).square().sum().backward()
    assert clip.grad is not None
    assert torch.isfinite(clip.grad).all()
    assert bool(clip.grad.abs().sum())
