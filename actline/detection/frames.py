"""Per-frame detection: video to windows to probabilities to activities."""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actline.detection.activities import find_activities
from actline.detection.detector import Detector, as_video
from actline.detection.model import Model, find_device, folded_model
from actline.errors import CheckpointError
from actline.models.backbone import Backbone, prediction
from actline.models.cards import ModelCard
from actline.models.checkpoint import weights_hash
from actline.timeline import FrameScores, Timeline
from actline.video.decode import probe
from actline.video.find import Video
from actline.video.windows import WindowedVideo


@dataclass(frozen=True, eq=False)
class FrameDetector(Model, Detector):
    """A network with logits for every frame: X3D, SlowFast, Coarse-Fine, or an exported one.

    Memory does not grow with a video's length, except for the result itself.
    """

    @property
    def fingerprint(self) -> str:
        """As in `Detector`."""
        return weights_hash(self.network)

    def detect(
        self,
        video: str | PathLike[str] | Video,
        *,
        threshold: float | None = None,
        min_seconds: float = 0.0,
        max_gap: float = 0.0,
        frame_rate: float = 24.0,
        on_frames: Callable[[int], None] | None = None,
    ) -> Timeline:
        """As in `Detector`: activities, per-frame probabilities, and where Grid Pool sampled."""
        video = as_video(video)
        duration = probe(video.path, frame_rate=frame_rate).duration
        scores, sampled = score_video(video.path, self, frame_rate=frame_rate, on_frames=on_frames)
        given = None if threshold is None else (threshold,) * len(self.classes)
        thresholds = given or self.card.thresholds or (0.5,) * len(self.classes)
        activities = find_activities(
            scores,
            np.asarray(thresholds, np.float32),
            duration=duration,
            min_seconds=min_seconds,
            max_gap=max_gap,
        )
        return Timeline(video.id, duration, activities, scores, sampled)

    def window_probabilities(self, clip: Tensor) -> tuple[Tensor, Tensor | None]:
        """Probabilities of the classes in every frame of one window.

        Shape:
            clip: (3, T, H, W), normalized; returns (T, K) and, for Coarse-Fine, the positions (P,)
            in [0, 1] where Grid Pool sampled.

        Raises:
            CheckpointError: the logits are not finite.
        """
        logits, positions = self.window_logits(clip)
        return logits.sigmoid(), positions

    @torch.inference_mode()
    def window_logits(self, clip: Tensor) -> tuple[Tensor, Tensor | None]:
        """Run the network on one window; as `window_probabilities`, but with logits."""
        found = prediction(self.network(self.batch_of(clip)))
        if not bool(torch.isfinite(found.logits).all()):
            raise CheckpointError("the network gives values that are not finite; train it again")
        positions = None if found.positions is None else found.positions[0].cpu()
        return found.logits[0].T.float().cpu(), positions


def score_video(
    video: Path,
    model: FrameDetector,
    *,
    frame_rate: float = 24.0,
    on_frames: Callable[[int], None] | None = None,
) -> tuple[FrameScores, NDArray[np.float64] | None]:
    """Per-frame probabilities, and the seconds at which Grid Pool sampled (None without one).

    Raises:
        VideoError: the video cannot be read.
    """
    windows = WindowedVideo(video, model.view, frame_rate=frame_rate, on_frames=on_frames)
    times = windows.times
    total = np.zeros((len(times), len(model.classes)), np.float32)
    weight = np.zeros((len(times), 1), np.float32)
    sampled: list[NDArray[np.float64]] = []
    for window in windows:
        probabilities, positions = model.window_probabilities(window.clip)
        fade = window.weights[:, None]
        total[window.frames] += fade * probabilities.numpy()
        weight[window.frames] += fade
        if positions is not None:
            index = positions.numpy().astype(np.float64) * (len(fade) - 1)
            sampled.append(np.interp(index, np.arange(len(fade)), times[window.frames]))
    looked_at = np.unique(np.concatenate(sampled)) if sampled else None
    return FrameScores(model.classes, times, total / weight), looked_at


def frame_detector(
    network: Backbone, card: ModelCard, *, device: str = "auto", where: str = "the network"
) -> FrameDetector:
    """A copy of a network on its device, folded for inference, ready to detect.

    The network itself stays as it is: it may be one that is being trained.

    Raises:
        CheckpointError: it lacks its Fine stream.
        DeviceError: the device is not on this machine.
    """
    if network.lacks is not None:
        raise CheckpointError(f"{where} {network.lacks}")
    model = folded_model(network, card, find_device(device))
    return FrameDetector(model.network, card, model.device)
