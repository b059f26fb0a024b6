"""The formats of timelines, one file per format, collected in `FORMATS`.

JSON and `.npz` keep everything a reader needs; CSV keeps the activities; WebVTT, Audacity and
ELAN show them in players and annotation programs. Times are seconds, written to the microsecond, or
to the millisecond if the format uses these.
"""

from actline.timeline.formats import (
    audacity,
    elan,
    frame_scores,
    results_csv,
    results_json,
    thumos_submission,
    webvtt,
)
from actline.timeline.formats.format import Format

FORMATS: tuple[Format, ...] = (
    results_json.FORMAT,
    results_csv.FORMAT,
    webvtt.FORMAT,
    audacity.FORMAT,
    elan.FORMAT,
    frame_scores.FORMAT,
    thumos_submission.FORMAT,
)
"""In the order in which they are tried on a file's content, and in which `save_formats` writes."""
