"""The published protocols by the names that users give."""

import difflib
from dataclasses import dataclass, replace
from typing import Literal

from actline.errors import PredictionError
from actline.evaluation import detection_errors, proposals, segments
from actline.evaluation.detection_errors import DiagnosisProtocol
from actline.evaluation.proposals import ProposalProtocol
from actline.evaluation.segments import SegmentProtocol


@dataclass(frozen=True)
class Protocol:
    """What is scored, and how.

    Attributes:
        name: by which it is asked for.
        about: what it is, in a few words.
        kind: what is scored.
        subset: which videos are scored by default; of ActivityNet and HACS the validation videos,
            as the annotations of their test videos are not public.
        counts_wrong: whether THUMOS-14's falsely annotated videos count by default.
    """

    name: str
    about: str
    kind: Literal["frames", "segments", "proposals"]
    subset: str = "testing"
    counts_wrong: bool = False


@dataclass(frozen=True, kw_only=True)
class PrecisionProtocol(Protocol):
    """Mean average precision of segments; `matching` says how, `diagnosis` how errors are found."""

    kind: Literal["segments"] = "segments"
    matching: SegmentProtocol
    diagnosis: DiagnosisProtocol = detection_errors.THUMOS

    @property
    def title(self) -> str:
        """The name that is shown with its numbers."""
        return f"per-segment mAP ({self.name}, {_thresholds_of(self.matching.name)})"


@dataclass(frozen=True, kw_only=True)
class RecallProtocol(Protocol):
    """Average recall of proposals."""

    kind: Literal["proposals"] = "proposals"
    curve: ProposalProtocol

    @property
    def title(self) -> str:
        """The name that is shown with its numbers."""
        return f"AR@AN ({self.name}, {_thresholds_of(self.curve.name)})"


DENSE = Protocol(
    "dense",
    "per-frame mAP over every frame; with a label rate of 24 on the published grid",
    "frames",
)
LOCALIZE = Protocol("charades-localize", "Charades_v1_localize: 25 frames a video", "frames")
# HACS has no error analysis of its own; its videos are as ActivityNet's.
_HACS_ERRORS = replace(
    detection_errors.ACTIVITYNET, name="DETAD, HACS in ActivityNet's buckets, tIoU 0.5:0.05:0.95"
)
PROTOCOLS: tuple[Protocol, ...] = (
    DENSE,
    LOCALIZE,
    PrecisionProtocol(
        "activitynet",
        "ActivityNet's evaluator, tIoU 0.5:0.05:0.95",
        subset="validation",
        matching=segments.ACTIVITYNET,
        diagnosis=detection_errors.ACTIVITYNET,
    ),
    PrecisionProtocol(
        "hacs",
        "HACS Segments: the same",
        subset="validation",
        matching=segments.HACS,
        diagnosis=_HACS_ERRORS,
    ),
    PrecisionProtocol(
        "thumos",
        "THUMOS-14 as papers report it: that evaluator at tIoU 0.3:0.1:0.7",
        matching=segments.THUMOS,
    ),
    PrecisionProtocol("thumos-wide", "the same at tIoU 0.1:0.1:0.9", matching=segments.THUMOS_WIDE),
    PrecisionProtocol(
        "thumos-toolkit",
        "THUMOS-14's own toolkit, tIoU 0.3:0.1:0.7",
        counts_wrong=True,
        matching=segments.THUMOS_TOOLKIT,
    ),
    PrecisionProtocol(
        "thumos-toolkit-wide",
        "the same at tIoU 0.1:0.1:0.7",
        counts_wrong=True,
        matching=segments.THUMOS_TOOLKIT_WIDE,
    ),
    RecallProtocol(
        "proposals",
        "ActivityNet's AR@AN up to 100 a video and the area under it (AUC)",
        subset="validation",
        curve=proposals.ACTIVITYNET,
    ),
    RecallProtocol(
        "proposals-thumos",
        "AR@50, 100, 200, 500 and 1000, tIoU 0.5:0.05:1.0",
        curve=proposals.THUMOS,
    ),
)


def protocol_named(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        PredictionError: there is none; the nearest is suggested.
    """
    names = [protocol.name for protocol in PROTOCOLS]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        advice = f'did you mean "{close[0]}"?' if close else f"known are: {', '.join(names)}"
        raise PredictionError(f'there is no protocol "{name}"; {advice}')
    return PROTOCOLS[names.index(name)]


def _thresholds_of(name: str) -> str:
    """`tIoU 0.5:0.05:0.95`, as the name of how it is scored has them."""
    return name[name.index("tIoU") :]
