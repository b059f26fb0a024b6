"""A timeline as files: JSON, CSV, WebVTT, Audacity labels, ELAN and NumPy arrays.

JSON and `.npz` keep everything a reader needs; CSV keeps the activities; WebVTT, Audacity and
ELAN show them in players and annotation programs. `actline.timeline.reading` reads them back.
Times are seconds, written to the microsecond or, where the format counts them, the millisecond.
"""

import json
import os
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from actline.errors import OutputError
from actline.files import write_text, written_whole
from actline.names import output_path
from actline.plain import plain
from actline.stored.csv_text import spreadsheet_safe
from actline.timeline import Activity, Timeline
from actline.timeline.reading import (
    load_folder,
    load_scores,
    load_timeline,
    load_timelines,
    load_with_scores,
)

__all__ = [
    "FORMATS",
    "load_folder",
    "load_scores",
    "load_timeline",
    "load_timelines",
    "load_with_scores",
    "parse_formats",
    "save",
    "to_audacity",
    "to_csv",
    "to_elan",
    "to_json",
    "to_webvtt",
]

FORMATS = ("json", "csv", "vtt", "txt", "eaf", "npz")
"""What `save` can write, by file ending."""


def save(
    timeline: Timeline,
    folder: str | os.PathLike[str],
    *,
    formats: Sequence[str] = FORMATS,
    media: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Write `folder/ID.json`, `.csv`, `.vtt`, `.txt`, `.eaf` and `.npz`, each whole.

    An id with folders, such as `camA/GOPR0001`, is written into folders below.

    Args:
        formats: which of `FORMATS` to write, in this order.
        media: the video file, for ELAN to open beside the labels.

    Returns:
        The written files. Where interrupted, the last of `formats` is what is missing, so that
        its presence tells that the video is done.

    Raises:
        OutputError: a file cannot be written, or the video's id is no file name.
        ValueError: a format is not one of `FORMATS`.
    """
    written = []
    for ending in formats:
        path = output_path(folder, timeline.video, f".{ending}")
        match ending:
            case "json":
                write_text(path, to_json(timeline))
            case "csv":
                write_text(path, to_csv(timeline))
            case "vtt":
                write_text(path, to_webvtt(timeline))
            case "txt":
                write_text(path, to_audacity(timeline))
            case "eaf":
                write_text(path, to_elan(timeline, media=media))
            case "npz":
                _save_arrays(timeline, path)
            case _:
                raise ValueError(f'unknown format "{ending}"; choose from {", ".join(FORMATS)}')
        written.append(path)
    return written


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats in a list such as `json,npz`, each once.

    Raises:
        OutputError: none is named, or one is not of `FORMATS`.
    """
    formats = tuple(dict.fromkeys(word.strip(" .").lower() for word in text.split(",")))
    for name in formats:
        if name not in FORMATS:
            raise OutputError(f'unknown format "{name}"; choose from {",".join(FORMATS)}')
    return formats


def to_json(timeline: Timeline) -> str:
    """The activities in ActivityNet's form of predictions; the duration is in `external_data`."""
    activities = [
        {
            "label": activity.label,
            "score": _score(activity.confidence),
            "segment": [_seconds(activity.start), _seconds(activity.end)],
        }
        for activity in _in_order(timeline.activities)
    ]
    document = {
        "version": "actline 1",
        "results": {timeline.video: activities},
        "external_data": {"durations": {timeline.video: _seconds(timeline.duration)}},
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(timeline: Timeline) -> str:
    """The activities as a table `video,label,start,end,confidence` that spreadsheets open safely.

    Text that a spreadsheet would run as a formula has a `'` before it: see `spreadsheet_safe`.
    """
    lines = ["video,label,start,end,confidence"]
    for activity in _in_order(timeline.activities):
        fields = [
            _csv_field(spreadsheet_safe(timeline.video)),
            _csv_field(spreadsheet_safe(activity.label)),
            repr(_seconds(activity.start)),
            repr(_seconds(activity.end)),
            repr(_score(activity.confidence)),
        ]
        lines.append(",".join(fields))
    return "\n".join(lines) + "\n"


def to_webvtt(timeline: Timeline) -> str:
    """The activities as subtitles: one cue each, so that players stack simultaneous ones.

    A cue's text is one line, `label (87%)`.
    """
    cues = ["WEBVTT\n"]
    for number, activity in enumerate(sorted(timeline.activities, key=_milliseconds), start=1):
        start, end = _milliseconds(activity)
        text = f"{_escape(_one_line(activity.label))} ({activity.confidence:.0%})"
        cues.append(f"{number}\n{_clock(start)} --> {_clock(end)}\n{text}\n")
    return "\n".join(cues)


def to_audacity(timeline: Timeline) -> str:
    """The activities as a label track: start, end and label, separated by tabs."""
    return "".join(
        f"{activity.start:.6f}\t{activity.end:.6f}\t{_one_line(activity.label)}\n"
        for activity in _in_order(timeline.activities)
    )


def to_elan(timeline: Timeline, *, media: str | os.PathLike[str] | None = None) -> str:
    """The activities as an ELAN document (EAF 3.0), one tier for each class.

    Annotations of one tier cannot overlap in ELAN: overlapping activities of a class go to
    further tiers, named `label (2)` and so on. Times are whole milliseconds, at least one long.

    Args:
        media: the video file, which ELAN then opens beside the labels.
    """
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "actline",
            # The schema asks for a date; a constant keeps equal timelines equal files.
            "DATE": "1970-01-01T00:00:00+00:00",
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    header = ElementTree.SubElement(
        root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    )
    if media is not None:
        file = Path(media).absolute()
        ElementTree.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            {"MEDIA_URL": file.as_uri(), "MIME_TYPE": _mime_type(file)},
        )
    tiers = _tiers(timeline)
    spans = [span for _, _, layer in tiers for span in layer]
    last = ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(len(spans))
    # Every annotation has slots of its own: ELAN would move a shared one for both.
    bounds = sorted(
        (time, number, side)
        for number, span in enumerate(spans, start=1)
        for side, time in enumerate(span)
    )
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots: dict[tuple[int, int], str] = {}
    for time, number, side in bounds:
        slot = slots[number, side] = f"ts{len(slots) + 1}"
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": slot, "TIME_VALUE": str(time)})
    number = 0
    for name, label, layer in tiers:
        tier = ElementTree.SubElement(
            root, "TIER", {"LINGUISTIC_TYPE_REF": "activity", "TIER_ID": name}
        )
        for _ in layer:
            number += 1
            holder = ElementTree.SubElement(tier, "ANNOTATION")
            annotation = ElementTree.SubElement(
                holder,
                "ALIGNABLE_ANNOTATION",
                {
                    "ANNOTATION_ID": f"a{number}",
                    "TIME_SLOT_REF1": slots[number, 0],
                    "TIME_SLOT_REF2": slots[number, 1],
                },
            )
            value = ElementTree.SubElement(annotation, "ANNOTATION_VALUE")
            # XML readers make every line ending a single newline; so do we.
            value.text = _printable("\n".join(label.splitlines()), keep="\t\n")
    ElementTree.SubElement(
        root,
        "LINGUISTIC_TYPE",
        {
            "GRAPHIC_REFERENCES": "false",
            "LINGUISTIC_TYPE_ID": "activity",
            "TIME_ALIGNABLE": "true",
        },
    )
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _save_arrays(timeline: Timeline, path: Path) -> None:
    """Write the arrays of the scores, the sampled times and the activities; no pickles.

    Shape:
        times (T,), probabilities (T, C), classes (C,), sampled (P,), duration () and video ();
        labels (N,), segments (N, 2), confidences (N,). T, C, P and N may be 0.
    """
    scores, activities = timeline.scores, _in_order(timeline.activities)
    with written_whole(path) as aside:
        np.savez_compressed(
            aside,
            times=np.zeros(0) if scores is None else np.asarray(scores.times, np.float64),
            probabilities=np.zeros((0, 0), np.float32)
            if scores is None
            else np.asarray(scores.probabilities, np.float32),
            classes=np.array([] if scores is None else scores.classes, dtype=np.str_),
            duration=np.float64(timeline.duration),
            sampled=np.zeros(0)
            if timeline.sampled is None
            else np.asarray(timeline.sampled, np.float64),
            video=np.str_(timeline.video),
            labels=np.array([activity.label for activity in activities], dtype=np.str_),
            segments=np.array(
                [(activity.start, activity.end) for activity in activities], np.float64
            ).reshape(-1, 2),
            confidences=np.array([activity.confidence for activity in activities], np.float64),
        )


def _in_order(activities: Iterable[Activity]) -> list[Activity]:
    return sorted(activities, key=lambda activity: (activity.start, activity.end))


def _seconds(value: float) -> float:
    """To the microsecond: no video needs more, and 0.1 + 0.2 reads as 0.3."""
    return round(float(value), 6)


def _score(value: float) -> float:
    """To nine significant digits: what a float32 holds, so that no ranking changes."""
    return float(f"{value:.9g}")


def _milliseconds(activity: Activity) -> tuple[int, int]:
    start = max(0, round(activity.start * 1000))
    return start, max(start + 1, round(activity.end * 1000))


def _clock(milliseconds: int) -> str:
    """WebVTT's `HH:MM:SS.mmm`; hours may have more digits."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{thousandths:03d}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _csv_field(text: str) -> str:
    # Not the csv module's writer: before Python 3.13 it leaves a lone carriage return unquoted
    # unless lines end in one.
    if text.strip() != text or any(character in text for character in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


def _one_line(text: str) -> str:
    """Line breaks and runs of white space become one space: these formats end at a line's end."""
    return _printable(" ".join(text.split()))


def _printable(text: str, *, keep: Collection[str] = "") -> str:
    """Characters that XML 1.0 and text tracks do not allow, or that turn text around, escaped."""
    return "".join(character if character in keep else plain(character) for character in text)


def _tiers(timeline: Timeline) -> list[tuple[str, str, list[tuple[int, int]]]]:
    """Name, label and non-overlapping spans (milliseconds) of every tier."""
    by_label: dict[str, list[list[tuple[int, int]]]] = {}
    for activity in _in_order(timeline.activities):
        span = _milliseconds(activity)
        layers = by_label.setdefault(activity.label, [])
        for layer in layers:
            if layer[-1][1] <= span[0]:
                layer.append(span)
                break
        else:
            layers.append([span])
    tiers: dict[str, tuple[str, list[tuple[int, int]]]] = {}
    for label, layers in by_label.items():
        for layer in layers:
            wanted = _one_line(label) or "(no name)"
            numbered = (f"{wanted} ({number})" for number in count(2))
            name = next(name for name in chain([wanted], numbered) if name not in tiers)
            tiers[name] = (label, layer)
    return [(name, *tier) for name, tier in tiers.items()]


def _mime_type(file: Path) -> str:
    """ELAN's own names for media; it looks at the file where the name is not known."""
    known = {".mp4": "video/mp4", ".mpg": "video/mpeg", ".mov": "video/quicktime"}
    return known.get(file.suffix.lower(), "unknown")
