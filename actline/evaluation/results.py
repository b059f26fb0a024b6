"""What an evaluation gives: named scores, tables, and which predictions did not fit."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actline.errors import OutputError
from actline.evaluation.bootstrap import Interval
from actline.evaluation.charades import Submission
from actline.evaluation.detection_errors import KINDS, Diagnosis
from actline.evaluation.frames import FrameScore
from actline.evaluation.predictions import Coverage, Segments
from actline.evaluation.proposals import ProposalScore
from actline.evaluation.segments import SegmentScore
from actline.evaluation.selection import Selection
from actline.evaluation.tables import Cell, write_csv, write_json

if TYPE_CHECKING:
    from pandas import DataFrame  # pyright: ignore[reportMissingImports]

Table = tuple[tuple[str, ...], list[tuple[Cell, ...]]]
"""A table's headings and rows."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation(ABC):
    """The scores of predictions under one protocol; every score is in [0, 1].

    Attributes:
        protocol: its full name, shown with every number.
        selection: the videos that were scored.
        hint: what is likely wrong with the predictions' times; None where they look sound.
    """

    protocol: str
    selection: Selection = field(repr=False)
    hint: str | None = field(default=None, repr=False)

    @property
    @abstractmethod
    def scores(self) -> dict[str, float]:
        """Scores by name, the first the one that the protocol is known for."""

    @property
    @abstractmethod
    def table(self) -> Table:
        """Scores by class, or recall by number of proposals."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """All results, as JSON holds them."""

    def to_pandas(self) -> "DataFrame":
        """The table as a pandas `DataFrame`; needs pandas."""
        try:
            from pandas import DataFrame  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise OutputError(
                'tables need pandas; install it with: pip install "actline[pandas]"'
            ) from error
        header, rows = self.table
        return DataFrame(rows, columns=list(header))

    def save(self, path: str | Path) -> Path:
        """Write all results as `.json`, or the table as `.csv`; returns the path.

        Raises:
            OutputError: the ending is another, or the file cannot be written.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending not in (".json", ".csv"):
            raise OutputError(f"cannot write {path}: name a file ending in .json or .csv")
        if ending == ".csv":
            write_csv(path, *self.table)
        else:
            write_json(path, self.document())
        return path

    def __str__(self) -> str:
        lines = [f"protocol: {self.protocol}"]
        lines += [f"{name}: {100 * score:.2f}" for name, score in self.scores.items()]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameEvaluation(Evaluation):
    """Scores of frames.

    Attributes:
        score: all numbers.
        coverage: which videos have predictions.
        submission: of charades-localize, what was scored.
    """

    score: FrameScore = field(repr=False)
    coverage: Coverage = field(repr=False)
    submission: Submission | None = field(default=None, repr=False)

    @property
    def scores(self) -> dict[str, float]:
        """As in `Evaluation`."""
        return {
            "mAP": self.score.mean,
            "mAP over videos with predictions": self.score.mean_available,
            "mAP with classes that never occur": self.score.mean_published,
            "chance": self.score.chance,
        }

    @property
    def table(self) -> Table:
        """As in `Evaluation`."""
        header = ("class", f"average precision ({self.protocol})", "chance", "frames")
        return header, [
            (row.label, row.average_precision, row.chance, row.frames) for row in self.score.classes
        ]

    def document(self) -> dict[str, Any]:
        """As in `Evaluation`."""
        return {**asdict(self.score), "coverage": asdict(self.coverage)}


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentEvaluation(Evaluation):
    """Scores of segments.

    Attributes:
        score: all numbers.
        available: the same over videos with predictions; None where those have no activity.
        interval: where the average lies when videos are resampled; None where not asked for.
        diagnosis: what the detections get wrong; None where not asked for.
        chosen: which predictions were scored.
        otherwise: the average with falsely annotated videos treated the other way; None without
            any.
    """

    score: SegmentScore = field(repr=False)
    available: SegmentScore | None = field(repr=False)
    interval: Interval | None = None
    diagnosis: Diagnosis | None = field(default=None, repr=False)
    chosen: Segments = field(repr=False)
    otherwise: float | None = None

    @property
    def scores(self) -> dict[str, float]:
        """As in `Evaluation`."""
        at = zip(self.score.thresholds, self.score.mean.tolist(), strict=True)
        scores = {"average mAP": self.score.average}
        scores |= {f"mAP@{threshold:.2f}": mean for threshold, mean in at}
        if self.diagnosis is not None:
            scores["average mAP_N"] = self.diagnosis.normalized
        return scores

    @property
    def table(self) -> Table:
        """A row for each class: its average over thresholds, at each of them, its activities."""
        score = self.score
        thresholds = (f"AP at tIoU {t:.2f}" for t in score.thresholds)
        header = ("class", f"AP, {self.protocol}", *thresholds, "activities")
        average = score.per_class.mean(axis=0)
        return header, [
            (label, float(average[c]), *score.per_class[:, c].tolist(), int(score.activities[c]))
            for c, label in enumerate(score.classes)
        ]

    def document(self) -> dict[str, Any]:
        """As in `Evaluation`."""
        score, available = self.score, self.available
        return {
            "protocol": self.protocol,
            "kind": "segments",
            "mean": score.average,
            "mean_available": None if available is None else available.average,
            "interval": None if self.interval is None else asdict(self.interval),
            "thresholds": list(score.thresholds),
            "mean_at": score.mean.tolist(),
            "mean_available_at": None if available is None else available.mean.tolist(),
            "videos": score.videos,
            "activities": int(score.activities.sum()),
            "classes": [
                {
                    "label": row[0],
                    "average_precision": row[1],
                    "at": list(row[2:-1]),
                    "activities": row[-1],
                }
                for row in self.table[1]
            ],
            "coverage": _coverage(self.chosen, self.selection, score.missing),
            "errors": None if self.diagnosis is None else _diagnosis(self.diagnosis),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class ProposalEvaluation(Evaluation):
    """Scores of proposals; attributes as of `SegmentEvaluation`, `otherwise` being the area."""

    score: ProposalScore = field(repr=False)
    available: ProposalScore | None = field(repr=False)
    chosen: Segments = field(repr=False)
    otherwise: float | None = None

    @property
    def scores(self) -> dict[str, float]:
        """As in `Evaluation`."""
        at = {f"AR@{number}": recall for number, recall in self.score.at.items()}
        return {"AUC": self.score.area / 100, **at}

    @property
    def table(self) -> Table:
        """A row for each average number of proposals: AR, and recall at each threshold."""
        score = self.score
        thresholds = (f"recall at tIoU {t:.2f}" for t in score.thresholds)
        curve = score.average_numbers.tolist(), score.average_recall.tolist()
        rows = list(zip(*curve, *score.recall.tolist(), strict=True))
        return ("AN", self.protocol, *thresholds), rows

    def document(self) -> dict[str, Any]:
        """As in `Evaluation`."""
        score, available = self.score, self.available
        return {
            "protocol": self.protocol,
            "kind": "proposals",
            "average_recall": _by_number(score.at),
            "average_recall_available": None if available is None else _by_number(available.at),
            "area": score.area / 100,
            "area_available": None if available is None else available.area / 100,
            "thresholds": list(score.thresholds),
            "curve": {
                "average_number": score.average_numbers.tolist(),
                "average_recall": score.average_recall.tolist(),
            },
            "videos": score.videos,
            "activities": score.activities,
            "proposals_per_video": score.proposals_per_video,
            "coverage": _coverage(self.chosen, self.selection, score.missing),
        }


def _by_number(recall: Mapping[int, float]) -> dict[str, float]:
    return {str(number): value for number, value in recall.items()}


def _coverage(chosen: Segments, selection: Selection, missing: tuple[str, ...]) -> dict[str, Any]:
    return {
        "annotated": len(selection.annotations.videos),
        "missing": list(missing),
        "elsewhere": list(chosen.elsewhere),
        "elsewhere_predictions": chosen.elsewhere_predictions,
        "unknown": list(chosen.unknown),
        "unknown_predictions": chosen.unknown_predictions,
        "unknown_classes": dict(chosen.unknown_classes),
        "backward_predictions": chosen.backward_predictions,
    }


def _diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "protocol": diagnosis.protocol,
        "normalized": diagnosis.normalized,
        "impacts": [{**asdict(row), "kind": str(row.kind)} for row in diagnosis.impacts],
        "profile": {
            "kinds": ["right", *(str(kind) for kind in KINDS)],
            "parts": diagnosis.profile.tolist(),
        },
        "sensitivity": [asdict(row) for row in diagnosis.sensitivity],
    }
