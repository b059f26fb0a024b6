"""The two streams together: shapes, masks, joint gradients, fixed poolings."""

from dataclasses import replace

import pytest
import torch

from actline.models.coarse_fine import CoarseFineConfig, Surroundings
from actline.models.fusion import FineFeatures, MixDepths, align
from actline.models.x3d import StageFeatures, X3DConfig

SMALL = X3DConfig(widths=(8, 8, 16, 16), depths=(1, 1, 2, 1), head_width=32)
CONFIG = CoarseFineConfig(fine=SMALL, coarse=SMALL, cells=2)


@pytest.mark.parametrize("pooling", ["grid", "average", "maximum", "stride"])
@pytest.mark.parametrize("frames", [3, 16, 21])
def test_logits_for_every_frame_whatever_the_pooling(pooling, frames):
    network = CoarseFineConfig(SMALL, SMALL, pooling=pooling, cells=2).build(5).eval()
    output = network(torch.randn(2, 3, frames, 64, 64))
    assert output.logits.shape == output.fine_logits.shape == (2, 5, frames)
    assert torch.isfinite(output.logits).all()
    assert (output.positions.diff(dim=1) > 0).all()


def test_joint_training_reaches_both_streams():
    network = CONFIG.build(5).train()
    network(torch.randn(2, 3, 16, 64, 64)).logits.square().mean().backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or parameter.grad.abs().sum() == 0
    ]
    # The Fine stream's own head has a loss of its own, which this one does not include; biases
    # in front of a batch normalization have no effect.
    assert [n for n in without if not n.startswith("fine.head")] in (
        [],
        ["coarse.grid_pool.conv1.bias"],
        ["coarse.grid_pool.conv2.bias"],
    ) or all(n.endswith(".bias") or n.startswith("fine.head") for n in without)


def test_stored_features_give_what_the_fine_stream_gives():
    network = CONFIG.build(5).eval()
    clip = torch.randn(2, 3, 16, 64, 64)
    stored, _ = network.encode_fine(clip)
    assert torch.equal(network(clip).logits, network(clip, stored).logits)


def test_the_fine_stream_may_see_what_lies_around_the_clip():
    network = CONFIG.build(5).eval()
    whole = torch.randn(2, 3, 24, 64, 64)
    mask, start = torch.ones(2, 24), torch.tensor([3.0, 8.0])
    clip = torch.stack([whole[0, :, 3:19], whole[1, :, 8:24]])
    output = network(clip, None, None, Surroundings(whole, mask, start))
    # The same as on stored features of the whole, and other than on the clip alone.
    stored, wider = network.encode_fine(whole)
    assert torch.equal(output.logits, network(clip, replace(stored, start=start)).logits)
    assert not torch.allclose(output.logits, network(clip).logits, atol=1e-3)
    assert torch.equal(output.fine_logits[0], wider[0, :, 3:19])
    assert torch.equal(output.fine_logits[1], wider[1, :, 8:24])
    # Around a clip that is all there is, nothing changes.
    alone = network(clip, None, None, Surroundings(clip, mask[:, :16], torch.zeros(2)))
    assert torch.equal(alone.logits, network(clip).logits)
    assert torch.equal(alone.fine_logits, network(clip).fine_logits)


def test_padded_fine_positions_change_nothing():
    network = CONFIG.build(5).eval()
    clip = torch.randn(1, 3, 16, 64, 64)
    stored, _ = network.encode_fine(clip)
    padded = FineFeatures(
        StageFeatures(
            *(torch.cat([s, 100 * torch.randn_like(s[:, :, :7])], dim=2) for s in stored.stages)
        ),
        torch.cat([stored.mask, torch.zeros(1, 7)], dim=1),
        stored.start,
    )
    assert torch.allclose(network(clip, stored).logits, network(clip, padded).logits, atol=1e-5)


def test_alignment_is_the_average_by_attention_gaussian_and_mask():
    features, attention = torch.rand(2, 3, 5, 2, 2), torch.rand(2, 1, 5, 2, 2)
    alignment, mask = torch.rand(2, 5, 4), torch.tensor([[1.0] * 5, [1.0, 1.0, 1.0, 0.0, 0.0]])
    filtered = features * attention
    weights = (
        attention.unsqueeze(3) * alignment.view(2, 1, 5, 4, 1, 1) * mask.view(2, 1, 5, 1, 1, 1)
    )
    plain = (features.unsqueeze(3) * weights).sum(2) / (weights.sum(2) + 1e-6)
    assert torch.allclose(align(filtered, attention, alignment, mask), plain, atol=1e-6)


@pytest.mark.parametrize("size", [7, 14, 28, 56])
def test_mixing_before_spreading_equals_spreading_before_mixing(size):
    """Published code spreads the Fine cells to the Coarse stream's pixels, then mixes."""
    mix = MixDepths(6, 4)
    coarse = torch.randn(2, 4, 3, size, size)
    scales, shifts = torch.randn(2, 6, 3, 7, 7), torch.randn(2, 6, 3, 7, 7)

    def spread_first(cells):
        flat = torch.nn.functional.adaptive_max_pool2d(cells.flatten(1, 2), (size, size))
        return flat.view(2, 6, 3, size, size)

    plain = coarse * mix.scale(spread_first(scales)).sigmoid() + mix.shift(spread_first(shifts))
    assert torch.allclose(mix(coarse, scales, shifts), plain, atol=1e-5)
