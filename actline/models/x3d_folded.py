"""X3D's blocks for inference: fewer and larger steps, the same results up to rounding."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actline.models.convolutions import runs_on_cpu
from actline.models.folding import FoldedConvolution
from actline.models.x3d_blocks import SqueezeExcitation, X3DBottleneck, X3DStem

# Bytes of widened features that are made at a time. That keeps them in the CPU's cache, and below
# the 32 MiB from which glibc takes fresh memory from the system, page by page, at every call: on
# X3D-M's first block that takes longer than its convolutions.
WIDENED_BYTES = 28 * 2**20


class FoldedStem(nn.Module):
    """X3D's stem in two convolutions."""

    def __init__(self, stem: X3DStem) -> None:
        super().__init__()
        self.spatial = stem.spatial
        self.temporal = FoldedConvolution(stem.temporal, stem.norm, "relu")

    def forward(self, clip: Tensor) -> Tensor:
        return self.temporal(self.spatial(clip))


class FoldedBottleneck(nn.Module):
    """X3D's bottleneck in three convolutions, or four with that of its shortcut."""

    def __init__(self, block: X3DBottleneck) -> None:
        super().__init__()
        gate = block.gate
        self.gate = gate if isinstance(gate, SqueezeExcitation) else None
        self.widen = FoldedConvolution(block.widen, block.widen_norm, "relu")
        self.depthwise = FoldedConvolution(
            block.depthwise, block.depthwise_norm, "swish" if self.gate is None else "none"
        )
        self.narrow = FoldedConvolution(block.narrow, block.narrow_norm, "relu")
        shortcut = block.shortcut
        self.shortcut = None
        if isinstance(shortcut, nn.Sequential):
            norm = shortcut[1] if len(shortcut) == 2 else None
            self.shortcut = FoldedConvolution(shortcut[0], norm, "none")

    def forward(self, x: Tensor) -> Tensor:
        inner = self.widened(x)
        if self.gate is not None:
            inner = F.silu(inner.mul_(self.gate.scale_by(average(inner))), inplace=True)
        return self.narrow(inner, add=x if self.shortcut is None else self.shortcut(x))

    def widened(self, x: Tensor) -> Tensor:
        """Widen and convolve; on a CPU only as many frames at a time as fit in `WIDENED_BYTES`."""
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


def average(x: Tensor) -> Tensor:
    """Every channel's mean, (B, C, 1, 1, 1), as a matrix product.

    For features with channels last that is up to six times as fast on a CPU as `mean`.
    """
    B, C = x.shape[:2]
    flat = x.permute(0, 2, 3, 4, 1).flatten(1, 3)  # (B, T H W, C)
    return (flat.new_full((1, 1, flat.shape[1]), 1 / flat.shape[1]) @ flat).view(B, C, 1, 1, 1)
