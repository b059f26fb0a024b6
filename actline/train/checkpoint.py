"""Checkpoints: weights, and everything that is needed to use them, in one safetensors file."""

import hashlib
import json
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from actline import __version__
from actline.data.feature_files import PublicForm
from actline.data.features import FeatureOrigin
from actline.data.snippets import SnippetOrigin
from actline.errors import CheckpointError, RecipeError
from actline.files import written_whole
from actline.models.bmn import BMN
from actline.models.config import BMNConfig, NetworkConfig, TCANetConfig
from actline.models.published.unwrap import tensors_in
from actline.models.suppression import SuppressionConfig
from actline.models.tcanet import TCANet
from actline.train.yaml_form import from_mapping, to_mapping

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

    @property
    def classes(self) -> tuple[str, ...]:
        """Names that detections can have from the backbone, in the order of its logits."""
        return () if self.backbone is None else self.backbone.classes


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
    """Write weights and card to one file, whole or not at all."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state(network).items()}
    kind = next(name for name, cards in KINDS.items() if isinstance(card, cards))
    with written_whole(path) as aside:
        save_file(tensors, aside, {"actline": json.dumps(to_mapping(card)), "kind": kind})


def load_checkpoint(path: str | Path) -> tuple[nn.Module, ModelCard]:
    """Read a checkpoint of a network on frames, in evaluation mode on the CPU, and its card.

    Raises:
        CheckpointError: no such file, a damaged one, not one of ours, or of another kind.
    """
    card = read_card(path)
    if not isinstance(card, ModelCard):
        raise CheckpointError(_other_kind(Path(path), card, "model"))
    return fitted(card.network.build(len(card.classes)), read_tensors(Path(path)), path), card


def load_segment_checkpoint(path: str | Path) -> tuple[BMN | TCANet, SegmentCard]:
    """Read a checkpoint of BMN or TCANet, in evaluation mode on the CPU, and its card.

    Raises:
        CheckpointError: as `load_checkpoint`.
    """
    card = read_card(path)
    if not isinstance(card, SegmentCard):
        raise CheckpointError(_other_kind(Path(path), card, "segments"))
    return fitted(card.network.build(), read_tensors(Path(path)), path), card


def fitted(network: Network, tensors: Mapping[str, Tensor], path: str | Path) -> Network:
    """The network with these weights, in evaluation mode.

    Raises:
        CheckpointError: they are not its weights.
    """
    own = state(network)
    if own.keys() != tensors.keys() or any(own[n].shape != tensors[n].shape for n in own):
        raise CheckpointError(f"{path}: the weights do not fit the network they name; train again")
    network.load_state_dict(tensors)
    return network.eval()


def read_card(path: str | Path) -> ModelCard | SegmentCard | ChainCard:
    """Read a checkpoint's card alone; its type says what the checkpoint holds.

    Raises:
        CheckpointError: as `load_checkpoint`.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}; check the path") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(_damaged(path)) from error
    if "actline" not in metadata:
        raise CheckpointError(
            f"{path} was not written by actline; bring it over with `actline convert`"
        )
    try:
        kind = KINDS[metadata.get("kind", "model")]
        return from_mapping(kind, json.loads(metadata["actline"]), where=str(path))
    except (KeyError, ValueError, RecipeError) as error:
        raise CheckpointError(
            f"{path} was written by another version of actline ({error}); use that version"
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file's tensors.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(_damaged(path)) from error


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
        return read_tensors(path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What is no pickle at all fails at its first byte.
        if any(told in str(error) for told in ("invalid load key", "Unsupported operand")):
            raise CheckpointError(_damaged(path)) from error
        raise CheckpointError(
            f"{path} holds Python objects besides tensors, which may run code, and is not loaded; "
            "save its state_dict alone"
        ) from error
    except Exception as error:  # whatever damage makes PyTorch's reader stumble over
        raise CheckpointError(_damaged(path)) from error
    return tensors_in(content, where=str(path))


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over names and values of all weights, the same wherever they are loaded."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state(network).items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
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
    card = read_card(path)
    found = read_tensors(Path(path))
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


def _damaged(path: Path) -> str:
    return f"{path} is not a whole checkpoint file; copy or train it again"
