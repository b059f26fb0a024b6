"""BMN: confidences for every pair of a start and an end (Lin et al., ICCV 2019).

The paper's confidence map has axes duration and start, the published PyTorch code's start and end.
We follow the code, whose checkpoints then load.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from actline.models.bmn_stage import BMNStage
from actline.models.boundary_matching import BoundaryMatching
from actline.stored.ranges import Channels, Factor, FeatureChannels, Range, Samples

# Entries of the table of samples: with the published 32 samples of 3 bins, those of 400 snippets.
_MOST_PLACES = 1 << 24
GROUPS = 4  # of the convolutions in the base and in the temporal evaluation


class BMNOutput(NamedTuple):
    """BMN's output for a video rescaled to T snippets; all values are probabilities.

    Shape:
        start, end: (B, T), that an activity starts or ends around this snippet.
        confidence: (B, 2, T, T), the overlap with an activity as found by regression, then by
            classification. Axes: first snippet, last snippet (inclusive); 0 where last < first.
    """

    start: Tensor
    end: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class BMNConfig:
    """A BMN; the defaults are those published for ActivityNet-1.3 with TSN features.

    Attributes:
        channels: of the snippet features.
        temporal_scale: T, how many snippets it sees at once.
        width: channels of the base.
        pair_width: channels of a pair's features, over all its samples.
        map_width: channels of the confidence map's convolutions.
        samples: N, positions at which a pair is sampled, from before its start to after its end.
        bins: points averaged per sample.
        boundary_ratio: context on either side, as a fraction of the pair's length.
        sliding: whether it is slid over videos at the features' own rate, T snippets at a time,
            rather than shown whole videos, rescaled. The layers are the same.

    Raises:
        ValueError: its table of samples would be too large.
    """

    channels: FeatureChannels = 400
    temporal_scale: Annotated[int, Range(2, 1000)] = 100
    width: Channels = 256
    pair_width: Channels = 512
    map_width: Channels = 128
    samples: Samples = 32
    bins: Annotated[int, Range(1, 1000)] = 3
    boundary_ratio: Factor = 0.5
    sliding: bool = False

    proposes: ClassVar[bool] = True
    classifies: ClassVar[bool] = False
    interval: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        # An entry for every pair of snippets and each of its samples.
        places = self.temporal_scale**2 * self.samples * self.bins
        if places > _MOST_PLACES:
            raise ValueError(
                f"temporal_scale {self.temporal_scale} with {self.samples} samples of "
                f"{self.bins} bins takes a table of more than {_MOST_PLACES} "
                f"places; give a smaller temporal_scale"
            )

    def build(self, classes: int = 0) -> "BMN":
        """A new network with random weights."""
        return BMN(self)


class BMN(nn.Module):
    """Boundary-Matching Network (Section 3.4, Table 1).

    Args:
        config: its sizes.

    Shape:
        features: (B, C, T).

    Raises:
        ValueError: the features are not T long.
    """

    def __init__(self, config: BMNConfig) -> None:
        super().__init__()
        self.config = config
        width, T = config.width, config.temporal_scale
        self.base = nn.Sequential(
            nn.Conv1d(config.channels, width, 3, padding=1, groups=GROUPS),
            nn.ReLU(inplace=True),
            nn.Conv1d(width, width, 3, padding=1, groups=GROUPS),
            nn.ReLU(inplace=True),
        )
        self.start = boundary_head(width)
        self.end = boundary_head(width)
        self.prepare = nn.Conv1d(width, width, 3, padding=1)
        self.matching = BoundaryMatching(
            width,
            config.pair_width,
            temporal_scale=T,
            samples=config.samples,
            bins=config.bins,
            boundary_ratio=config.boundary_ratio,
        )
        self.narrow = nn.Linear(config.pair_width, config.map_width)
        self.confidence = nn.Sequential(
            nn.Conv2d(config.map_width, config.map_width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(config.map_width, config.map_width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(config.map_width, 2, 1),
        )
        self.possible: Tensor
        possible = torch.ones(T, T, dtype=torch.bool).triu()
        self.register_buffer("possible", possible, persistent=False)

    def stage(self, classes: tuple[str, ...] = ()) -> BMNStage:
        """The network as a proposing stage of a chain; it has no classes."""
        return BMNStage(self)

    def forward(self, features: Tensor) -> BMNOutput:
        if features.shape[-1] != self.config.temporal_scale:
            raise ValueError(
                f"features of {features.shape[-1]} snippets, but this BMN takes "
                f"{self.config.temporal_scale}; rescale them first"
            )
        base = self.base(features)
        return BMNOutput(
            start=self.start(base).squeeze(1).sigmoid(),
            end=self.end(base).squeeze(1).sigmoid(),
            confidence=self.evaluate_pairs(base) * self.possible,
        )

    def evaluate_pairs(self, base: Tensor) -> Tensor:
        """Confidences (B, 2, T, T) from the base's (B, W, T); meaningless where last < first."""
        T = self.config.temporal_scale
        prepared = self.prepare(base).relu()
        pairs = self.narrow(self.matching(prepared).relu()).relu()  # (P, B, M)
        # Impossible pairs sample only zeros, so they all have the value that the biases give: their
        # part of the map is filled in, not computed.
        rest = self.narrow(self.matching.bias.relu()).relu()
        filled = rest.expand(T * T, pairs.shape[1], -1)
        cells = filled.index_copy(0, self.matching.cells, pairs.to(rest.dtype))
        return self.confidence(cells.permute(1, 2, 0).unflatten(2, (T, T))).sigmoid()


def boundary_head(width: int) -> nn.Sequential:
    """Start or end logits, (B, W, T) to (B, 1, T): the temporal evaluation module."""
    return nn.Sequential(
        nn.Conv1d(width, width, 3, padding=1, groups=GROUPS),
        nn.ReLU(inplace=True),
        nn.Conv1d(width, 1, 1),
    )
