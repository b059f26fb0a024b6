"""Clips with per-frame labels, for per-frame multi-label detection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from actline.annotations.annotations import AnnotatedVideo, Annotations, frame_labels
from actline.annotations.footage import Footage
from actline.datasets.batches import derived_seed, pad_in_time
from actline.features.fine import FeatureOrigin, feature_count, found_features, load_features
from actline.stored.ranges import Deviation, Frames, Pixels, Positive, Range, Share
from actline.video.decode import ShortSide
from actline.video.sampling import AtRate, EveryNth, Sampling
from actline.video.transforms import TrainTransform, to_clip

# The published code keeps at most this many Fine positions of a video.
MAX_FINE_POSITIONS = 128


@dataclass(frozen=True)
class ClipConfig:
    """What a training clip is.

    Attributes:
        frames: sampled frames of a clip; a shorter video gives a shorter clip.
        rate: sampled frames per second; or
        stride: source frames from one sampled frame to the next; one of the two is given.
        labels_per_frame: label times from one sampled frame to the next.
        size: pixels a side of the network's input.
        short_sides: sizes that the video's short side is drawn from before the random crop.
        flip: chance of mirroring; 0 where left and right are classes.
        mean, std: of RGB in [0, 1].
    """

    frames: Frames = 64
    rate: Positive | None = None
    stride: Frames | None = None
    labels_per_frame: Annotated[int, Range(1, 1000)] = 1
    size: Pixels = 224
    short_sides: tuple[Annotated[int, Range(32, 8192)], ...] = (256, 320)
    flip: Share = 0.5
    mean: tuple[Share, Share, Share] = (0.45, 0.45, 0.45)
    std: tuple[Deviation, Deviation, Deviation] = (0.225, 0.225, 0.225)

    def __post_init__(self) -> None:
        if (self.rate is None) == (self.stride is None):
            raise ValueError("clip: give either rate or stride")
        if not self.short_sides or min(self.short_sides) < self.size:
            raise ValueError("clip: short_sides must not be smaller than size")

    @property
    def sampling(self) -> Sampling:
        """How a video's frames are sampled for such clips."""
        if self.stride is not None:
            return EveryNth(self.stride)
        assert self.rate is not None, "checked on construction"
        return AtRate(self.rate)


@dataclass(frozen=True, eq=False)
class FrameBatch:
    """Clips of several videos, padded to the longest.

    Shape:
        clip: (B, 3, T, H, W), normalized; labels: (B, K, L) of 0 and 1;
        frame_mask: (B, T) and label_mask: (B, L), 1 where valid;
        fine: {stage: (B, C, N, G, G)}, stored features, or None;
        fine_clip: (B, 3, N, H, W), what the Fine stream sees if more than the clip, or None;
        fine_mask: (B, N); fine_start: (B,), the clip's first frame among these.
    """

    videos: tuple[str, ...]
    clip: Tensor
    labels: Tensor
    frame_mask: Tensor
    label_mask: Tensor
    fine: dict[str, Tensor] | None = None
    fine_clip: Tensor | None = None
    fine_mask: Tensor | None = None
    fine_start: Tensor | None = None


@dataclass(frozen=True, eq=False)
class FrameSample:
    """One clip: (3, T, H, W), labels (K, L), and what the Fine stream has of the video.

    That is stored features {stage: (C, N, G, G)} or the frames around the clip, (3, N, H, W), and
    where the clip starts in them.
    """

    video: str
    clip: Tensor
    labels: Tensor
    fine: dict[str, Tensor] | None = None
    fine_clip: Tensor | None = None
    fine_start: int = 0


