"""Checkpoints: weights, and everything that is needed to use them, in one safetensors file."""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from actline.errors import CheckpointError
from actline.models.backbone import Backbone
from actline.models.cards import (
    HOLDS,
    Card,
    ChainCard,
    ModelCard,
    SegmentCard,
    card_of,
    kind_of,
)
from actline.models.outline import Outline, outline, outlines_of
from actline.stored.configuration import RangeError, check_ranges, to_mapping
from actline.stored.safetensors_files import TensorFile, bytes_of, open_tensors, save_tensors

Network = TypeVar("Network", bound=nn.Module)


def save_checkpoint(path: Path, network: nn.Module, card: Card) -> None:
    """Write weights and card to one file, whole or not at all.

    The card is checked as if it were read: what could not be read back is not written.

    Raises:
        CheckpointError: the card holds what a card cannot, or is another network's.
        OutputError: the file cannot be written.
    """
    try:
        check_ranges(card, where=str(path))
    except RangeError as wrong:
        raise CheckpointError(f"{wrong}; nothing is written") from wrong
    try:
        wanted = _outlines(card)
    except ValueError as wrong:
        raise CheckpointError(f"{path}: {wrong}; nothing is written") from wrong
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state(network).items()}
    if wanted != outlines_of(tensors):
        raise CheckpointError(
            f"{path}: the weights do not fit the network of their card; nothing is written"
        )
    save_tensors(path, tensors, {"actline": to_mapping(card), "kind": kind_of(card)})


def load_checkpoint(path: str | Path) -> tuple[Backbone, ModelCard]:
    """Read a checkpoint of a network on frames, in evaluation mode on the CPU, and its card.

    Raises:
        CheckpointError: no such file, a damaged one, not one of ours, or of another kind.
    """
    card, tensors = read_checkpoint(path)
    if not isinstance(card, ModelCard):
        raise CheckpointError(_other_kind(Path(path), card, "model"))
    return fitted(card.network.build(len(card.classes)), tensors, path), card


def load_segment_checkpoint(path: str | Path) -> tuple[nn.Module, SegmentCard]:
    """Read a checkpoint of a network on snippet features, as `load_checkpoint` does.

    Raises:
        CheckpointError: as `load_checkpoint`.
    """
    card, tensors = read_checkpoint(path)
    if not isinstance(card, SegmentCard):
        raise CheckpointError(_other_kind(Path(path), card, "segments"))
    return fitted(card.network.build(len(card.classes)), tensors, path), card


def fitted(network: Network, tensors: Mapping[str, Tensor], path: str | Path) -> Network:
    """The network with these weights, in evaluation mode.

    Raises:
        CheckpointError: they are not its weights.
    """
    if outlines_of(state(network)) != outlines_of(tensors):
        raise CheckpointError(_unfit(path))
    network.load_state_dict(tensors)
    return network.eval()


def read_card(path: str | Path) -> Card:
    """Read a checkpoint's card alone; its type says what the checkpoint holds.

    Raises:
        CheckpointError: as `load_checkpoint`.
    """
    with _opened(path) as stored:
        return _card(stored, path)


def read_checkpoint(path: str | Path) -> tuple[Card, dict[str, Tensor]]:
    """A checkpoint's card and weights, verified by the file's checksum, where it has one.

    The card's network is compared with the shapes in the file before either is made.

    Raises:
        CheckpointError: as `load_checkpoint`, or the weights are not those of the card's network.
    """
    with _opened(path) as stored:
        card = _card(stored, path)
        try:
            wanted = _outlines(card)
        except ValueError as wrong:
            raise CheckpointError(f"{path}: {wrong}; copy or train it again") from wrong
        if {name: one.shape for name, one in wanted.items()} != {
            name: stored.shape(name) for name in stored.names
        }:
            raise CheckpointError(_unfit(path))
        return card, stored.whole(known=("actline", "kind"))


def _outlines(card: Card) -> Mapping[str, Outline]:
    """The tensors that a checkpoint has with this card, by name."""
    if not isinstance(card, ChainCard):
        return outline(card.network, len(card.classes))
    return {
        f"{link}.{name}": one
        for link, part in card.links.items()
        for name, one in _outlines(part).items()
    }


def _opened(path: str | Path) -> AbstractContextManager[TensorFile]:
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}; check the path")
    return open_tensors(path, error=CheckpointError, otherwise=damaged(path))


def _card(stored: TensorFile, path: str | Path) -> Card:
    content = stored.json("actline")
    if content is None:
        raise CheckpointError(
            f"{path} was not written by actline; convert it with `actline convert`"
        )
    return card_of(content, stored.metadata.get("kind", "model"), where=str(path))


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over names and values of all weights, the same wherever they are loaded."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state(network).items()):
        digest.update(name.encode())
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


def state(network: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name."""
    return dict(network.state_dict())


def _other_kind(path: Path, card: Card, wanted: str) -> str:
    return f"{path} holds {HOLDS[kind_of(card)]}, not {HOLDS[wanted]}; give another checkpoint"


def _unfit(path: str | Path) -> str:
    return f"{path}: the weights do not fit the network they name; train again"


def damaged(path: Path) -> str:
    """The message for a file that is not a whole checkpoint."""
    return f"{path} is not a whole checkpoint file; copy or train it again"
