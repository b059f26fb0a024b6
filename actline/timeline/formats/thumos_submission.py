"""Submissions to THUMOS-14's toolkit: lines `video start end class confidence`."""

import math
from pathlib import Path

from actline.errors import PredictionError
from actline.parsing import brief, parse_id, parse_name, parse_number, video_id_of
from actline.stored.text import text_lines
from actline.timeline import Activity
from actline.timeline.columns import SegmentCollector
from actline.timeline.formats.format import Format, Results, Use, parse_score

_WORDS = 5


def read_submission_lines(path: Path, use: Use) -> Results:
    """Read a submission line by line; classes are often the numbers of THUMOS-14's list.

    Raises:
        PredictionError, AnnotationError: a line is malformed.
    """
    collector = SegmentCollector()
    lines = text_lines(path, error=PredictionError, what="predictions")
    for line, words in enumerate((one.rsplit(maxsplit=4) for one in lines), 1):
        if not words:
            continue
        where = f"{path}, line {line}"
        if len(words) != _WORDS:
            raise PredictionError(
                f"{where}: {brief(' '.join(words))} is not a video, start, end, class and "
                "confidence"
            )
        label = parse_name(words[3], "class", where)
        start, end = parse_number(words[1], where), parse_number(words[2], where)
        segment = Activity(label, start, end, parse_score(words[4], where))
        collector.add(parse_id(video_id_of(words[0]), where), segment)
    return Results(collector.segments())


def _opens_with_a_line(text: str) -> bool:
    first = next(filter(None, map(str.strip, text.splitlines())), "")
    words = first.rsplit(maxsplit=4)
    if len(words) != _WORDS:
        return False
    try:
        return all(math.isfinite(float(words[place])) or place == _WORDS - 1 for place in (1, 2, 4))
    except ValueError:
        return False


FORMAT = Format(
    name="THUMOS-14 submission",
    endings=(".txt",),
    recognizes=_opens_with_a_line,
    read=read_submission_lines,
    role="results",
)
