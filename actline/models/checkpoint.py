"""Checkpoints: weights, and everything that is needed to use them, in one safetensors file."""

import hashlib
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from torch import Tensor, nn

from actline import __version__
from actline.errors import CheckpointError, RecipeError
from actline.features.fine import FeatureOrigin
from actline.features.public_files import PublicForm
from actline.features.snippets import SnippetOrigin
from actline.models.bmn import BMN
from actline.models.config import BMNConfig, NetworkConfig, Outline, TCANetConfig, outline
from actline.models.published.unwrap import tensors_in
from actline.models.tcanet import TCANet
from actline.stored.configuration import from_mapping, to_mapping
from actline.stored.safetensors_files import TensorFile, bytes_of, open_tensors, save_tensors
from actline.stored.torch_files import load_torch
from actline.timeline.suppression import SuppressionConfig

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class ModelCard:
    """What travels with the weights.

    Attributes:
        network: the architecture.
        classes: names, in the order of the logits.
        rate: sampled frames per second, or None.
        stride: source frames from one sampled frame to the next, or None.
        size: pixels a side of the network's input.
        mean, std: of RGB in [0, 1].
        window: frames seen at once on long videos.
        overlap: frames that consecutive windows share.
        thresholds: per class, above which a frame counts as inside an activity, chosen on
            validation data; None where that was not done.
        source: where the weights come from.
        version: of the package that wrote the file.
        score: what the weights reached, and under which protocol.
        recipe: the resolved recipe of the training run; None for converted checkpoints.
    """

    network: NetworkConfig
    classes: tuple[str, ...]
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rate: float | None = None
    stride: int | None = None
    window: int = 128
    overlap: int = 32
    thresholds: tuple[float, ...] | None = None
    source: str = "actline train"
    version: str = __version__
    score: str | None = None
    recipe: str | None = None

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.stride is None):
            raise ValueError("a card has either rate or stride")
        if self.overlap > self.window // 2:
            raise ValueError(
                f"overlap must lie between 0 and half the window, {self.window // 2}, not "
                f"{self.overlap}"
            )
        if not self.classes:
            raise ValueError("a card names at least one class")
        if self.thresholds is not None and len(self.thresholds) != len(self.classes):
            raise ValueError(
                f"{len(self.thresholds)} thresholds are not for {len(self.classes)} classes"
            )
        _check_names(self.classes)

    def feature_origin(self, checkpoint_hash: str) -> FeatureOrigin:
        """What features made with this checkpoint depend on."""
        return FeatureOrigin(checkpoint_hash, self.rate, self.stride, self.size)


@dataclass(frozen=True)
class SegmentCard:
    """What travels with the weights of a network that works on snippet features.

    Attributes:
        network: the architecture.
        classes: names, of the data set it was trained on; the network itself knows none.
        origin: what made the features; None takes public ones, whose making is not known.
        form: of public features.
        suppression: of its proposals.
        source, version, score, recipe: as in `ModelCard`.
    """

    network: BMNConfig | TCANetConfig
    classes: tuple[str, ...]
    origin: SnippetOrigin | None
    suppression: SuppressionConfig
    form: PublicForm = field(default_factory=PublicForm)
    source: str = "actline train"
    version: str = __version__
    score: str | None = None
    recipe: str | None = None

    def __post_init__(self) -> None:
        _check_names(self.classes)


@dataclass(frozen=True)
class LabelConfig:
    """How proposals get their classes.

    Attributes:
        per: "video" gives each of a video's proposals the video's likeliest classes, as published
            for ActivityNet and HACS; "segment" each its own, for videos of several classes.
        top: how many classes.
        detections: how many of the best a video keeps.
    """

    per: Literal["video", "segment"] = "video"
    top: int = 3
    detections: int = 200


