"""Networks prepared for inference: fewer and larger steps, the same results up to rounding."""

import copy
from typing import Literal, Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actline.models.convolutions import runs_on_cpu
from actline.models.normalization import SplitBatchNorm3d

Network = TypeVar("Network", bound=nn.Module)
Activation = Literal["none", "relu", "swish"]


@runtime_checkable
class Foldable(Protocol):
    """A network, or a part of one, that can fold itself."""

    def fold(self) -> None:
        """Replace parts, in place, so that inference gives the same results faster."""
        ...


def folded(network: Network) -> Network:
    """A copy of a network in evaluation mode that gives the same results faster.

    - Every batch normalization of the X3Ds, of Grid Pool and of SlowFast becomes part of the
      convolution before it.
    - In X3D, activations and the addition of the shortcut become part of the convolutions too,
      where oneDNN has them (on CPUs), and happen in place elsewhere.
    - On CPUs, X3D's widest features never exist for all frames at once.

    Each part knows how it is folded (`Foldable`); a network without such parts is copied.
    Classes, methods and the shapes of results stay those of the network. `state_dict` stays
    the network's too, under its names and with its values: what is saved or hashed does not show
    the folding. The copy is for inference only; it can neither be trained nor load weights.

    Raises:
        ValueError: the network is in training mode, where normalization follows the batch.
    """
    if network.training:
        raise ValueError("only a network in evaluation mode can be folded: call .eval() first")
    fast = copy.deepcopy(network).requires_grad_(False)
    for module in list(fast.modules()):
        if isinstance(module, Foldable):
            module.fold()
    fast.state_dict = network.state_dict
    return fast.eval()


def fold_pairs(module: nn.Module, *pairs: tuple[str, str]) -> None:
    """Make each normalization part of the convolution right before it.

    Args:
        pairs: attributes of the module: a convolution, and the normalization after it.
    """
    for conv, norm in pairs:
        setattr(module, conv, with_bias(getattr(module, conv), getattr(module, norm)))
        setattr(module, norm, nn.Identity())


class FoldedConvolution(nn.Module):
    """A convolution, the normalization after it, an addition and an activation, in one step.

    Shape:
        x: (B, C, T, H, W); add: what the convolution returns, (B, C', T', H', W').
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Module, norm: nn.Module | None, activation: Activation) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv3d)
        weight, bias = folded_weight(conv, norm)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last_3d))
        self.register_buffer("bias", bias)
        self.stride = list(conv.stride)
        self.padding = [int(size) for size in conv.padding]
        self.groups = conv.groups
        self.activation: Activation = activation

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        known = add is None or self.activation == "relu"  # after an addition oneDNN has no other
        if not (known and x.dtype == torch.float32 and runs_on_cpu(x) and has_onednn()):
            return self.in_steps(x, add)
        # The operators that torch.compile generates for CPUs; torch has no other name for them.
        fused = torch.ops.mkldnn._convolution_pointwise
        what = (self.weight, self.bias, self.padding, self.stride, [1, 1, 1], self.groups)
        if add is None:
            return fused(x, *what, self.activation, [], "")
        return fused.binary(x, add, *what, "add", 1.0, self.activation, [], "")

    def in_steps(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """The same with torch's own operators, for every device and type."""
        result = F.conv3d(
            x, self.weight, self.bias, tuple(self.stride), tuple(self.padding), groups=self.groups
        )
        if add is not None:
            result += add
        if self.activation == "relu":
            return result.relu_()
        return F.silu(result, inplace=True) if self.activation == "swish" else result


def has_onednn() -> bool:
    """Whether torch has oneDNN, and its convolutions with activations, on this machine."""
    return torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    )


@torch.no_grad()
def folded_weight(conv: nn.Conv3d, norm: nn.Module | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what both do in evaluation mode."""
    weight = conv.weight.detach()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach()
    if norm is None:
        return weight, bias
    assert isinstance(norm, SplitBatchNorm3d)
    # In double precision: the copy should differ only by the rounding of its use.
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() + (bias.double() - norm.running_mean.double()) * scale
    return (weight.double() * scale.view(-1, 1, 1, 1, 1)).to(weight), shift.to(bias)


def with_bias(conv: nn.Module, norm: nn.Module) -> nn.Conv3d:
    """A convolution that does what both do in evaluation mode."""
    assert isinstance(conv, nn.Conv3d)
    weight, bias = folded_weight(conv, norm)
    both = copy.deepcopy(conv)
    both.weight = nn.Parameter(weight, requires_grad=False)
    both.bias = nn.Parameter(bias, requires_grad=False)
    return both
