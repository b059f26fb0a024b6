"""`actline evaluate` of segments and proposals: scores, tables and the results' JSON."""

import argparse
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from actline.annotations.annotations import Annotations
from actline.cli.score_tables import counted, named, print_table, write_csv
from actline.cli.standard import say
from actline.evaluation import detection_errors as errors
from actline.evaluation import proposals, segments
from actline.evaluation.bootstrap import Interval
from actline.evaluation.predictions import (
    Segments,
    choose_segments,
    unit_hint,
    with_class_names,
)
from actline.evaluation.segment_intervals import bootstrap_segment_precision
from actline.files import write_text
from actline.timeline.read import read_segments

_PROPOSALS = {"proposals": proposals.ACTIVITYNET, "proposals-thumos": proposals.THUMOS}
# HACS has no analysis of its own; its videos are as ActivityNet's.
_DIAGNOSES = {
    "activitynet": errors.ACTIVITYNET,
    "hacs": replace(
        errors.ACTIVITYNET, name="DETAD, HACS in ActivityNet's buckets, tIoU 0.5:0.05:0.95"
    ),
}
_REPORTED = (0.5, 0.75, 0.95)


def score_segments(
    arguments: argparse.Namespace,
    annotations: Annotations,
    elsewhere: Collection[str],
    *,
    other: Annotations | None,
    told: str | None,
) -> None:
    """Mean average precision at temporal IoU thresholds, and what the detections get wrong.

    Args:
        elsewhere: ids of annotated videos that are not scored.
        other: the annotations with or without falsely annotated videos, the other way round.
        told: words about those, before the score that the other way gives.
    """
    results = with_class_names(read_segments(arguments.predictions), annotations)
    chosen = choose_segments(results, annotations, elsewhere=elsewhere)
    protocol = segments.PROTOCOLS[arguments.protocol]
    score = segments.detection_average_precision(annotations, chosen.found, protocol)
    rest = _available(annotations, score.missing)
    available = rest and (
        segments.detection_average_precision(rest, chosen.found, protocol)
        if score.missing
        else score
    )
    interval = None
    if arguments.bootstrap:
        interval = bootstrap_segment_precision(
            annotations, chosen.found, protocol, draws=arguments.bootstrap
        )
    name = f"per-segment mAP ({arguments.protocol}, {_thresholds_of(protocol.name)})"
    diagnosis = None
    if arguments.errors:
        diagnosis = errors.diagnose(
            annotations, chosen.found, _DIAGNOSES.get(arguments.protocol, errors.THUMOS)
        )

    header, rows = _class_table(score)
    print_table(
        f"{name}, per class: average over tIoU",
        ("class", "AP", "true segments"),
        [(row[0], row[1], row[-1]) for row in rows],
    )
    # Of ActivityNet's ten thresholds three are reported, of fewer all.
    columns = [
        column
        for column, threshold in enumerate(score.thresholds)
        if len(score.thresholds) < 10 or round(threshold, 2) in _REPORTED
    ]
    table = [(_all(score.videos), *score.mean[columns].tolist(), score.average)]
    if available is not None and score.missing:
        row = (_rest(available.videos), *available.mean[columns].tolist(), available.average)
        table.append(row)
    print_table(
        f"{name}: mAP at tIoU, and average",
        ("", *(f"{score.thresholds[column]:.2f}" for column in columns), "average"),
        table,
    )
    say(f"protocol: {name}")
    true = counted(int(score.activities.sum()), "true segment")
    say(f"{_all(score.videos)}, {true}: average mAP {100 * score.average:.2f}")
    _show_interval(interval)
    _show_missing(score.missing, "average mAP", None if available is None else available.average)
    if other is not None:
        found = choose_segments(results, other, elsewhere=elsewhere).found
        average = segments.detection_average_precision(other, found, protocol).average
        say(f"{told}: average mAP {100 * average:.2f}")
    _show_misfits(
        annotations,
        chosen,
        unknown="wrong, as in the published evaluator",
        backward="taken in either order, as the toolkit does"
        if protocol.matching == "activities first"
        else "wrong, as in the published evaluator, but on the very same segment forwards",
    )
    if diagnosis is not None:
        _show_errors(diagnosis)

    if arguments.out:
        document = {
            "protocol": name,
            "kind": "segments",
            "mean": score.average,
            "mean_available": None if available is None else available.average,
            "interval": None if interval is None else asdict(interval),
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
                for row in rows
            ],
            "coverage": _coverage(chosen, len(annotations.videos), score.missing),
            "errors": None if diagnosis is None else _diagnosis_document(diagnosis),
        }
        _write_json(arguments.out, document)
    if arguments.csv:
        write_csv(arguments.csv, (header[0], f"AP, {name}", *header[2:]), rows)


