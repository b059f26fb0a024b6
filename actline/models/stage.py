"""What a network on snippet features is to a chain: proposals in, proposals out."""

from typing import Protocol

from torch import nn

from actline.features.snippets import SnippetFeatures
from actline.timeline.proposals import Proposals

# Enough for every activity many times over, and what published proposal files hold at most.
MOST_PROPOSALS = 1000


class Stage(Protocol):
    """One stage of a segment chain, on the device that its network is on.

    A stage makes proposals, or makes those that it is given better: moves their boundaries, scores
    them, gives them labels.
    """

    def __call__(
        self,
        features: SnippetFeatures,
        given: Proposals | None = None,
        *,
        most: int = MOST_PROPOSALS,
    ) -> Proposals:
        """Proposals for one video by falling score, not yet suppressed.

        Args:
            features: of the whole video.
            given: the proposals of the stage before, or of another method; None for a stage that
                makes its own.
            most: how many of the best are returned.

        Raises:
            FeatureError: the features are others than the network was trained on.
        """
        ...


class SegmentNetwork(Protocol):
    """A network on snippet features, which knows the stage that it is in a chain.

    Its configuration has the width of the features that it takes as `channels`. It says with
    `proposes` whether the stage makes its own proposals, with `classifies` whether these have
    labels, and with `interval` at how many seconds from one snippet to the next it works, None for
    any.
    """

    def stage(self, classes: tuple[str, ...] = ()) -> Stage:
        """The network as a stage.

        Args:
            classes: that it was trained on, in the order of its labels, if it gives any.
        """
        ...


def stage_of(network: nn.Module, classes: tuple[str, ...] = ()) -> Stage:
    """As `SegmentNetwork.stage`, for whoever holds a network by its general type."""
    stage = network.stage
    assert callable(stage), "networks on snippet features have one"
    return stage(classes)
