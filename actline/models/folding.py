"""Networks prepared for inference: fewer and larger steps, the same results but for rounding."""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actline.models import slowfast_blocks as slowfast
from actline.models.convolutions import runs_on_cpu
from actline.models.grid_pool import GridPool
from actline.models.normalization import SplitBatchNorm3d
from actline.models.x3d import X3D
from actline.models.x3d_blocks import Bottleneck, SqueezeExcitation, Stem

Activation = Literal["none", "relu", "swish"]

# Convolutions and the normalizations right behind them, where folding one into the other is all.
PAIRS: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    GridPool: (("conv1", "norm1"), ("conv2", "norm2")),
    slowfast.Stem: (("conv", "norm"),),
    slowfast.Lateral: (("conv", "norm"),),
    slowfast.Bottleneck: (
        ("narrow", "narrow_norm"),
        ("spatial", "spatial_norm"),
        ("widen", "widen_norm"),
    ),
}

# The widened features of so many bytes are made at a time. It keeps them near the processor, and
# below the 32 MiB from which glibc takes memory from the system anew, page by page, at every
# call: on X3D-M's first block that takes longer than its convolutions.
WIDENED_BYTES = 28 * 2**20


def folded(network: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode that gives the same results sooner.

    - Every batch normalization of the X3Ds, of Grid Pool and of SlowFast becomes part of the
      convolution before it.
    - In X3D, activations and the addition of the shortcut become part of the convolutions too,
      where oneDNN has them (on CPUs), and happen in place elsewhere.
    - On CPUs, X3D's widest features never exist for all frames at once.

    Classes, methods and the shapes of results stay those of the network. `state_dict` stays
    the network's too, under its names and with its values: what is saved or hashed does not show
    the folding. The copy is for inference alone; it neither learns nor loads weights.

    Raises:
        ValueError: the network is in training mode, where normalization follows the batch.
    """
    if network.training:
        raise ValueError("only a network in evaluation mode can be folded: call .eval() first")
    fast = copy.deepcopy(network).requires_grad_(False)
    for module in list(fast.modules()):
        if isinstance(module, X3D):
            _fuse(module)
    for module in list(fast.modules()):
        for conv, norm in PAIRS.get(type(module), ()):
            setattr(module, conv, _with_bias(getattr(module, conv), getattr(module, norm)))
            setattr(module, norm, nn.Identity())
        if isinstance(module, slowfast.Bottleneck) and isinstance(module.shortcut, nn.Sequential):
            module.shortcut = _with_bias(*module.shortcut)
    fast.state_dict = network.state_dict
    return fast.eval()


def _fuse(network: X3D) -> None:
    network.add_module("stem", FusedStem(network.stem))
    for stage in (network.stage1, network.stage2, network.stage3, network.stage4):
        for index, block in enumerate(stage):
            assert isinstance(block, Bottleneck)
            stage[index] = FusedBottleneck(block)
    conv, norm, _ = network.conv5
    network.add_module("conv5", FusedConvolution(conv, norm, "relu"))


class FusedStem(nn.Module):
    """X3D's stem in two convolutions."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.spatial = stem.spatial
        self.temporal = FusedConvolution(stem.temporal, stem.norm, "relu")

    def forward(self, clip: Tensor) -> Tensor:
        return self.temporal(self.spatial(clip))


class FusedBottleneck(nn.Module):
    """X3D's bottleneck in three convolutions, or four with that of its shortcut."""

    def __init__(self, block: Bottleneck) -> None:
        super().__init__()
        gate = block.gate
        self.gate = gate if isinstance(gate, SqueezeExcitation) else None
        self.widen = FusedConvolution(block.widen, block.widen_norm, "relu")
        self.depthwise = FusedConvolution(
            block.depthwise, block.depthwise_norm, "swish" if self.gate is None else "none"
        )
        self.narrow = FusedConvolution(block.narrow, block.narrow_norm, "relu")
        shortcut = block.shortcut
        self.shortcut = None
        if isinstance(shortcut, nn.Sequential):
            norm = shortcut[1] if len(shortcut) == 2 else None
            self.shortcut = FusedConvolution(shortcut[0], norm, "none")

    def forward(self, x: Tensor) -> Tensor:
        inner = self.widened(x)
        if self.gate is not None:
            inner = F.silu(inner.mul_(self.gate.scale_by(average(inner))), inplace=True)
        return self.narrow(inner, add=x if self.shortcut is None else self.shortcut(x))

    def widened(self, x: Tensor) -> Tensor:
        """Widen and convolve; on a CPU so few frames at a time that `WIDENED_BYTES` hold them."""
        B, _, T, H, W = x.shape
        frame = B * len(self.widen.weight) * H * W * x.element_size()
        at_once = max(WIDENED_BYTES // frame - 2, 4)  # with a neighbour on either side
        if at_once + 2 >= T or not runs_on_cpu(x):
            return self.depthwise(self.widen(x))
        parts = []
        for begin in range(0, T, at_once):
            end = min(begin + at_once, T)
            first = max(begin - 1, 0)
            part = self.depthwise(self.widen(x[:, :, first : end + 1]))
            parts.append(part[:, :, begin - first : end - first])
        return torch.cat(parts, dim=2)


class FusedConvolution(nn.Module):
    """A convolution, the normalization behind it, something to add, an activation, as one.

    Shape:
        x: (B, C, T, H, W); add: what the convolution returns, (B, C', T', H', W').
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Module, norm: nn.Module | None, activation: Activation) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv3d)
        weight, bias = fold(conv, norm)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last_3d))
        self.register_buffer("bias", bias)
        self.stride = list(conv.stride)
        self.padding = [int(size) for size in conv.padding]
        self.groups = conv.groups
        self.activation: Activation = activation

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        known = add is None or self.activation == "relu"  # behind an addition oneDNN has no other
        if not (known and x.dtype == torch.float32 and runs_on_cpu(x) and has_onednn()):
            return self.in_steps(x, add)
        # The operators that torch.compile writes for CPUs; torch has no other name for them.
        fused = torch.ops.mkldnn._convolution_pointwise
        what = (self.weight, self.bias, self.padding, self.stride, [1, 1, 1], self.groups)
        if add is None:
            return fused(x, *what, self.activation, [], "")
        return fused.binary(x, add, *what, "add", 1.0, self.activation, [], "")

    def in_steps(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """The same by torch's own operators, for every device and type."""
        result = F.conv3d(
            x, self.weight, self.bias, tuple(self.stride), tuple(self.padding), groups=self.groups
        )
        if add is not None:
            result += add
        if self.activation == "relu":
            return result.relu_()
        return F.silu(result, inplace=True) if self.activation == "swish" else result


def average(x: Tensor) -> Tensor:
    """Every channel's mean, (B, C, 1, 1, 1), as a matrix product.

    For features with channels last that is up to six times as quick on a CPU as `mean`.
    """
    B, C = x.shape[:2]
    flat = x.permute(0, 2, 3, 4, 1).flatten(1, 3)  # (B, T H W, C)
    return (flat.new_full((1, 1, flat.shape[1]), 1 / flat.shape[1]) @ flat).view(B, C, 1, 1, 1)


def has_onednn() -> bool:
    """Whether torch has oneDNN, and its convolutions with activations, on this machine."""
    return torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    )


@torch.no_grad()
def fold(conv: nn.Conv3d, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what both do in evaluation mode."""
    weight = conv.weight.detach()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    if norm is None:
        return weight, bias
    assert isinstance(norm, SplitBatchNorm3d)
    # In double precision: the copy should differ by the rounding of its use alone.
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() + (bias.double() - norm.running_mean.double()) * scale
    return (weight.double() * scale.view(-1, 1, 1, 1, 1)).to(weight), shift.to(bias)


def _with_bias(conv: nn.Module, norm: nn.Module) -> nn.Conv3d:
    assert isinstance(conv, nn.Conv3d)
    weight, bias = fold(conv, norm)
    both = copy.deepcopy(conv)
    both.weight = nn.Parameter(weight, requires_grad=False)
    both.bias = nn.Parameter(bias, requires_grad=False)
    return both