def score_proposals(
    arguments: argparse.Namespace,
    annotations: Annotations,
    elsewhere: Collection[str],
    *,
    other: Annotations | None,
    told: str | None,
) -> None:
    """Average recall over the average number of proposals; arguments as of `score_segments`."""
    results = read_segments(arguments.predictions, labelled=False)
    chosen = choose_segments(results, annotations, elsewhere=elsewhere, labelled=False)
    protocol = _PROPOSALS[arguments.protocol]
    score = proposals.average_recall(annotations, chosen.found, protocol)
    rest = _available(annotations, score.missing)
    available = rest and (
        proposals.average_recall(rest, chosen.found, protocol) if score.missing else score
    )
    name = f"AR@AN ({arguments.protocol}, {_thresholds_of(protocol.name)})"

    table = [(_all(score.videos), *score.at.values(), score.area / 100)]
    if available is not None and score.missing:
        table.append((_rest(available.videos), *available.at.values(), available.area / 100))
    print_table(
        f"{name}: average recall and the area under its curve",
        ("", *(f"AR@{number}" for number in score.at), "AUC"),
        table,
    )
    say(f"protocol: {name}")
    say(
        f"{_all(score.videos)} with {counted(score.activities, 'true segment')}, "
        f"{score.proposals_per_video:.1f} proposals a video: AUC {score.area:.2f}"
    )
    _show_missing(score.missing, "AUC", None if available is None else available.area / 100)
    if other is not None:
        found = choose_segments(results, other, elsewhere=elsewhere, labelled=False).found
        area = proposals.average_recall(other, found, protocol).area
        say(f"{told}: AUC {area:.2f}")
    _show_misfits(
        annotations,
        chosen,
        unknown="counted in the number of proposals, as published, and nothing else",
        backward="wrong, as they overlap nothing",
    )

    curve = score.average_recall.tolist()
    numbers = score.average_numbers.tolist()
    if arguments.out:
        document = {
            "protocol": name,
            "kind": "proposals",
            "average_recall": {str(number): recall for number, recall in score.at.items()},
            "average_recall_available": None
            if available is None
            else {str(number): recall for number, recall in available.at.items()},
            "area": score.area / 100,
            "area_available": None if available is None else available.area / 100,
            "thresholds": list(score.thresholds),
            "curve": {"average_number": numbers, "average_recall": curve},
            "videos": score.videos,
            "activities": score.activities,
            "proposals_per_video": score.proposals_per_video,
            "coverage": _coverage(chosen, len(annotations.videos), score.missing),
        }
        _write_json(arguments.out, document)
    if arguments.csv:
        header = ("AN", name, *(f"recall at tIoU {t:.2f}" for t in score.thresholds))
        rows = zip(numbers, curve, *score.recall.tolist(), strict=True)
        write_csv(arguments.csv, header, list(rows))


