"""Renaming tensors by patterns, and reporting what a checkpoint lacks."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from actline.errors import CheckpointError
from actline.models.networks import NetworkConfig, SegmentNetworkConfig, build
from actline.models.outline import Outline, outline, outlines_of

Rules = Sequence[tuple[str, str]]
"""Pairs of a regular expression for a whole published name and its replacement."""


def rename(tensors: Mapping[str, Tensor], rules: Rules, *, source: str) -> dict[str, Tensor]:
    """Our name for every published tensor, by the first rule that matches; "" drops it.

    Raises:
        CheckpointError: a tensor matches no rule, so the file is of another model.
    """
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for pattern, replacement in compiled:
            match = pattern.fullmatch(name)
            if match:
                if replacement:
                    renamed[match.expand(replacement)] = tensor
                break
        else:
            raise CheckpointError(
                f'tensor "{name}" is not one of {source}; choose another source (--from)'
            )
    return renamed


def load(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Load renamed tensors into `network`, reshaping 1 x 1 kernels to ours.

    Raises:
        CheckpointError: a tensor is missing, left over, of another size, or not finite.
    """
    network.load_state_dict(_fitted(outlines_of(network.state_dict()), tensors, source))


def load_network(
    config: NetworkConfig | SegmentNetworkConfig,
    tensors: Mapping[str, Tensor],
    *,
    classes: int = 1,
    source: str,
) -> nn.Module:
    """The network of `config` with renamed tensors; it is built only if they fit.

    Raises:
        CheckpointError: as `load`, or there is no such network.
    """
    try:
        own = outline(config, classes)
    except ValueError as wrong:
        raise CheckpointError(
            f"the file's tensors do not fit any network of {source} ({wrong}); copy it again"
        ) from wrong
    fitting = _fitted(own, tensors, source)
    network = build(config, classes)
    network.load_state_dict(fitting)
    return network


def _fitted(
    own: Mapping[str, Outline], tensors: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    missing = sorted(own.keys() - tensors.keys())
    left_over = sorted(tensors.keys() - own.keys())
    if missing or left_over:
        named = ", ".join((missing or left_over)[:3])
        what = "lacks" if missing else "has unexpected"
        raise CheckpointError(
            f"the file {what} {len(missing or left_over)} tensors of {source} ({named}, …); "
            "it is incomplete or of another model"
        )
    # All sizes before any value.
    for name, tensor in tensors.items():
        wanted = own[name].shape
        if [n for n in tensor.shape if n != 1] != [n for n in wanted if n != 1]:
            raise CheckpointError(
                f"tensor {name} is {tuple(tensor.shape)}, not {tuple(wanted)} as in {source}"
            )
    fitted = {}
    for name, tensor in tensors.items():
        fitted[name] = tensor.reshape(own[name].shape).to(own[name].dtype)
        if not bool(torch.isfinite(fitted[name]).all()):
            raise CheckpointError(
                f"tensor {name} of {source} holds values that are not finite; "
                "take the checkpoint of an earlier epoch"
            )
    return fitted


def shape_of(
    tensors: Mapping[str, Tensor], name: str, *, source: str, axes: int = 1
) -> tuple[int, ...]:
    """The shape, of at least `axes` axes, of a tensor that shows the network's size.

    Raises:
        CheckpointError: it is missing, has fewer axes, or is empty.
    """
    if name not in tensors:
        raise CheckpointError(
            f'tensor "{name}" of {source} is missing; is the source (--from) right?'
        )
    shape = tuple(tensors[name].shape)
    if len(shape) < axes or 0 in shape:
        raise CheckpointError(
            f"tensor {name} is {shape}, which does not fit {source}; copy the file again"
        )
    return shape


def count_blocks(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers the group of `pattern` matches."""
    return len({match[1] for name in tensors if (match := re.match(pattern, name))})
