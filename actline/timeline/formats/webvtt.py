"""WebVTT subtitles, which any player shows, with one cue per activity."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from actline.errors import PredictionError
from actline.parsing import brief
from actline.stored.text import read_text
from actline.timeline import Activity, Timeline
from actline.timeline.formats.format import Format, Results, Use, results_of_one_video
from actline.timeline.formats.written import milliseconds, one_line

_ARROW = "-->"
_CLOCK = r"(?:(\d{2,9}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMES = re.compile(rf"[ \t]*{_CLOCK}[ \t]+-->[ \t]+{_CLOCK}(?:[ \t].*)?")
_TAG = re.compile(r"<[^>]*>")
_CONFIDENCE = re.compile(r"(.*?) ?\((\d{1,3})%\)")


def to_webvtt(timeline: Timeline) -> str:
    """The activities as subtitles: one cue each, so that players stack simultaneous ones.

    A cue's text is one line, `label (87%)`.
    """
    cues = ["WEBVTT\n"]
    for number, activity in enumerate(sorted(timeline.activities, key=milliseconds), start=1):
        start, end = milliseconds(activity)
        text = f"{_escape(one_line(activity.label))} ({activity.confidence:.0%})"
        cues.append(f"{number}\n{_clock(start)} --> {_clock(end)}\n{text}\n")
    return "\n".join(cues)


def read_webvtt(path: Path, use: Use) -> Results:
    """Read cues as activities of the video the file is named after.

    Tags are dropped; a percentage in brackets at the end is the confidence, which is otherwise 1.
    Comments, styles and regions are skipped.

    Raises:
        PredictionError: a cue's times are malformed, or the file is not text.
    """
    text = read_text(path, error=PredictionError, what="subtitles")
    return results_of_one_video(path, _cues(text, path, use))


def _cues(text: str, path: Path, use: Use) -> Iterator[Activity]:
    lines = [*re.split(r"\r\n|\r|\n", text), ""]
    times: tuple[float, float] | None = None
    words: list[str] = []
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        if times is None and _ARROW in line:
            # Text before the times is the cue's identifier.
            times, words = _parse_times(line, where), []
        elif line:
            words.append(line)
        else:
            if times is not None:
                yield _activity(" ".join(words), *times, where, use)
            times, words = None, []


def _parse_times(line: str, where: str) -> tuple[float, float]:
    match = _TIMES.fullmatch(line)
    if match is None:
        raise PredictionError(f"{where}: {brief(line)} is not 00:01.500 --> 00:04.000")
    return _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])


def _seconds(hours: str | None, minutes: str, seconds: str, thousandths: str) -> float:
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + int(thousandths) / 1000


def _activity(text: str, start: float, end: float, where: str, use: Use) -> Activity:
    label, confidence = html.unescape(_TAG.sub("", text)), 1.0
    if match := _CONFIDENCE.fullmatch(label):
        label, confidence = match[1], int(match[2]) / 100
    return Activity(use.label(label, where), start, end, confidence)


def _clock(time: int) -> str:
    """Milliseconds as `HH:MM:SS.mmm`; hours may have more digits."""
    seconds, thousandths = divmod(time, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{thousandths:03d}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


FORMAT = Format(
    name="WebVTT",
    endings=(".vtt",),
    recognizes=lambda text: re.match(r"WEBVTT(?:[ \t\r\n]|$)", text) is not None,
    read=read_webvtt,
    write=to_webvtt,
)