def _class_table(
    score: segments.SegmentScore,
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """A row for each class: its average over thresholds, at each of them, and its activities."""
    header = ("class", "AP", *(f"AP at tIoU {t:.2f}" for t in score.thresholds), "activities")
    average = score.per_class.mean(axis=0)
    rows = [
        (label, float(average[c]), *score.per_class[:, c].tolist(), int(score.activities[c]))
        for c, label in enumerate(score.classes)
    ]
    return header, rows


def _thresholds_of(name: str) -> str:
    """`tIoU 0.5:0.05:0.95`, as the protocol's name has them."""
    return name[name.index("tIoU") :]


def _available(annotations: Annotations, missing: Collection[str]) -> Annotations | None:
    """The videos that are not missing; None where those have no activity to score."""
    gone = set(missing)
    kept = tuple(video for video in annotations.videos if video.id not in gone)
    return replace(annotations, videos=kept) if any(video.activities for video in kept) else None


def _all(videos: int) -> str:
    return f"all {counted(videos, 'video')}"


def _rest(videos: int) -> str:
    return f"{counted(videos, 'available video')}"


def _show_interval(interval: Interval | None) -> None:
    if interval is not None:
        low, high = 100 * interval.low, 100 * interval.high
        say(
            f"95 % interval over videos ({interval.draws} bootstrap draws): {low:.2f} to {high:.2f}"
        )


def _show_missing(missing: tuple[str, ...], what: str, available: float | None) -> None:
    if not missing:
        return
    rest = "no true segments" if available is None else f"{what} {100 * available:.2f}"
    say(
        f"{counted(len(missing), 'video')} with true segments but without predictions "
        f"({named(missing)}): all of these segments count as missed; over those available: {rest}"
    )


def _show_misfits(
    annotations: Annotations, chosen: Segments, *, unknown: str, backward: str
) -> None:
    """Say what does not fit the annotations, and how it was dealt with."""
    ends = {video: float(one.end.max()) for video, one in chosen.found.items() if len(one)}
    hint = unit_hint(annotations, ends)
    if hint is not None:
        say(f"hint: {hint}")
    if chosen.elsewhere:
        say(
            f"{counted(chosen.elsewhere_predictions, 'prediction')} of "
            f"{counted(len(chosen.elsewhere), 'video')} of other subsets, or left out "
            f"({named(chosen.elsewhere)}): not used"
        )
    if chosen.unknown:
        say(
            f"{counted(chosen.unknown_predictions, 'prediction')} of "
            f"{counted(len(chosen.unknown), 'video')} that ANNOTATIONS does not have "
            f"({named(chosen.unknown)}): {unknown}"
        )
    if chosen.unknown_classes:
        say(
            f"{counted(sum(chosen.unknown_classes.values()), 'prediction')} of classes that are "
            f"not annotated ({named(tuple(chosen.unknown_classes))}): not used"
        )
    if chosen.backward_predictions:
        say(
            f"{counted(chosen.backward_predictions, 'prediction')} with an end before the start: "
            f"{backward}"
        )


def _show_errors(diagnosis: errors.Diagnosis) -> None:
    name = diagnosis.protocol
    if diagnosis.left_out:
        say(
            f"{counted(diagnosis.left_out, 'true segment')} without length or longer than the "
            "video: left out of the error analysis, as published"
        )
    say("")
    say(f"error analysis: {name}; average mAP_N {100 * diagnosis.normalized:.2f}")
    print_table(f"{name}: false positives", *diagnosis.impact_table())
    print_table(
        f"{name}: parts of the highest scores, as many at a time as there are true segments (G)",
        *diagnosis.profile_table(),
    )
    print_table(f"{name}: sensitivity", *diagnosis.sensitivity_table())


def _diagnosis_document(diagnosis: errors.Diagnosis) -> dict[str, Any]:
    return {
        "protocol": diagnosis.protocol,
        "normalized": diagnosis.normalized,
        "impacts": [{**asdict(row), "kind": str(row.kind)} for row in diagnosis.impacts],
        "profile": {
            "kinds": ["right", *(str(kind) for kind in errors.KINDS)],
            "parts": diagnosis.profile.tolist(),
        },
        "sensitivity": [asdict(row) for row in diagnosis.sensitivity],
    }


def _coverage(chosen: Segments, annotated: int, missing: tuple[str, ...]) -> dict[str, Any]:
    return {
        "annotated": annotated,
        "missing": list(missing),
        "elsewhere": list(chosen.elsewhere),
        "elsewhere_predictions": chosen.elsewhere_predictions,
        "unknown": list(chosen.unknown),
        "unknown_predictions": chosen.unknown_predictions,
        "unknown_classes": dict(chosen.unknown_classes),
        "backward_predictions": chosen.backward_predictions,
    }


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(_finite(document), indent=1, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """The value with null where a number is not one: JSON knows no NaN."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
