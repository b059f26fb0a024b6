"""ELAN annotation documents (EAF 3.0), with one tier per class."""

from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from xml.etree import ElementTree

from actline.errors import PredictionError
from actline.stored.text import read_text
from actline.timeline import Activity, Timeline
from actline.timeline.formats.format import Format, Results, Use, results_of_one_video
from actline.timeline.formats.written import by_start, milliseconds, one_line, printable

Span = tuple[int, int]
"""Start and end in milliseconds."""
Tier = tuple[str, str, list[Span]]
"""Name, label, and spans that do not overlap."""
_ROOT = "ANNOTATION_DOCUMENT"
_ALIGNED = "ALIGNABLE_ANNOTATION"


def to_elan(timeline: Timeline) -> str:
    """The activities as an ELAN document, which opens the timeline's media with them.

    Annotations of one tier cannot overlap in ELAN: overlapping activities of a class go to
    further tiers, named `label (2)` and so on. Times are whole milliseconds, at least one long.
    """
    root = ElementTree.Element(
        _ROOT,
        {
            "AUTHOR": "actline",
            # The schema requires a date; with a constant, equal timelines give equal files.
            "DATE": "1970-01-01T00:00:00+00:00",
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
        },
    )
    tiers = _tiers(timeline)
    spans = [span for _, _, layer in tiers for span in layer]
    _add_header(root, timeline.media, annotations=len(spans))
    slots = _add_times(root, spans)
    _add_tiers(root, tiers, slots)
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


def _add_header(root: ElementTree.Element, media: Path | None, *, annotations: int) -> None:
    header = ElementTree.SubElement(
        root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
    )
    if media is not None:
        file = media.absolute()
        ElementTree.SubElement(
            header,
            "MEDIA_DESCRIPTOR",
            {"MEDIA_URL": file.as_uri(), "MIME_TYPE": _mime_type(file)},
        )
    last = ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(annotations)


def _add_times(root: ElementTree.Element, spans: list[Span]) -> dict[tuple[int, int], str]:
    """Write the time slots; return their ids by the span's number (from 1) and side."""
    # Every annotation has its own slots: ELAN would move a shared one for both.
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
    return slots


def _add_tiers(
    root: ElementTree.Element, tiers: list[Tier], slots: dict[tuple[int, int], str]
) -> None:
    numbers = count(1)
    for name, label, layer in tiers:
        tier = ElementTree.SubElement(
            root, "TIER", {"LINGUISTIC_TYPE_REF": "activity", "TIER_ID": name}
        )
        for _, number in zip(layer, numbers, strict=False):
            annotation = ElementTree.SubElement(
                ElementTree.SubElement(tier, "ANNOTATION"),
                _ALIGNED,
                {
                    "ANNOTATION_ID": f"a{number}",
                    "TIME_SLOT_REF1": slots[number, 0],
                    "TIME_SLOT_REF2": slots[number, 1],
                },
            )
            value = ElementTree.SubElement(annotation, "ANNOTATION_VALUE")
            # XML readers make every line ending a single newline; so do we.
            value.text = printable("\n".join(label.splitlines()), keep="\t\n")


def _tiers(timeline: Timeline) -> list[Tier]:
    by_label: dict[str, list[list[Span]]] = {}
    for activity in by_start(timeline.activities):
        span = milliseconds(activity)
        layers = by_label.setdefault(activity.label, [])
        for layer in layers:
            if layer[-1][1] <= span[0]:
                layer.append(span)
                break
        else:
            layers.append([span])
    tiers: dict[str, tuple[str, list[Span]]] = {}
    for label, layers in by_label.items():
        for layer in layers:
            wanted = one_line(label) or "(no name)"
            numbered = (f"{wanted} ({number})" for number in count(2))
            name = next(name for name in chain([wanted], numbered) if name not in tiers)
            tiers[name] = (label, layer)
    return [(name, *tier) for name, tier in tiers.items()]


def _mime_type(file: Path) -> str:
    """ELAN's names of media types; for an unknown one it inspects the file."""
    known = {".mp4": "video/mp4", ".mpg": "video/mpeg", ".mov": "video/quicktime"}
    return known.get(file.suffix.lower(), "unknown")


def read_elan(path: Path, use: Use) -> Results:
    """Read the annotations of all tiers as activities with confidence 1, ordered by start.

    The label is the annotation's value, or the tier's name if that is empty; the video is the one
    the file is named after. Annotations that refer to others have no times and are skipped.

    Raises:
        PredictionError, AnnotationError: it is not an ELAN document, or an annotation has no time.
    """
    text = read_text(path, error=PredictionError, what="annotations")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise PredictionError(
            f"{path} defines XML entities, which ELAN never writes; export it again"
        )
    try:
        root = ElementTree.fromstring(text)  # noqa: S314, entities are refused above
    except (ElementTree.ParseError, ValueError) as error:
        raise PredictionError(f"{path} is not whole XML ({error}); export it again") from error
    if root.tag != _ROOT:
        raise PredictionError(f"{path} is XML, but not an ELAN document; export it from ELAN")
    return results_of_one_video(path, by_start(_annotations(root, path, use)))


def _annotations(root: ElementTree.Element, path: Path, use: Use) -> Iterator[Activity]:
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    for tier in root.iter("TIER"):
        for annotation in tier.iter(_ALIGNED):
            where = f"{path}, annotation {annotation.get('ANNOTATION_ID')}"
            start, end = (
                _seconds(times.get(annotation.get(side)), where)
                for side in ("TIME_SLOT_REF1", "TIME_SLOT_REF2")
            )
            label = annotation.findtext("ANNOTATION_VALUE") or tier.get("TIER_ID", "")
            yield Activity(use.label(label, where), start, end)


def _seconds(given: str | None, where: str) -> float:
    if given is None or not (given.isascii() and given.isdecimal() and len(given) < 13):
        raise PredictionError(f"{where} has no time in milliseconds; align it in ELAN")
    return int(given) / 1000


FORMAT = Format(
    name="ELAN",
    endings=(".eaf",),
    recognizes=lambda text: f"<{_ROOT}" in text,
    read=read_elan,
    write=to_elan,
)
