"""Starting a network from the weights of another, such as a trunk without its head."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from actline.errors import CheckpointError
from actline.models.checkpoint import read_checkpoint, state

# Parts of names of tensors that have a row for every class: heads, and the fusion of logits.
CLASS_PARTS = (".classify.", ".logits.")


def start_from(
    network: nn.Module,
    path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    least: float = 0.0,
    say: Callable[[str], None] | None = None,
) -> list[str]:
    """Take from a checkpoint the tensors that fit, such as a trunk without its head.

    An X3D's checkpoint starts both streams of a Coarse-Fine network.

    Args:
        classes: of the network's logits. Where the checkpoint's are others, tensors with a row per
            class are not taken, even if there are equally many; None compares no classes.
        least: the least share of the network's values that must be taken. Tensors with a row per
            class do not count where they are not to be taken.
        say: gets a line with the share.

    Returns:
        The names of the network's tensors that were not in the checkpoint and stay as they are.

    Raises:
        CheckpointError: the file cannot be read, or too little in it fits.
    """
    card, found = read_checkpoint(path)
    own = state(network)
    other_classes = classes is not None and tuple(classes) != card.classes
    wanted = [n for n in own if not (other_classes and any(part in n for part in CLASS_PARTS))]
    taken = {}
    for name in wanted:
        for candidate in (name, name.removeprefix("fine."), name.removeprefix("coarse.trunk.")):
            if candidate in found and found[candidate].shape == own[name].shape:
                taken[name] = found[candidate]
                break
    if not taken:
        raise CheckpointError(f"{path}: nothing in it fits this network; choose another init")
    share = sum(own[n].numel() for n in taken) / max(1, sum(own[n].numel() for n in wanted))
    given = f"{share:.0%} of the network's weights ({len(taken)} of {len(wanted)} tensors)"
    if share < least:
        raise CheckpointError(
            f"{path} gives {given}, less than init_share={least:g}; choose the checkpoint "
            f"of a similar network, or give init_share={math.floor(100 * share) / 100:g}"
        )
    if say is not None:
        left = "" if len(wanted) == len(own) else ", besides the new class-dependent ones"
        say(f"{path} gives {given}{left}")
    network.load_state_dict(taken, strict=False)
    return sorted(own.keys() - taken.keys())
