"""Actline: from an untrimmed video to a timeline of activities.

import actline

model = actline.load_model("checkpoint.safetensors")
timeline = actline.detect("video.mp4", model)
timeline.save("video.vtt")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actline.annotations.read import read_annotations
    from actline.detection.detect_all import detect_all
    from actline.detection.extract import extract
    from actline.detection.load import detect, load_model
    from actline.errors import ActlineError
    from actline.evaluation.evaluate import evaluate
    from actline.reporting.report import report
    from actline.timeline import Activity, FrameScores, Timeline
    from actline.timeline.read import Timelines, read
    from actline.training.train import train

__all__ = [
    "Activity",
    "ActlineError",
    "FrameScores",
    "Timeline",
    "Timelines",
    "detect",
    "detect_all",
    "evaluate",
    "extract",
    "load_model",
    "read",
    "read_annotations",
    "report",
    "train",
]
__version__ = "0.1.0"

# Imported when first used: `import actline` must not cost the seconds that torch takes.
_HOMES = {
    "Activity": "actline.timeline",
    "ActlineError": "actline.errors",
    "FrameScores": "actline.timeline",
    "Timeline": "actline.timeline",
    "Timelines": "actline.timeline.read",
    "detect": "actline.detection.load",
    "detect_all": "actline.detection.detect_all",
    "evaluate": "actline.evaluation.evaluate",
    "extract": "actline.detection.extract",
    "load_model": "actline.detection.load",
    "read": "actline.timeline.read",
    "read_annotations": "actline.annotations.read",
    "report": "actline.reporting.report",
    "train": "actline.training.train",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'actline' has no attribute {name!r}")
