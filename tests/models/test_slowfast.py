"""SlowFast: the published numbers, its two pathways, its heads, and its sizes."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from actline.errors import CheckpointError
from actline.models.normalization import SplitBatchNorm3d, aggregate_statistics
from actline.models.published import pytorchvideo_slowfast
from actline.models.slowfast import (
    SLOWFAST_R50_4X16,
    SLOWFAST_R50_8X8,
    SLOWFAST_R101_4X16,
    SLOWFAST_R101_8X8,
    SLOWFAST_R101_16X8,
    PathwayFeatures,
    SlowFastConfig,
    average_over_frames,
)

R50 = "pytorchvideo_slowfast_r50"


@pytest.fixture(scope="module")
def r50_state(goldens):
    """The published tensors of R50, to be copied before they are changed."""
    return goldens.state(R50)


def tiny(*, per_frame=True, alpha=4, splits=1):
    config = SlowFastConfig(
        width=8,
        depths=(1, 2, 1, 1),
        alpha=alpha,
        beta=1 / 4,
        dropout=0.0,
        splits=splits,
        per_frame=per_frame,
    )
    network = config.build(5)
    # Blocks start as their shortcuts; here every layer is to matter.
    for name, parameter in network.named_parameters():
        if name.endswith("widen_norm.weight"):
            nn.init.ones_(parameter)
    return network


@torch.inference_mode()
def test_logits_equal_the_hub_model(goldens, assert_golden, r50_state):
    network = pytorchvideo_slowfast.from_published(r50_state, alpha=4)
    slow = goldens.normal("ptv_slow", 1, 3, 8, 224, 224)
    fast = goldens.normal("ptv_fast", 1, 3, 32, 224, 224)
    logits = network.eval().forward_pathways(slow, fast)
    assert_golden(logits, goldens.arrays(R50)["logits"])


def test_the_configuration_is_read_off_the_tensors(r50_state):
    small = {  # as in the files of R101: another depth, and a lateral kernel of 5
        name: tensor[:, :, 1:6] if "conv_fast_to_slow" in name else tensor
        for name, tensor in r50_state.items()
        if ".res_blocks.5." not in name
    }
    network = pytorchvideo_slowfast.from_published(small, alpha=8)
    config = network.config
    assert config == SlowFastConfig(depths=(3, 4, 5, 3), alpha=8, fusion_kernel=5, per_frame=False)
    # Training on starts from the published statistics.
    ours = network.state_dict()["laterals.2.norm.split_mean"]
    assert torch.equal(ours, small["blocks.2.multipathway_fusion.norm.running_mean"])


@torch.inference_mode()
def test_blocks_that_do_not_see_along_time_are_read_off_too(r50_state):
    """As in SLOWFAST_16x8_R101_50_50.pyth, whose third stage does so in 6 of 23 blocks."""
    narrow = re.compile(r"blocks\.3\..*res_blocks\.[2-5]\.branch2\.conv_a\.weight")
    cut = {n: t[:, :, 1:2] if narrow.fullmatch(n) else t for n, t in r50_state.items()}
    # The stages of other depths have no more than so many blocks that see along time either.
    config = pytorchvideo_slowfast.config_of(cut, alpha=4)
    assert config.temporal_blocks == 2
    network = config.build(400)
    assert [block.narrow.kernel_size[0] for block in network.slow.stage3] == [3, 3, 1, 1, 1, 1]
    assert [block.narrow.kernel_size[0] for block in network.fast.stage4] == [3, 3, 1]
    with pytest.raises(CheckpointError):  # whose last stage does see along time throughout
        pytorchvideo_slowfast.from_published(cut, alpha=4)
    last = re.compile(r"blocks\.[1-4]\..*res_blocks\.[2-5]\.branch2\.conv_a\.weight")
    all_cut = {
        n: t[:, :, 1:2] if last.fullmatch(n) and t.shape[2] == 3 else t
        for n, t in r50_state.items()
    }
    network = pytorchvideo_slowfast.from_published(all_cut, alpha=4)
    assert network.eval()(torch.randn(1, 3, 8, 32, 32)).isfinite().all()


def test_other_checkpoints_are_refused_in_one_line(goldens, r50_state):
    with pytest.raises(CheckpointError, match="--from"):
        pytorchvideo_slowfast.from_published(goldens.state("pytorchvideo_x3d_m"), alpha=4)
    without = dict(r50_state)
    del without["blocks.3.multipathway_blocks.1.res_blocks.2.branch2.norm_b.weight"]
    with pytest.raises(CheckpointError, match=r"lacks 1 .*fast\.stage3\.2\.spatial_norm\.weight"):
        pytorchvideo_slowfast.from_published(without, alpha=4)


@pytest.mark.parametrize(
    ("config", "millions"),
    # PyTorchVideo's model zoo, which has no R101 of 4 x 16; alpha changes no tensor.
    [
        (SLOWFAST_R50_4X16, 34.48),
        (SLOWFAST_R50_8X8, 34.57),
        (SLOWFAST_R101_4X16, 62.83),
        (SLOWFAST_R101_8X8, 62.83),
        (SLOWFAST_R101_16X8, 53.77),
    ],
)
def test_parameter_counts_are_the_published_ones(config, millions):
    with torch.device("meta"):
        network = replace(config, per_frame=False).build(400)
    count = sum(p.numel() for p in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)
    assert network.frame_channels == 2304


@pytest.mark.parametrize("alpha", [1, 4, 8])
@torch.inference_mode()
def test_one_clip_gives_what_both_pathways_frames_give(alpha):
    network = tiny(alpha=alpha).eval()
    clip = torch.randn(2, 3, 16, 32, 32)
    # PyTorchVideo's PackPathway
    slow = clip[:, :, torch.linspace(0, 15, 16 // alpha).long()]
    assert torch.equal(network(clip), network.forward_pathways(slow, clip))


@pytest.mark.parametrize("frames", [1, 3, 4, 5, 15, 16, 17])
@torch.inference_mode()
def test_clips_of_any_length_get_logits_for_every_frame(frames):
    network = tiny(alpha=4).eval()
    clip = torch.randn(2, 3, frames, 32, 48)
    logits = network(clip)
    assert logits.shape == (2, 5, frames)
    assert logits.isfinite().all()
    assert network.slow_frames(clip).shape[2] == (frames + 3) // 4


@torch.inference_mode()
def test_a_clip_no_longer_than_alpha_gives_its_first_frame_slowly():
    clip = torch.randn(1, 3, 4, 8, 8)
    assert torch.equal(tiny(alpha=4).slow_frames(clip), clip[:, :, :1])


@torch.inference_mode()
def test_slow_features_are_interpolated_from_the_first_frame_to_the_last():
    slow = torch.tensor([0.0, 6.0, 0.0]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 2, 2)
    fast = torch.arange(7.0).view(1, 1, 7, 1, 1).expand(1, 1, 7, 2, 2)
    per_frame = average_over_frames(PathwayFeatures(slow, fast))
    wanted = torch.tensor([[[0.0, 2, 4, 6, 4, 2, 0], [0, 1, 2, 3, 4, 5, 6]]])
    assert torch.allclose(per_frame, wanted, atol=1e-5)


@torch.inference_mode()
def test_both_heads_agree_on_a_clip_of_one_frame_and_share_their_weights():
    frames, clips = tiny(per_frame=True).eval(), tiny(per_frame=False).eval()
    clips.load_state_dict(frames.state_dict())
    clip = torch.randn(2, 3, 1, 32, 32)
    assert torch.allclose(frames(clip)[:, :, 0], clips(clip), atol=1e-5)
    assert clips(torch.randn(2, 3, 9, 32, 32)).shape == (2, 5)


@torch.inference_mode()
def test_features_are_the_averages_of_the_slow_and_then_the_fast_pathway():
    network = tiny(per_frame=False).eval()
    clip = torch.randn(2, 3, 8, 64, 64)
    last = network.pathways(network.slow_frames(clip), clip)
    assert [tuple(f.shape) for f in last] == [(2, 256, 2, 2, 2), (2, 64, 8, 2, 2)]
    by_depth = network.features(clip)
    assert tuple(f.shape[1] for f in by_depth) == network.feature_channels
    assert [f.shape[2:] for f in by_depth] == [(8, s, s) for s in (16, 8, 4, 2)]
    assert len(by_depth) == len(network.depths)
    averaged = average_over_frames(last)
    assert torch.allclose(by_depth[-1].mean(dim=(3, 4)), averaged, atol=1e-6)
    assert torch.equal(network.frame_output(clip).features, averaged)
    features = network.clip_features(clip)
    assert features.shape == (2, network.frame_channels)
    assert torch.allclose(features[:, :256], last.slow.mean(dim=(2, 3, 4)))
    assert torch.allclose(features[:, 256:], last.fast.mean(dim=(2, 3, 4)))
    assert torch.allclose(network.head.classify(features), network(clip), atol=1e-5)


@pytest.mark.parametrize("per_frame", [True, False])
def test_gradients_reach_every_parameter(per_frame):
    network = tiny(per_frame=per_frame, splits=2).train()
    network(torch.randn(4, 3, 10, 64, 64)).square().sum().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_blocks_start_as_their_shortcuts():
    network = SlowFastConfig(width=8, depths=(1, 2, 1, 1)).build(5).eval()
    block = network.slow.stage2[1]
    x = torch.rand(1, 64, 2, 4, 4)
    assert torch.equal(block(x), x)


def test_statistics_of_the_parts_are_aggregated_everywhere():
    network = tiny(splits=2).train()
    network(torch.randn(4, 3, 8, 64, 64))
    aggregate_statistics(network)
    norms = [m for m in network.modules() if isinstance(m, SplitBatchNorm3d)]
    assert all(norm.splits == 2 and norm.running_mean.any() for norm in norms)
    assert not any(isinstance(m, nn.BatchNorm3d) for m in network.modules())


def test_frames_that_do_not_fit_alpha_are_an_error():
    with pytest.raises(ValueError, match=r"needs 2 frames for 8 .*alpha 4.*, not 3"):
        tiny().forward_pathways(torch.randn(1, 3, 3, 32, 32), torch.randn(1, 3, 8, 32, 32))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"alpha": 0}, "alpha must be at least 1, not 0"),
        ({"width": 3}, "leaves the Fast pathway none"),
        ({"fusion_kernel": 6}, "fusion_kernel must be odd, not 6"),
    ],
)
def test_sizes_that_cannot_be_are_errors(sizes, message):
    with pytest.raises(ValueError, match=message):
        SlowFastConfig(**sizes).build(5)
