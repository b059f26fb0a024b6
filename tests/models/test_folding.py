"""What is done for speed changes no result: folding, and convolutions written for CPUs."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from actline.models import folding, x3d_folded
from actline.models.checkpoint import weights_hash
from actline.models.coarse_fine import CoarseFineConfig
from actline.models.convolutions import DepthwiseConv3d, SpatialConv3d
from actline.models.folding import FoldedConvolution, folded
from actline.models.fusion import FineFeatures, MixDepths, cells_to_pixels
from actline.models.normalization import SplitBatchNorm3d
from actline.models.published import coarse_fine, pytorchvideo, x3d_multigrid
from actline.models.slowfast import SlowFastConfig
from actline.models.x3d import StageFeatures, X3DConfig

SMALL = X3DConfig(widths=(8, 8, 16, 24), depths=(2, 1, 3, 2), head_width=32)
FINE_CHANNELS = {"layer1": 24, "layer2": 48, "layer3": 96, "layer4": 192, "conv5": 432}


def trained(network: nn.Module) -> nn.Module:
    """In evaluation mode, with normalizations that do something."""
    for module in network.modules():
        if isinstance(module, SplitBatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


def difference(ours: Tensor, expected: Tensor) -> float:
    """The largest, relative to the largest value."""
    assert ours.shape == expected.shape
    return float((ours - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    "shape", [(1, 3, 5, 64, 64), (2, 3, 1, 63, 49), (3, 3, 7, 97, 33), (1, 3, 33, 32, 32)]
)
@pytest.mark.parametrize("channels_last", [True, False])
@torch.inference_mode()
def test_a_folded_x3d_gives_the_same(shape, channels_last):
    network = trained(SMALL.build(5))
    fast = folded(network)
    clip = torch.randn(shape)
    if channels_last:
        clip = clip.contiguous(memory_format=torch.channels_last_3d)
    assert difference(fast(clip), network(clip)) < 1e-4
    for ours, expected in zip(fast.features(clip), network.features(clip), strict=True):
        assert difference(ours, expected) < 1e-4
    for ours, expected in zip(fast.frame_output(clip), network.frame_output(clip), strict=True):
        assert difference(ours, expected) < 1e-4


@pytest.mark.parametrize("frames_at_once", [1, 5])
@torch.inference_mode()
def test_widening_a_few_frames_at_a_time_gives_the_same(monkeypatch, frames_at_once):
    network = trained(SMALL.build(5))
    clip = torch.randn(2, 3, 21, 32, 48)
    frame = 2 * 18 * 8 * 12 * 4  # bytes of the first block's widened features
    monkeypatch.setattr(x3d_folded, "WIDENED_BYTES", (frames_at_once + 2) * frame)
    assert difference(folded(network)(clip), network(clip)) < 1e-4


@torch.inference_mode()
def test_without_onednn_the_same_is_done_in_steps(monkeypatch):
    network = trained(SMALL.build(5))
    fast, clip = folded(network), torch.randn(2, 3, 4, 48, 48)
    monkeypatch.setattr(folding, "has_onednn", lambda: False)
    assert difference(fast(clip), network(clip)) < 1e-4
    assert difference(fast.double()(clip.double()), network.double()(clip.double())) < 1e-6


@torch.inference_mode()
def test_every_normalization_is_folded_and_nothing_learns():
    for network in (SMALL.build(5), CoarseFineConfig().build(5), SlowFastConfig(width=16).build(5)):
        fast = folded(trained(network))
        assert not any(isinstance(module, SplitBatchNorm3d) for module in fast.modules())
        assert not any(p.requires_grad for p in fast.parameters())
        assert not any(module.training for module in fast.modules())
        assert all(p.requires_grad for p in network.parameters())


def test_a_folded_network_is_known_by_the_weights_of_the_network():
    network = trained(SMALL.build(5))
    fast = folded(network)
    assert weights_hash(fast) == weights_hash(network)
    assert weights_hash(copy.deepcopy(fast)) == weights_hash(network)
    assert weights_hash(nn.ModuleList([fast])) == weights_hash(nn.ModuleList([network]))


def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match="eval"):
        folded(SMALL.build(5).train())


@torch.inference_mode()
def test_a_folded_slowfast_gives_the_same():
    network = trained(SlowFastConfig(width=16, depths=(1, 2, 1, 1)).build(5))
    clip = torch.randn(2, 3, 9, 64, 80)
    fast = folded(network)
    assert difference(fast(clip), network(clip)) < 1e-4
    assert difference(fast.clip_features(clip), network.clip_features(clip)) < 1e-4


@pytest.mark.parametrize("size", [(64, 64), (70, 50)])
@torch.inference_mode()
def test_a_folded_coarse_fine_gives_the_same(size):
    network = trained(CoarseFineConfig(fine=SMALL, coarse=SMALL, cells=2).build(5))
    clip = torch.randn(2, 3, 9, *size)
    ours, expected = folded(network)(clip), network(clip)
    assert difference(ours.logits, expected.logits) < 1e-4
    assert difference(ours.positions, expected.positions) < 1e-4
    assert difference(ours.fine_logits, expected.fine_logits) < 1e-4


@torch.inference_mode()
def test_the_folded_fine_stream_gives_the_published_numbers(goldens, assert_golden):
    network = x3d_multigrid.from_published(goldens.state("x3d_m_fine"), per_frame=True)
    logits = folded(network.eval())(goldens.normal("x3d_m_fine", 2, 3, 8, 112, 112))
    assert_golden(logits, goldens.arrays("x3d_m_fine")["logits"])


@torch.inference_mode()
def test_the_folded_hub_model_gives_the_published_numbers(goldens, assert_golden):
    network = pytorchvideo.from_published(goldens.state("pytorchvideo_x3d_m"))
    logits = folded(network.eval())(goldens.normal("ptv_x3d_m", 1, 3, 16, 224, 224))
    assert_golden(logits, goldens.arrays("pytorchvideo_x3d_m")["logits"])


@torch.inference_mode()
def test_the_folded_coarse_stream_gives_the_published_numbers(goldens, assert_golden):
    network = coarse_fine.from_published(goldens.state("coarse_fine"))
    mask = torch.ones(2, 40)
    mask[1, 30:] = 0
    fine = StageFeatures(
        *(goldens.normal(f"feat_{k}", 2, c, 40, 7, 7).abs() for k, c in FINE_CHANNELS.items())
    )
    features = FineFeatures(fine, mask, start=torch.tensor([0.0, 4.0]))
    output = folded(network.eval())(goldens.normal("coarse", 2, 3, 32, 224, 224), features)
    stored = goldens.arrays("coarse_fine")
    assert_golden(output.positions, stored["cdf"])
    assert_golden(output.logits, stored["logits"])


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("activation", ["none", "relu", "swish"])
@torch.inference_mode()
def test_a_fused_convolution_equals_its_steps(activation, add):
    conv = nn.Conv3d(6, 10, 3, stride=(1, 2, 2), padding=1, groups=2)
    fused = FoldedConvolution(conv, trained(SplitBatchNorm3d(10)), activation)
    x = torch.randn(2, 6, 3, 9, 8)
    other = torch.randn(2, 10, 3, 5, 4) if add else None
    kept = None if other is None else other.clone()
    assert difference(fused(x, other), fused.in_steps(x, other)) < 1e-5
    assert other is None or torch.equal(other, kept), "what is added stays as it was"


@pytest.fixture
def one_thread():
    """Thousands of tiny steps: several threads wait for one another where others are at work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("frames", [1, 2, 4])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [((3, 3, 3), 1, (1, 1, 1)), ((3, 3, 3), (1, 2, 2), (1, 1, 1)), ((5, 1, 1), 1, (2, 0, 0))],
)
def test_gradients_of_depthwise_convolutions(frames, kernel, stride, padding):
    conv = DepthwiseConv3d(
        3, 3, kernel, stride=stride, padding=padding, groups=3, bias=False
    ).double()
    x = torch.randn(2, 3, frames, 5, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, _: conv(x), (x, conv.weight))


