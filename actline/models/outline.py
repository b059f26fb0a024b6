"""The shapes and types of a network's tensors, found without allocating them."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actline.models.networks import NetworkConfig, SegmentNetworkConfig, build


class Outline(NamedTuple):
    """A tensor's shape and type, without its values."""

    shape: tuple[int, ...]
    dtype: torch.dtype


@cache
def outline(
    config: NetworkConfig | SegmentNetworkConfig, classes: int = 1
) -> Mapping[str, Outline]:
    """A network's tensors by name, without allocating them: a huge network costs nothing.

    Raises:
        ValueError: the sizes are impossible, as with heads that do not divide its channels.
    """
    try:
        with torch.device("meta"), _WithoutValues():
            network = build(config, classes)
    except RuntimeError as wrong:  # PyTorch's, for impossible sizes
        raise ValueError(f"no network has these sizes ({str(wrong).splitlines()[0]})") from wrong
    return outlines_of(network.state_dict())


def outlines_of(tensors: Mapping[str, Tensor]) -> dict[str, Outline]:
    """The shapes and types of these tensors, by name."""
    return {name: Outline(tuple(one.shape), one.dtype) for name, one in tensors.items()}


class _WithoutValues(TorchFunctionMode):
    """Draw no random weights: for tensors without values PyTorch would import a compiler."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


_DRAWS = (
    Tensor.normal_,
    Tensor.uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
)