@dataclass(frozen=True)
class ChainCard:
    """What travels with a chain: from frames to features, proposals, and detections.

    Attributes:
        backbone: what makes features; None for a chain on public features.
        origin: what its features depend on; None with public ones.
        interval: seconds from one snippet to the next.
        proposals: BMN; None where proposals come from a file.
        refinement: TCANet; None leaves proposals as they are.
        labels: how detections get their classes.
        form: of public features.
    """

    backbone: ModelCard | None
    origin: SnippetOrigin | None
    interval: float
    proposals: SegmentCard | None
    refinement: SegmentCard | None
    labels: LabelConfig
    form: PublicForm = field(default_factory=PublicForm)
    version: str = __version__

    def __post_init__(self) -> None:
        links = [one for one in (self.proposals, self.refinement) if one is not None]
        if not links:
            raise ValueError("a chain has proposals, refinement or both")
        if self.backbone is not None and self.origin is None:
            raise ValueError("a chain with a backbone says what its features depend on")
        for name, link, kind in (
            ("proposals", self.proposals, BMNConfig),
            ("refinement", self.refinement, TCANetConfig),
        ):
            if link is not None and not isinstance(link.network, kind):
                raise ValueError(f"a chain's {name} is not a {kind.__name__}")
        if len({link.network.channels for link in links}) > 1:
            raise ValueError("a chain's links take features of one width")
        _check_names(self.classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that detections can have from the backbone, in the order of its logits."""
        return () if self.backbone is None else self.backbone.classes


def _check_names(classes: Sequence[str]) -> None:
    """Refuse classes that cannot be told apart or shown."""
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f'class "{twice}" appears twice')
    for name in classes:
        if not name.strip() or any(unicodedata.category(one) in _UNFIT for one in name):
            raise ValueError(f'"{name}" is not the name of a class')


# Control characters, halves of characters, and ends of line.
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
# In the names of tensors that have a row for every class: heads, and the fusion of logits.
CLASS_PARTS = (".classify.", ".logits.")
Card = ModelCard | SegmentCard
KINDS: dict[str, type[ModelCard | SegmentCard | ChainCard]] = {
    "model": ModelCard,
    "segments": SegmentCard,
    "chain": ChainCard,
}
HOLDS = {"model": "a network on frames", "segments": "BMN or TCANet", "chain": "a whole chain"}


def save_checkpoint(path: Path, network: nn.Module, card: Card | ChainCard) -> None:
    """Write weights and card to one file, whole or not at all.

    What could not be read back is not written: the card is checked as by a reader.

    Raises:
        CheckpointError: the card holds what no card can, or is another network's.
        OutputError: the file cannot be written.
    """
    from actline.training.ranges import check_ranges  # which knows all that is defined here

    try:
        check_ranges(card, where=str(path))
    except RecipeError as wrong:
        raise CheckpointError(f"{wrong}; nothing is written") from wrong
    try:
        wanted = _outlines(card)
    except ValueError as wrong:
        raise CheckpointError(f"{path}: {wrong}; nothing is written") from wrong
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state(network).items()}
    if wanted != {name: Outline(tuple(t.shape), t.dtype) for name, t in tensors.items()}:
        raise CheckpointError(
            f"{path}: the weights do not fit the network of their card; nothing is written"
        )
    kind = next(name for name, cards in KINDS.items() if isinstance(card, cards))
    save_tensors(path, tensors, {"actline": to_mapping(card), "kind": kind})


def load_checkpoint(path: str | Path) -> tuple[nn.Module, ModelCard]:
    """Read a checkpoint of a network on frames, in evaluation mode on the CPU, and its card.

    Raises:
        CheckpointError: no such file, a damaged one, not one of ours, or of another kind.
    """
    card, tensors = read_checkpoint(path)
    if not isinstance(card, ModelCard):
        raise CheckpointError(_other_kind(Path(path), card, "model"))
    return fitted(card.network.build(len(card.classes)), tensors, path), card


def load_segment_checkpoint(path: str | Path) -> tuple[BMN | TCANet, SegmentCard]:
    """Read a checkpoint of BMN or TCANet, in evaluation mode on the CPU, and its card.

    Raises:
        CheckpointError: as `load_checkpoint`.
    """
    card, tensors = read_checkpoint(path)
    if not isinstance(card, SegmentCard):
        raise CheckpointError(_other_kind(Path(path), card, "segments"))
    return fitted(card.network.build(), tensors, path), card


def fitted(network: Network, tensors: Mapping[str, Tensor], path: str | Path) -> Network:
    """The network with these weights, in evaluation mode.

    Raises:
        CheckpointError: they are not its weights.
    """
    own = {name: Outline(tuple(t.shape), t.dtype) for name, t in state(network).items()}
    if own != {name: Outline(tuple(t.shape), t.dtype) for name, t in tensors.items()}:
        raise CheckpointError(_unfit(path))
    network.load_state_dict(tensors)
    return network.eval()


def read_card(path: str | Path) -> ModelCard | SegmentCard | ChainCard:
    """Read a checkpoint's card alone; its type says what the checkpoint holds.

    Raises:
        CheckpointError: as `load_checkpoint`.
    """
    with _opened(path) as stored:
        return _card(stored, path)


def read_checkpoint(
    path: str | Path,
) -> tuple[ModelCard | SegmentCard | ChainCard, dict[str, Tensor]]:
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


def _outlines(card: ModelCard | SegmentCard | ChainCard) -> Mapping[str, Outline]:
    """The tensors that a checkpoint has with this card, by name."""
    if isinstance(card, ModelCard):
        return outline(card.network, len(card.classes))
    if isinstance(card, SegmentCard):
        return outline(card.network)
    links = {
        "backbone": card.backbone,
        "proposals": card.proposals,
        "refinement": card.refinement,
    }
    return {
        f"{link}.{name}": one
        for link, part in links.items()
        if part is not None
        for name, one in _outlines(part).items()
    }


def _opened(path: str | Path) -> AbstractContextManager[TensorFile]:
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}; check the path")
    return open_tensors(path, error=CheckpointError, otherwise=_damaged(path))


def _card(stored: TensorFile, path: str | Path) -> ModelCard | SegmentCard | ChainCard:
    content = stored.json("actline")
    if content is None:
        raise CheckpointError(
            f"{path} was not written by actline; bring it over with `actline convert`"
        )
    return card_of(content, stored.metadata.get("kind", "model"), where=str(path))


def card_of(content: object, kind: str, *, where: str) -> ModelCard | SegmentCard | ChainCard:
    """The card that a file holds as JSON's values.

    Raises:
        CheckpointError: it is of another version of actline, or holds what no card can.
    """
    from actline.training.ranges import check_ranges  # which knows all that is defined here

    if kind not in KINDS:
        raise CheckpointError(
            f'{where} was written by another version of actline ("{kind}"); use that version'
        )
    try:
        card = from_mapping(KINDS[kind], content, where=where)
    except RecipeError as error:
        raise CheckpointError(
            f"{where} was written by another version of actline ({error}), or is damaged; use that "
            "version, or copy it again"
        ) from error
    try:
        check_ranges(card, where=where)
    except RecipeError as error:
        raise CheckpointError(f"{error}; copy or train it again") from error
    return card


def read_published(path: str | Path) -> Mapping[str, Tensor]:
    """Read the tensors of a PyTorch checkpoint file without running anything in it.

    The tensors may lie at the top, or under "state_dict", "model", "ema" and the like
    (`tensors_in`); foreign safetensors are read as well.

    Raises:
        CheckpointError: no such file, a damaged one, or one that holds more than tensors.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}; check the path")
    if path.suffix == ".safetensors":
        with _opened(path) as stored:
            return stored.whole(known=stored.metadata)
    content = load_torch(
        path,
        error=CheckpointError,
        unsafe=f"{path} holds Python objects besides tensors, which may run code, and is not "
        "loaded; save its state_dict alone",
        damaged=_damaged(path),
    )
    return tensors_in(content, where=str(path))


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over names and values of all weights, the same wherever they are loaded."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state(network).items()):
        digest.update(name.encode())
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


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
        classes: of the network's logits. Where the checkpoint's are others, what tells them apart
            is not taken, even if there are as many; None asks for no classes.
        least: the least share of the network's values that must be taken. What tells classes
            apart does not count where it is not to be taken.
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
    told = f"{share:.0%} of the network's weights ({len(taken)} of {len(wanted)} tensors)"
    if share < least:
        raise CheckpointError(
            f"{path} gives {told}, less than init_share={least:g}; choose the checkpoint of such a "
            f"network, or give init_share={math.floor(100 * share) / 100:g}"
        )
    if say is not None:
        left = "" if len(wanted) == len(own) else ", besides what tells classes apart, which is new"
        say(f"{path} gives {told}{left}")
    network.load_state_dict(taken, strict=False)
    return sorted(own.keys() - taken.keys())


def state(network: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name."""
    return dict(network.state_dict())


def _other_kind(path: Path, card: ModelCard | SegmentCard | ChainCard, wanted: str) -> str:
    found = next(HOLDS[name] for name, cards in KINDS.items() if isinstance(card, cards))
    return f"{path} holds {found}, not {HOLDS[wanted]}; give another checkpoint"


def _unfit(path: str | Path) -> str:
    return f"{path}: the weights do not fit the network they name; train again"


def _damaged(path: Path) -> str:
    return f"{path} is not a whole checkpoint file; copy or train it again"
