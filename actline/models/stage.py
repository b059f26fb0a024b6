"""The contract of a chain's stages: proposals in, proposals out."""

from typing import Protocol

from torch import nn

from actline.features.snippets import SnippetFeatures
from actline.timeline.proposals import Proposals

# Enough for every activity many times over, and what published proposal files hold at most.
MOST_PROPOSALS = 1000


class Stage(Protocol):
    """One stage of a segment chain, on the device that its network is on.

    A stage makes proposals, or refines those that it is given: moves their boundaries, scores
    them, gives them labels.
    """

    def __call__(
        self,
        features: SnippetFeatures,
        given: Proposals | None = None,
        *,
        most: int = MOST_PROPOSALS,
    ) -> Proposals:
        """Proposals for one video by descending score, not yet suppressed.

        Args:
            features: of the whole video.
            given: the proposals of the stage before, or of another method; None for a stage that
                makes its own.
            most: how many of the best are returned.

        Raises:
            FeatureError: the features are not those that the network was trained on.
        """
        ...


class SegmentNetwork(Protocol):
    """A network on snippet features, which can be a stage of a chain.

    In its configuration, `channels` is the width of the features that it takes, `proposes` says
    whether the stage makes its own proposals, `classifies` whether these have labels, and
    `interval` how many seconds snippets have to be apart, None for any.
    """

    def stage(self, classes: tuple[str, ...] = ()) -> Stage:
        """The network as a stage.

        Args:
            classes: those it was trained on, in the order of its labels, if it predicts any.
        """
        ...


def stage_of(network: nn.Module, classes: tuple[str, ...] = ()) -> Stage:
    """As `SegmentNetwork.stage`, for callers that have the network as a plain module."""
    stage = network.stage
    assert callable(stage), "networks on snippet features have one"
    return stage(classes)
