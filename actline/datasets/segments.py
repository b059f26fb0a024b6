"""Snippet features with activities' segments: what BMN and TCANet are trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from actline.annotations.annotations import (
    AnnotatedVideo,
    Annotations,
    labels_of,
    segments_of,
)
from actline.datasets.batches import pad_in_time
from actline.errors import AnnotationError
from actline.features.folder import FeatureFolder
from actline.features.snippets import SnippetFeatures, rescaled, sliding_windows
from actline.progress import progress
from actline.timeline.intervals import best_matches, clip
from actline.timeline.proposals import Proposals


@dataclass(frozen=True, eq=False)
class RescaledSample:
    """A video's features at a fixed length, and its activities.

    Shape:
        features: (C, T); segments: (M, 2), fractions of the T snippets; labels: (M,), the places of
        their classes in the annotations' classes, for a network that classifies.
    """

    video: str
    features: Tensor
    segments: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class RescaledBatch:
    """Several videos: features (B, C, T), and for each its activities (M, 2) and labels (M,)."""

    videos: tuple[str, ...]
    features: Tensor
    segments: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]


class RescaledVideos(Dataset[RescaledSample]):
    """Videos at a fixed number of snippets, as BMN takes them.

    Raises:
        FeatureError: a video's features are missing, damaged or of another origin.
    """

    def __init__(self, annotations: Annotations, features: FeatureFolder, *, length: int) -> None:
        self.videos = annotations.videos
        self.classes = annotations.classes
        self.features = features
        self.length = length

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> RescaledSample:
        video = self.videos[key[1]]
        snippets = self.features.load(video)
        segments = torch.from_numpy(segments_of(video) / snippets.duration).float()
        features = rescaled(snippets, self.length).features
        labels = torch.from_numpy(labels_of(video, self.classes))
        return RescaledSample(video.id, features, segments.clamp(0, 1), labels)


# How much of an activity must lie within a window for the window to learn it.
MOSTLY = 0.9


class SlidWindows(Dataset[RescaledSample]):
    """Windows of videos that show most of an activity, as a sliding BMN takes them.

    Raises:
        FeatureError: a video's features are missing, damaged or of another origin.
        AnnotationError: no window shows most of an activity.
    """

    def __init__(self, annotations: Annotations, features: FeatureFolder, *, length: int) -> None:
        self.classes = annotations.classes
        self.features = features
        self.length = length
        self.windows: list[tuple[AnnotatedVideo, int, NDArray[np.bool_]]] = []
        with progress("windows", total=len(annotations.videos), unit="videos") as advance:
            for video in annotations.videos:
                for number, window in enumerate(self._windows(video)):
                    shown = mostly_within(segments_of(video), window.offset, window.duration)
                    if shown.any():
                        self.windows.append((video, number, shown))
                advance()
        if not self.windows:
            raise AnnotationError(
                f"no window of {length} snippets shows {MOSTLY:.0%} of an activity; give a larger "
                "network.temporal_scale"
            )

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, key: tuple[int, int]) -> RescaledSample:
        video, number, shown = self.windows[key[1]]
        window = self._windows(video)[number]
        within = segments_within(segments_of(video), window.offset, window.duration)
        labels = torch.from_numpy(labels_of(video, self.classes)[shown])
        return RescaledSample(video.id, window.features, torch.from_numpy(within).float(), labels)

    def _windows(self, video: AnnotatedVideo) -> list[SnippetFeatures]:
        return sliding_windows(self.features.load(video), self.length)


def segments_within(
    segments: NDArray[np.float64], start: float, duration: float
) -> NDArray[np.float64]:
    """Segments that lie mostly within a window, as fractions of it: (M, 2) seconds to (N, 2)."""
    clipped = np.stack(clip(*segments.T, first=start, last=start + duration), axis=1)
    return (clipped[mostly_within(segments, start, duration)] - start) / duration


def mostly_within(
    segments: NDArray[np.float64], start: float, duration: float
) -> NDArray[np.bool_]:
    """Which segments lie mostly within a window: (M, 2) seconds to (M,)."""
    clipped = np.stack(clip(*segments.T, first=start, last=start + duration), axis=1)
    lengths, shown = (ends[:, 1] - ends[:, 0] for ends in (segments, clipped))
    return (shown > 0) & (shown >= MOSTLY * lengths)


def collate_rescaled(
    samples: Sequence[RescaledSample],
) -> RescaledBatch:
    """Stack features."""
    return RescaledBatch(
        tuple(sample.video for sample in samples),
        torch.stack([sample.features for sample in samples]),
        tuple(sample.segments for sample in samples),
        tuple(sample.labels for sample in samples),
    )


@dataclass(frozen=True, eq=False)
class ProposalSample:
    """Features (C, T), proposals and the activity that overlaps each most, both (N, 2) seconds."""

    video: str
    features: Tensor
    proposals: Tensor
    matched: Tensor


@dataclass(frozen=True, eq=False)
class ProposalBatch:
    """Several videos, padded to the longest and to the most proposals.

    Shape:
        features: (B, C, T); mask: (B, T), 1 where valid; proposals, matched: (B, N, 2) seconds;
        valid: (B, N), True where a proposal is.
    """

    videos: tuple[str, ...]
    features: Tensor
    mask: Tensor
    proposals: Tensor
    matched: Tensor
    valid: Tensor


class ProposedVideos(Dataset[ProposalSample]):
    """Videos at their own length with proposals, as TCANet takes them.

    Args:
        proposals: of every video; a proposal without a stored match (`matched`) is trained towards
            the activity that overlaps it most.

    Raises:
        FeatureError: a video's features are missing, damaged or of another origin.
    """

    def __init__(
        self,
        annotations: Annotations,
        features: FeatureFolder,
        proposals: Mapping[str, Proposals],
    ) -> None:
        self.videos = tuple(v for v in annotations.videos if len(proposals[v.id]))
        self.features = features
        self.proposals = proposals
        if not self.videos:
            raise AnnotationError(
                "no training video has a proposal; train BMN for longer, or give proposals of "
                "these videos"
            )

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, key: tuple[int, int]) -> ProposalSample:
        video = self.videos[key[1]]
        snippets = self.features.load(video)
        given = self.proposals[video.id]
        pairs, matched = np.stack([given.start, given.end], axis=1), given.matched
        if matched is None:
            matched = best_matches(pairs, segments_of(video))
        return ProposalSample(
            video.id,
            snippets.features,
            torch.from_numpy(pairs).float(),
            torch.from_numpy(matched).float(),
        )


def collate_proposals(
    samples: Sequence[ProposalSample],
) -> ProposalBatch:
    """Pad features with zeros, and proposals with ones marked as not valid."""
    features, mask = pad_in_time([sample.features for sample in samples])
    proposals, valid = pad_in_time([sample.proposals.T for sample in samples])
    matched, _ = pad_in_time([sample.matched.T for sample in samples])
    return ProposalBatch(
        tuple(sample.video for sample in samples),
        features,
        mask,
        proposals.mT,
        matched.mT,
        valid.bool(),
    )
