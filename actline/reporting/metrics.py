"""Tables of scores for a report, from what `actline evaluate --out` wrote."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actline.errors import PredictionError
from actline.plain import plain
from actline.reporting.detection_errors import Picture, error_pictures, is_number, recall_picture
from actline.stored.json_text import read_json

# Of a cell's text; and of a number, beyond which a page shows nothing useful.
_LONGEST, _LARGEST = 200, 1e12

Row = tuple[str | float | None, ...]


@dataclass(frozen=True)
class Breakdown:
    """A further table under a score, such as of an error analysis."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class MetricsTable:
    """Scores under one protocol.

    Attributes:
        title: what was scored, such as "Held-out videos".
        protocol: the protocol's name, shown with every score.
        columns: headings; the first column names the row.
        rows: text as it is; numbers with one decimal, as percentages are given; None as a dash.
        per_class: average precision by class, in percent, drawn as bars.
        note: what a reader must know, such as the videos left out.
        pictures: figures of the scores or of an error analysis.
        breakdowns: further tables.
    """

    title: str
    protocol: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    per_class: tuple[tuple[str, float | None], ...] = ()
    note: str = ""
    pictures: tuple[Picture, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()


def read_metrics(path: str | os.PathLike[str]) -> tuple[MetricsTable, ...]:
    """The table of a JSON file that `actline evaluate --out` wrote, or of each in a list of such.

    Raises:
        PredictionError: the file is missing, is not JSON, lacks the score, or names no protocol: a
            score without one could be taken for another.
    """
    path = Path(path)
    document = read_json(path, error=PredictionError, what="scores")
    results = document if isinstance(document, list) else [document]
    if not results or not all(
        isinstance(result, dict)
        and isinstance(result.get("protocol"), str)
        and _is_share(result.get("area" if result.get("kind") == "proposals" else "mean"))
        for result in results
    ):
        raise PredictionError(
            f"{path} names no protocol with a mean from 0 to 1; name what `actline evaluate --out` "
            "wrote"
        )
    kinds = {"segments": _segment_table, "proposals": _proposal_table}
    title = plain(path.stem)
    return tuple(kinds.get(str(r.get("kind")), _frame_table)(title, r) for r in results)


def _frame_table(title: str, result: Mapping[str, Any]) -> MetricsTable:
    """One result as rows; all but `protocol` and `mean` may be missing, scores are in [0, 1]."""
    coverage = _mapping(result, "coverage")
    missing = len(_list(coverage, "missing"))
    between, heading = _interval(result)
    candidates = [
        ("All videos", result["mean"], between),
        ("Videos with predictions", result.get("mean_available") if missing else None, None),
        ("Classes that never occur as 0", result.get("mean_published"), None),
        ("Chance", result.get("chance"), None),
    ]
    rows = [
        (name, _percent(value), span)
        for name, value, span in candidates
        if _percent(value) is not None
    ]
    return MetricsTable(
        title=title,
        protocol=plain(result["protocol"], longest=_LONGEST),
        columns=("", "mAP", heading) if between else ("", "mAP"),
        rows=tuple(row if between else row[:2] for row in rows),
        per_class=_per_class(_list(result, "classes")),
        note=_note(result, coverage, missing),
    )


def _segment_table(title: str, result: Mapping[str, Any]) -> MetricsTable:
    """mAP of segments at thresholds and on average; all else may be missing, as above."""
    thresholds = [float(t) for t in _list(result, "thresholds") if _is_share(t)]
    # Of ActivityNet's ten thresholds three are reported, of fewer all.
    places = [
        place
        for place, threshold in enumerate(thresholds)
        if len(thresholds) < 10 or round(threshold, 2) in (0.5, 0.75, 0.95)
    ]
    between, heading = _interval(result)

    def row(name: str, ending: str) -> Row:
        at = _list(result, f"mean{ending}_at")
        scores = [_percent(at[place]) if place < len(at) else None for place in places]
        return (name, *scores, _percent(result.get(f"mean{ending}")))

    rows = [row("All videos", "") + ((between,) if between else ())]
    coverage = _mapping(result, "coverage")
    if missing := len(_list(coverage, "missing")):
        rows.append(row("Available videos", "_available") + ((None,) if between else ()))
    analysis = _mapping(result, "errors")
    note = _segment_note(result, coverage, missing)
    if isinstance(analysis.get("protocol"), str):
        note += f" Error analysis: {plain(analysis['protocol'], longest=_LONGEST)}."
    return MetricsTable(
        title=title,
        protocol=plain(result["protocol"], longest=_LONGEST),
        columns=(
            "mAP at tIoU",
            *(f"{thresholds[place]:.2f}" for place in places),
            "average",
            *((heading,) if between else ()),
        ),
        rows=tuple(rows),
        per_class=_per_class(_list(result, "classes")),
        note=note.strip(),
        pictures=error_pictures(analysis),
        breakdowns=_error_tables(analysis),
    )


def _proposal_table(title: str, result: Mapping[str, Any]) -> MetricsTable:
    """Average recall at numbers of proposals, and the area under its curve."""
    recall = _mapping(result, "average_recall")

    def row(name: str, ending: str) -> Row:
        at = _mapping(result, f"average_recall{ending}")
        scores = [_percent(at.get(number)) for number in recall]
        return (name, *scores, _percent(result.get(f"area{ending}")))

    coverage = _mapping(result, "coverage")
    missing = len(_list(coverage, "missing"))
    rows = [row("All videos", "")] + ([row("Available videos", "_available")] if missing else [])
    return MetricsTable(
        title=title,
        protocol=plain(result["protocol"], longest=_LONGEST),
        columns=("", *(f"AR@{plain(number, longest=20)}" for number in recall), "AUC"),
        rows=tuple(rows),
        note=_segment_note(result, coverage, missing),
        pictures=recall_picture(_mapping(result, "curve"), result["protocol"]),
    )


def _error_tables(analysis: Mapping[str, Any]) -> tuple[Breakdown, ...]:
    """What the pictures of an error analysis show, as numbers."""
    tables = []
    for title, name, columns in (
        (
            "False positives",
            "impacts",
            {"kind": "Error", "part": "Of detections", "gain": "mAP_N gained without"},
        ),
        (
            "Sensitivity",
            "sensitivity",
            {
                "characteristic": "Characteristic",
                "bucket": "Bucket",
                "activities": "True segments",
                "recall": "Recall",
                "normalized": "mAP_N",
            },
        ),
    ):
        rows = [
            tuple(_cell(entry.get(key)) for key in columns)
            for entry in _list(analysis, name)
            if isinstance(entry, dict)
        ]
        if rows:
            tables.append(Breakdown(title, tuple(columns.values()), tuple(rows)))
    return tuple(tables)


def _cell(value: Any) -> str | float | None:
    """Text and whole numbers as they are, scores in percent."""
    if isinstance(value, str):
        return plain(value, longest=_LONGEST)
    if isinstance(value, int) and is_number(value):
        return plain(value, longest=_LONGEST)
    return _percent(value)


def _segment_note(result: Mapping[str, Any], coverage: Mapping[str, Any], missing: int) -> str:
    counts = [
        f"{result[name]:,} {noun}"
        for name, noun in (("videos", "videos"), ("activities", "true segments"))
        if _is_count(result.get(name))
    ]
    sentences = [f"Over {' and '.join(counts)}."] if counts else []
    if missing:
        sentences.append(
            f"{missing} of the videos have no predictions: all their segments count as missed."
        )
    for name, what in (
        ("elsewhere_predictions", "Predictions for videos of other subsets, or left out, not used"),
        (
            "unknown_predictions",
            "Predictions for videos that are not annotated, counted all the same",
        ),
        ("backward_predictions", "Predictions that end before they start, counted as wrong"),
    ):
        if _is_count(coverage.get(name)) and coverage[name]:
            sentences.append(f"{what}: {coverage[name]:,}.")
    if unknown := sum(n for n in _mapping(coverage, "unknown_classes").values() if _is_count(n)):
        sentences.append(f"Predictions of classes that are not annotated, not used: {unknown:,}.")
    return " ".join(sentences)


def _interval(result: Mapping[str, Any]) -> tuple[str | None, str]:
    """The score's interval as text, None where there is none, and its heading."""
    interval = _mapping(result, "interval")
    low, high = _percent(interval.get("low")), _percent(interval.get("high"))
    between = f"{low:.1f} \N{EN DASH} {high:.1f}" if low is not None and high is not None else None
    return between, f"{_percent(interval.get('level')) or 95.0:.0f}% interval"


def _per_class(classes: Sequence[Any]) -> tuple[tuple[str, float | None], ...]:
    """Best first; a class that never occurs has no precision and comes last."""
    found = [
        (
            plain(entry.get("label"), longest=_LONGEST),
            None
            if 0 in (entry.get("frames"), entry.get("activities"))
            else _percent(entry.get("average_precision")),
        )
        for entry in classes
        if isinstance(entry, dict)
    ]
    return tuple(sorted(found, key=lambda entry: math.inf if entry[1] is None else -entry[1]))


def _note(result: Mapping[str, Any], coverage: Mapping[str, Any], missing: int) -> str:
    sentences = []
    counts = [
        f"{result[name]:,} {name}" for name in ("videos", "frames") if _is_count(result.get(name))
    ]
    if counts:
        sentences.append(f"Over {' and '.join(counts)}.")
    if missing:
        sentences.append(f"{missing} of the videos have no predictions and count as score 0.")
    if short := len(_list(coverage, "short")):
        sentences.append(f"Left out for being too short: {short}.")
    if unknown := len(_list(coverage, "unknown")):
        sentences.append(f"Predictions of videos that are not in this subset, not used: {unknown}.")
    return " ".join(sentences)


def _percent(value: Any) -> float | None:
    """A finite number times 100; None for anything else."""
    if not is_number(value) or abs(value) > _LARGEST:
        return None
    return 100.0 * value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and is_number(value) and 0 <= value < _LARGEST


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def _mapping(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = mapping.get(name)
    return value if isinstance(value, dict) else {}


def _list(mapping: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = mapping.get(name)
    return value if isinstance(value, list) else []
