"""Clips of trimmed videos: what classification and pretraining are trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.annotations.footage import Footage
from actline.datasets.batches import derived_seed
from actline.datasets.frame_clips import ClipConfig
from actline.errors import AnnotationError
from actline.video.decode import ShortSide
from actline.video.transforms import TestTransform, TrainTransform, to_clip


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """One clip of a batch: its item, the pass over the data, and its shape.

    Attributes:
        frames, size: sampled frames, and pixels a side.
        max_stride: every nth of the sampled frames is taken, n drawn from 1 to this.
    """

    epoch: int
    index: int
    frames: int
    size: int
    max_stride: int


@dataclass(frozen=True, eq=False)
class TrimmedSample:
    """One clip (3, T, H, W), and its class (), from 0; with several classes, (K,) of 0 and 1."""

    video: str
    clip: Tensor
    label: Tensor


@dataclass(frozen=True, eq=False)
class TrimmedBatch:
    """Clips (B, 3, T, H, W), normalized, and their classes: (B,) from 0, or (B, K) of 0 and 1."""

    videos: tuple[str, ...]
    clip: Tensor
    labels: Tensor


class TrimmedClips(Dataset[TrimmedSample]):
    """Random clips of videos.

    Where a clip begins and how it is augmented depend on the request and the seed alone. A video
    shorter than a clip starts again when it ends, as in the published code.

    Args:
        several: whether videos may show several classes; a clip then has those that happen in it.

    Raises:
        AnnotationError: a video has no class, or several where it should have one.
        VideoError: a video is missing or unreadable.
    """

    def __init__(
        self,
        annotations: Annotations,
        videos: Path,
        clip: ClipConfig,
        *,
        seed: int,
        frame_rate: float = 24.0,
        decoded: Path | None = None,
        several: bool = False,
    ) -> None:
        self.annotations = annotations
        self.several = several
        self.footage = Footage(videos, clip.sampling, frame_rate=frame_rate, decoded=decoded)
        self.clip = clip
        self.seed = seed
        self.labels = torch.stack([self._label(video) for video in annotations.videos])

    def __len__(self) -> int:
        return len(self.annotations.videos)

    def __getitem__(self, request: ClipRequest) -> TrimmedSample:
        video = self.annotations.videos[request.index]
        generator = torch.Generator().manual_seed(
            derived_seed(self.seed, request.epoch, request.index)
        )
        times = self.footage.times(video)
        stride = int(torch.randint(1, request.max_stride + 1, (), generator=generator))
        # A stride that the video has room for, at least 1.
        stride = max(1, min(stride, len(times) // request.frames))
        room = max(1, len(times) - stride * (request.frames - 1))
        first = int(torch.randint(room, (), generator=generator))
        chosen = (first + stride * np.arange(request.frames)) % len(times)
        transform = self.transform(request.size)
        size = ShortSide(transform.short_side(generator))
        pixels = self._pixels(video, chosen, size=size)
        label = self.labels[request.index]
        if self.several:
            # The clip lasts until the frame that would follow.
            ends = np.append(times, np.inf)
            last = first + stride * request.frames
            label = self._label(video, between=(ends[first], ends[min(last, len(times))]))
        return TrimmedSample(video.id, transform(to_clip(pixels), generator), label)

    def central(self, index: int) -> Tensor:
        """The full clip in the middle of a video, centrally cropped: (3, T, H, W)."""
        video = self.annotations.videos[index]
        times = self.footage.times(video)
        first = max(0, (len(times) - self.clip.frames) // 2)
        chosen = (first + np.arange(self.clip.frames)) % len(times)
        # Training clips are cut from frames a little larger than they are; so is this one.
        size = ShortSide(self.clip.short_sides[0])
        pixels = self._pixels(video, chosen, size=size)
        transform = TestTransform(size=self.clip.size, mean=self.clip.mean, std=self.clip.std)
        return transform(to_clip(pixels))

    def views(self, index: int, count: int) -> Tensor:
        """`count` full clips evenly spread over a video: (count, 3, T, H, W).

        As published: at whole multiples of one step from the video's first frame, in the central
        square of the frame. A single one is the central clip.
        """
        if count == 1:
            return self.central(index)[None]
        video = self.annotations.videos[index]
        times = self.footage.times(video)
        step = max(0, (len(times) - 1 - self.clip.frames) // (count - 1))
        chosen = step * np.arange(count)[:, None] + np.arange(self.clip.frames)
        pixels = self._pixels(video, chosen.ravel() % len(times), size=ShortSide(self.clip.size))
        transform = TestTransform(size=self.clip.size, mean=self.clip.mean, std=self.clip.std)
        clips = transform(to_clip(pixels))
        return clips.unflatten(1, chosen.shape).transpose(0, 1)

    def transform(self, size: int) -> TrainTransform:
        """Crops of `size`, with short sides scaled in proportion."""
        sides = (max(size, round(side * size / self.clip.size)) for side in self.clip.short_sides)
        return TrainTransform(
            size=size,
            short_sides=tuple(sides),
            flip=self.clip.flip,
            mean=self.clip.mean,
            std=self.clip.std,
        )

    def _label(
        self, video: AnnotatedVideo, between: tuple[float, float] = (-np.inf, np.inf)
    ) -> Tensor:
        """A video's class, or, of several, those that happen between two times."""
        if not self.several:
            return torch.tensor(class_of(video, self.annotations))
        label = torch.zeros(len(self.annotations.classes))
        for activity in video.activities:
            if activity.start < between[1] and activity.end > between[0]:
                label[self.annotations.classes.index(activity.label)] = 1
        return label

    def _pixels(
        self, video: AnnotatedVideo, chosen: NDArray[np.intp], *, size: ShortSide
    ) -> NDArray[np.uint8]:
        """The chosen sampled frames of a video, each decoded once however often it is chosen."""
        wanted, places = np.unique(chosen, return_inverse=True)
        return self.footage.read(video, self.footage.times(video)[wanted], size=size)[places]


def collate_trimmed(samples: Sequence[TrimmedSample]) -> TrimmedBatch:
    """Stack clips."""
    return TrimmedBatch(
        tuple(sample.video for sample in samples),
        torch.stack([sample.clip for sample in samples]),
        torch.stack([sample.label for sample in samples]),
    )


def class_of(video: AnnotatedVideo, annotations: Annotations) -> int:
    """The number of a trimmed video's one class.

    Raises:
        AnnotationError: the video has no class, or several.
    """
    labels = {activity.label for activity in video.activities}
    if len(labels) != 1:
        raise AnnotationError(
            f"video {video.id} shows {len(labels)} classes, and pretraining takes videos of one "
            "class each; for method classification, classes_per_video=several takes them all"
        )
    return annotations.classes.index(labels.pop())