class FrameClips(Dataset[FrameSample]):
    """Random training clips of a data set's videos.

    An item is asked for as (epoch, index): where the clip begins and how it is augmented depend
    on these and the seed alone, so that a run that was stopped sees what it would have seen.

    Args:
        fine_shapes: each stage's (C, G, G) that stored features must have; None takes any.
        fine_frames: sampled frames that the Fine stream sees around a clip; 0 means the clip's own.

    Raises:
        VideoError: a video is missing or unreadable.
        FeatureError: its features are missing, unreadable or of another origin.
    """

    def __init__(
        self,
        annotations: Annotations,
        videos: Path,
        clip: ClipConfig,
        *,
        seed: int,
        frame_rate: float = 24.0,
        features: Path | None = None,
        origin: FeatureOrigin | None = None,
        fine_positions: int = MAX_FINE_POSITIONS,
        fine_shapes: Mapping[str, tuple[int, int, int]] | None = None,
        decoded: Path | None = None,
        fine_frames: int = 0,
    ) -> None:
        self.annotations = annotations
        self.fine_frames = fine_frames
        self.footage = Footage(videos, clip.sampling, frame_rate=frame_rate, decoded=decoded)
        self.clip = clip
        self.seed = seed
        self.features = features
        self.origin = origin
        self.fine_shapes = fine_shapes
        self.fine_positions = max(clip.frames, fine_positions)
        self.transform = TrainTransform(
            size=clip.size,
            short_sides=clip.short_sides,
            flip=clip.flip,
            mean=clip.mean,
            std=clip.std,
        )

    def __len__(self) -> int:
        return len(self.annotations.videos)

    def __getitem__(self, key: tuple[int, int]) -> FrameSample:
        epoch, index = key
        video = self.annotations.videos[index]
        generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch, index))
        # As published, a clip may start at any source frame, not only at sampled ones.
        phase = float(torch.rand((), generator=generator))
        times = shift_by_phase(self.footage.times(video), phase)

        first = int(
            torch.randint(max(1, len(times) - self.clip.frames + 1), (), generator=generator)
        )
        chosen = times[first : first + self.clip.frames]
        following = times[first + len(chosen)] if first + len(chosen) < len(times) else None
        labels = self.labels(video, chosen, following)
        size = ShortSide(self.transform.short_side(generator))
        if self.fine_frames:
            begin = around(first, len(chosen), count=len(times), most=self.fine_frames)
            seen = times[begin : begin + self.fine_frames]
            pixels = self.footage.read(video, seen, size=size)
            whole = self.transform(to_clip(pixels), generator)
            start = first - begin
            clip = whole[:, start : start + len(chosen)]
            return FrameSample(video.id, clip, labels, fine_clip=whole, fine_start=start)
        pixels = self.footage.read(video, chosen, size=size)
        fine, fine_start = self._fine_features(video.id, first, len(chosen))
        clip = self.transform(to_clip(pixels), generator)
        return FrameSample(video.id, clip, labels, fine=fine, fine_start=fine_start)

    def labels(
        self, video: AnnotatedVideo, times: NDArray[np.float64], following: float | None
    ) -> Tensor:
        """Labels (K, L) at `labels_per_frame` times from each frame to the next."""
        label_times = subdivide(times, self.clip.labels_per_frame, following=following)
        labels = frame_labels(video.activities, self.annotations.classes, label_times)
        return torch.from_numpy(labels.T.copy())

    def _fine_features(
        self, video_id: str, first: int, frames: int
    ) -> tuple[dict[str, Tensor] | None, int]:
        """`fine_positions` around the clip, if any, and where among them the clip starts."""
        if self.features is None:
            return None, 0
        assert self.origin is not None, "features come with their origin"
        path = found_features(self.features, video_id)
        count = feature_count(path, self.origin)
        begin = around(first, frames, count=count, most=self.fine_positions)
        stages = load_features(
            path,
            self.origin,
            first=begin,
            count=self.fine_positions,
            shapes=self.fine_shapes,
        )
        return stages, first - begin


def collate(samples: Sequence[FrameSample]) -> FrameBatch:
    """Put samples together, padding with zeros where lengths differ."""
    clip, frame_mask = pad_in_time([sample.clip for sample in samples])
    labels, label_mask = pad_in_time([sample.labels for sample in samples])
    videos = tuple(sample.video for sample in samples)
    batch = FrameBatch(videos, clip, labels, frame_mask, label_mask)
    start = torch.tensor([float(sample.fine_start) for sample in samples])
    wider = [sample.fine_clip for sample in samples if sample.fine_clip is not None]
    if wider:
        fine_clip, fine_mask = pad_in_time(wider)
        return replace(batch, fine_clip=fine_clip, fine_mask=fine_mask, fine_start=start)
    stored = [sample.fine for sample in samples if sample.fine is not None]
    if not stored:
        return batch
    fine = {name: pad_in_time([stages[name] for stages in stored]) for name in stored[0]}
    return replace(
        batch,
        fine={name: padded for name, (padded, _) in fine.items()},
        fine_mask=next(mask for _, mask in fine.values()),
        fine_start=start,
    )


def around(first: int, frames: int, *, count: int, most: int) -> int:
    """Where `most` of `count` positions begin so that `frames` from `first` lie in their middle.

    At a video's ends they are moved inwards, so that there are as many as the video has.
    """
    return min(max(0, first - (most - frames) // 2), max(0, count - most))


def subdivide(
    times: NDArray[np.float64], parts: int, *, following: float | None = None
) -> NDArray[np.float64]:
    """`parts` equally spaced times from each of `times` to the next: (T,) to (T * parts,).

    `following` is the time after the last; without it the last gap is repeated.
    """
    if following is None:
        following = float(2 * times[-1] - times[-2]) if len(times) > 1 else float(times[-1]) + 1.0
    gaps = np.diff(np.append(times, following))
    return (times[:, None] + gaps[:, None] * (np.arange(parts) / parts)).ravel()


def shift_by_phase(times: NDArray[np.float64], phase: float) -> NDArray[np.float64]:
    """Each time moved by `phase` (0 to 1) of the gap to the next; the last gap is repeated."""
    gaps = np.diff(times)
    return times + phase * np.append(gaps, gaps[-1] if len(gaps) else 0.0)
