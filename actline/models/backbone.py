"""What every network on frames offers: the rest of the package need not know which it is."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from torch import Tensor, nn


class BackboneConfig(Protocol):
    """A frozen dataclass of a network's hyper-parameters, which a recipe and a card hold."""

    @property
    def per_frame(self) -> bool:
        """Whether the network gives logits for every frame, rather than one set for the clip."""
        ...

    @property
    def splits(self) -> int:
        """Parts of the batch that are normalized separately in training."""
        ...

    def build(self, classes: int) -> "Backbone":
        """A new network with random weights and as many logits as `classes`."""
        ...


@dataclass(frozen=True, eq=False)
class Prediction:
    """A network's output for clips.

    Shape:
        logits: (B, K, T) per frame, or (B, K) per clip.
        positions: (B, P) in [0, 1], where a network that chooses frames sampled the clip; None
            where it looks at all of them.
        fine_logits: (B, K, T), the Fine stream's own in joint training of Coarse-Fine; or None.
    """

    logits: Tensor
    positions: Tensor | None = None
    fine_logits: Tensor | None = None


class FrameOutput(NamedTuple):
    """Features (B, C, T), averaged over space, and logits (B, K, T) of every frame."""

    features: Tensor
    logits: Tensor


class Backbone(nn.Module):
    """A network on frames: `forward` takes a clip and gives its logits.

    A class rather than a protocol, since a backbone is an `nn.Module` too, and since all but
    `forward` may be left as it is here: such a network trains, detects, and is saved and loaded.
    A part of a network that has a method `fold` is folded for inference (`models.folding`).

    Attributes:
        classes: how many logits.
        depths: names of the depths that `features` gives, shallow to deep; () gives none.
        feature_channels: channels at each of them.
        frame_channels: channels of the features of `frame_output`; None where it gives none.
        export_frames: frames of the clip that an exporter traces it with; None where it cannot be
            exported. A network that can returns its logits as a bare tensor, for any number of
            frames.
        unused_parameters: whether some parameters may get no gradient in a training step.

    Shape:
        clip: (B, 3, T, H, W), normalized; `forward` returns logits (B, K, T) or (B, K), as the
            configuration's `per_frame` says, alone or as a `Prediction`.
    """

    classes: int
    depths: ClassVar[tuple[str, ...]] = ()
    feature_channels: tuple[int, ...] = ()
    frame_channels: int | None = None
    export_frames: int | None = None
    unused_parameters: ClassVar[bool] = False

    def features(self, clip: Tensor) -> tuple[Tensor, ...]:
        """Features at every depth, each (B, C, T, H', W'): one for each of `depths`."""
        raise NotImplementedError(f"{type(self).__name__} gives no features by depth")

    def frame_output(self, clip: Tensor) -> FrameOutput:
        """Features and logits of every frame, whatever `forward` gives, to make snippets of.

        Only for networks that set `frame_channels`.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no features of frames")

    @property
    def lacks(self) -> str | None:
        """Why the network cannot detect on frames alone, and how to mend that; or None."""
        return None


def prediction(output: Tensor | Prediction) -> Prediction:
    """A backbone's output as a `Prediction`, whatever its `forward` returned."""
    return output if isinstance(output, Prediction) else Prediction(output)
