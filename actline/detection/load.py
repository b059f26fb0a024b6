"""From a checkpoint of any kind to a model, and from a model and a video to a timeline."""

from os import PathLike
from pathlib import Path

import torch

from actline.detection.clips import prepare_classifier
from actline.detection.detector import Detector
from actline.detection.exported import ExportedNetwork, Runtime
from actline.detection.frames import FrameDetector, frame_detector
from actline.detection.model import find_device
from actline.detection.segments import chain_of
from actline.errors import CheckpointError, DeviceError
from actline.models.cards import ModelCard, SegmentCard
from actline.models.checkpoint import fitted, read_checkpoint
from actline.timeline import Timeline


def load_model(
    path: str | PathLike[str], *, device: str = "auto", runtime: Runtime = "openvino"
) -> Detector:
    """Load a checkpoint of any kind, ready to detect.

    A network on frames detects per frame; a classifier of trimmed clips is slid over the video; a
    chain finds segments; an exported network is run by its runtime.

    Args:
        path: a checkpoint of `actline train`, `convert`, `chain` or `export`.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", "mps".
        runtime: what runs an exported network, on the CPU.

    Raises:
        CheckpointError: the file cannot be used, or holds a single stage of a chain.
        DeviceError: the device is not on this machine, or the runtime is not installed.

    Examples:
        >>> model = actline.load_model("model.safetensors", device="cpu")
        >>> model.classes
        ('brighten', 'move')
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return _exported(path, device, runtime)
    card, tensors = read_checkpoint(path)
    # The one place that tells checkpoints apart.
    if isinstance(card, SegmentCard):
        link = "--proposals" if card.network.proposes else "--refinement"
        raise CheckpointError(
            f"{path} holds a stage that works on features, not on videos; put it into a chain "
            f"with the network that made them: actline chain --backbone … {link} {path}"
        )
    if not isinstance(card, ModelCard):
        return chain_of(card, tensors, path, device=device)
    network = fitted(card.network.build(len(card.classes)), tensors, path)
    if card.network.per_frame:
        return frame_detector(network, card, device=device, where=str(path))
    return prepare_classifier(network, card, device=device)


def _exported(path: Path, device: str, runtime: Runtime) -> FrameDetector:
    if device != "auto" and find_device(device).type != "cpu":
        raise DeviceError(
            f'{path} runs on the processor, not on device "{device}"; use device cpu, or '
            "give the checkpoint that it was exported from"
        )
    exported = ExportedNetwork(path, runtime=runtime)
    return FrameDetector(exported, exported.card, torch.device("cpu"))


def detect(video: str | PathLike[str], model: Detector, **options: object) -> Timeline:
    """Find what happens in a video, and when: `model.detect(video)`.

    Args:
        video: a video file, or a folder of frames.
        model: from `actline.load_model`.
        options: of the model's `detect`, such as `threshold` and `min_seconds`.

    Raises:
        VideoError: the video cannot be read.

    Examples:
        >>> timeline = actline.detect("video.mp4", model, min_seconds=0.5)
        >>> timeline.duration
        4.0
    """
    return model.detect(video, **options)  # type: ignore[arg-type]
