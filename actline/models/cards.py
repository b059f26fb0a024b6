"""Cards: what travels with a network's weights, so that a checkpoint needs nothing else."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from actline import __version__
from actline.errors import CheckpointError, RecipeError
from actline.features.fine import FeatureOrigin
from actline.features.public_files import PublicForm
from actline.features.snippets import SnippetOrigin
from actline.models.networks import NetworkConfig, SegmentNetworkConfig
from actline.stored.configuration import RangeError, from_mapping
from actline.stored.ranges import Count, Deviation, Factor, Frames, Pixels, Positive, Share, Whole
from actline.timeline.suppression import SuppressionConfig


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
    size: Pixels
    mean: tuple[Share, Share, Share]
    std: tuple[Deviation, Deviation, Deviation]
    rate: Positive | None = None
    stride: Frames | None = None
    window: Count = 128
    overlap: Whole = 32
    thresholds: tuple[Share, ...] | None = None
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
            raise ValueError("a card must name at least one class")
        if self.thresholds is not None and len(self.thresholds) != len(self.classes):
            raise ValueError(
                f"{len(self.thresholds)} thresholds do not fit {len(self.classes)} classes"
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
        classes: names, of the data set it was trained on, in the order of the network's labels if
            it predicts any; BMN and TCANet predict none.
        origin: what made the features; None stands for public ones, whose origin is not known.
        form: of public features.
        suppression: of its proposals.
        source, version, score, recipe: as in `ModelCard`.
    """

    network: SegmentNetworkConfig
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
        top: how many classes a proposal gets.
        detections: how many of a video's best are kept.
    """

    per: Literal["video", "segment"] = "video"
    top: Count = 3
    detections: Count = 200


# The stages of a chain by name, and whether each makes its own proposals.
PROPOSES = {"proposals": True, "refinement": False}


@dataclass(frozen=True)
class ChainCard:
    """What travels with a chain: from frames to features, proposals, and detections.

    Attributes:
        backbone: what makes features; None for a chain on public features.
        origin: what its features depend on; None with public ones.
        interval: seconds from one snippet to the next.
        proposals: the stage that makes them, such as BMN; None where they come from a file.
        refinement: the stage that refines them, such as TCANet; None leaves them as they are.
        labels: how detections get their classes.
        form: of public features.
    """

    backbone: ModelCard | None
    origin: SnippetOrigin | None
    interval: Factor
    proposals: SegmentCard | None
    refinement: SegmentCard | None
    labels: LabelConfig
    form: PublicForm = field(default_factory=PublicForm)
    version: str = __version__

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("a chain needs proposals, refinement or both")
        if self.backbone is not None and self.origin is None:
            raise ValueError("a chain with a backbone must say what its features depend on")
        for name, link in self.stages.items():
            if link.network.proposes != PROPOSES[name]:
                kind = type(link.network).__name__
                raise ValueError(f"a chain's {name} cannot be of {kind}")
        if len({link.network.channels for link in self.stages.values()}) > 1:
            raise ValueError("all links of a chain must take features of the same width")
        _check_names(self.classes)

    @property
    def stages(self) -> dict[str, SegmentCard]:
        """The chain's stages by name, in the order in which they run."""
        links = {"proposals": self.proposals, "refinement": self.refinement}
        return {name: link for name, link in links.items() if link is not None}

    @property
    def links(self) -> dict[str, ModelCard | SegmentCard]:
        """The backbone, if there is one, and the stages."""
        return {**({} if self.backbone is None else {"backbone": self.backbone}), **self.stages}

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of detections: those of a stage that classifies, or else the backbone's."""
        for link in self.stages.values():
            if link.network.classifies:
                return link.classes
        return () if self.backbone is None else self.backbone.classes


def _check_names(classes: Sequence[str]) -> None:
    """Refuse classes that cannot be told apart or shown."""
    if len(set(classes)) < len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise ValueError(f'class "{twice}" appears twice')
    for name in classes:
        if not name.strip() or any(unicodedata.category(one) in _UNFIT for one in name):
            raise ValueError(f'"{name}" is not the name of a class')


# Control characters, lone surrogates, and line endings.
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})

Card = ModelCard | SegmentCard | ChainCard
KINDS: dict[str, type[Card]] = {
    "model": ModelCard,
    "segments": SegmentCard,
    "chain": ChainCard,
}
HOLDS = {"model": "a network on frames", "segments": "BMN or TCANet", "chain": "a whole chain"}


def kind_of(card: Card) -> str:
    """What a file with this card is said to hold: a key of `KINDS`."""
    return next(kind for kind, cards in KINDS.items() if isinstance(card, cards))


def card_of(content: object, kind: str, *, where: str) -> Card:
    """The card in a file, given as JSON values.

    Raises:
        CheckpointError: it was written by another version of actline, or holds what a card cannot.
    """
    if kind not in KINDS:
        raise CheckpointError(
            f'{where} was written by another version of actline ("{kind}"); use that version'
        )
    try:
        return from_mapping(KINDS[kind], content, where=where)
    except RangeError as error:
        raise CheckpointError(f"{error}; copy or train it again") from error
    except RecipeError as error:
        raise CheckpointError(
            f"{where} was written by another version of actline ({error}), or is damaged; use that "
            "version, or copy it again"
        ) from error