@pytest.mark.parametrize("splits", [1, 2])
def test_training_on_a_cpu_equals_torchs_own_convolutions(splits):
    network = X3DConfig(
        widths=(8, 8, 16, 24), depths=(2, 1, 2, 1), head_width=32, dropout=0.0, splits=splits
    ).build(5)
    plain = copy.deepcopy(network)
    for module in plain.modules():
        if isinstance(module, SpatialConv3d | DepthwiseConv3d):
            module.forward = partial(nn.Conv3d.forward, module)
    clip = torch.randn(4, 3, 5, 65, 48, dtype=torch.double)
    for each in (network, plain):
        batch = clip.contiguous(memory_format=torch.channels_last_3d)
        each.double().train()(batch).square().sum().backward()
    pairs = zip(network.named_parameters(), plain.parameters(), strict=True)
    for (name, ours), expected in pairs:
        assert torch.allclose(ours.grad, expected.grad, rtol=1e-5, atol=1e-9), name
    for ours, expected in zip(network.buffers(), plain.buffers(), strict=True):
        assert torch.allclose(ours, expected)


def test_mixed_precision_trains_on_a_cpu():
    network = SMALL.build(5).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(torch.randn(2, 3, 4, 64, 64)).float().square().mean()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("size", [(6, 4), (2, 2), (5, 7)])
def test_scales_and_shifts_of_cells_reach_every_pixel(size):
    mix = MixDepths(6, 4)
    coarse, scales, shifts = (
        torch.randn(2, 4, 3, *size),
        torch.randn(2, 6, 3, 2, 2),
        torch.randn(2, 6, 3, 2, 2),
    )
    expected = coarse * cells_to_pixels(mix.scale(scales).sigmoid(), *size)
    expected = expected + cells_to_pixels(mix.shift(shifts), *size)
    for memory_format in (torch.contiguous_format, torch.channels_last_3d):
        assert torch.allclose(mix(coarse.to(memory_format=memory_format), scales, shifts), expected)
