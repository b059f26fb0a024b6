"""Tables of scores for a report, from what `actline evaluate --out` wrote."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actline.errors import PredictionError


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
    """

    title: str
    protocol: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]
    per_class: tuple[tuple[str, float | None], ...] = ()
    note: str = ""


def read_metrics(path: str | os.PathLike[str]) -> tuple[MetricsTable, ...]:
    """The table of a JSON file that `actline evaluate --out` wrote, or of each in a list of such.

    Raises:
        PredictionError: the file is missing, no JSON, lacks the score, or names no protocol: a
            score without one could be taken for another.
    """
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PredictionError(f"there is no {path}; name what `actline evaluate` wrote") from error
    except OSError as error:
        raise PredictionError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise PredictionError(f"{path} is no valid JSON: {error}") from error
    results = document if isinstance(document, list) else [document]
    if not results or not all(
        isinstance(result, dict)
        and isinstance(result.get("protocol"), str)
        and _percent(result.get("mean")) is not None
        for result in results
    ):
        raise PredictionError(
            f"{path} names no protocol with a mean; name what `actline evaluate --out` wrote"
        )
    return tuple(_table(path.stem, result) for result in results)


def _table(title: str, result: Mapping[str, Any]) -> MetricsTable:
    """One result as rows; all but `protocol` and `mean` may be missing, scores are in [0, 1]."""
    coverage = _mapping(result, "coverage")
    missing = len(_list(coverage, "missing"))
    interval = _mapping(result, "interval")
    low, high = _percent(interval.get("low")), _percent(interval.get("high"))
    between = f"{low:.1f} \N{EN DASH} {high:.1f}" if low is not None and high is not None else None
    level = _percent(interval.get("level")) or 95.0
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
        protocol=result["protocol"],
        columns=("", "mAP", f"{level:.0f}% interval") if between else ("", "mAP"),
        rows=tuple(row if between else row[:2] for row in rows),
        per_class=_per_class(_list(result, "classes")),
        note=_note(result, coverage, missing),
    )


def _per_class(classes: Sequence[Any]) -> tuple[tuple[str, float | None], ...]:
    """Best first; a class that never occurs has no precision and comes last."""
    found = [
        (
            str(entry.get("label")),
            None if entry.get("frames") == 0 else _percent(entry.get("average_precision")),
        )
        for entry in classes
        if isinstance(entry, dict)
    ]
    return tuple(sorted(found, key=lambda entry: math.inf if entry[1] is None else -entry[1]))


def _note(result: Mapping[str, Any], coverage: Mapping[str, Any], missing: int) -> str:
    sentences = []
    counts = [
        f"{result[name]:,} {name}"
        for name in ("videos", "frames")
        if isinstance(result.get(name), int)
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
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return 100.0 * value


def _mapping(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = mapping.get(name)
    return value if isinstance(value, dict) else {}


def _list(mapping: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = mapping.get(name)
    return value if isinstance(value, list) else []
