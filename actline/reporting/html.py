"""The report: one self-contained page with the video, its timeline and the scores."""

import base64
import hashlib
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from actline.errors import PredictionError
from actline.files import write_text
from actline.plain import plain
from actline.progress import progress
from actline.reporting.media import (
    MOST_EMBEDDED_TOGETHER,
    Failed,
    Frame,
    Media,
    frames_of,
    media_of,
)
from actline.reporting.metrics import MetricsTable
from actline.reporting.rows import rows_of
from actline.timeline import Activity, FrameScores, Timeline

_SCRIPTS = ("state.js", "lanes.js", "curve.js", "moment.js", "events.js")
_MOST_VALUES = 4_000_000  # of all curves of a video, a byte each in the page
_MOST_POINTS = 4000  # of a curve in the page; more is beyond any screen's width


class ReportedVideo(NamedTuple):
    """One video of a report: what was found in it, its file, and what truly happens."""

    timeline: Timeline
    video: Path | None = None
    truth: tuple[Activity, ...] | None = None


def write_report(
    out: str | os.PathLike[str],
    *,
    timelines: Sequence[tuple[Timeline, Path | None, tuple[Activity, ...] | None]],
    metrics: Sequence[MetricsTable] = (),
    embed_video: bool = True,
    title: str = "What happens, and when",
    failed: Failed = lambda video, error: None,
) -> Path:
    """Write a page that shows videos next to their timelines; it needs nothing but a browser.

    Args:
        timelines: each video's timeline, file and true activities, the last two or None; see
            `ReportedVideo`.
        metrics: tables to show under the timelines.
        embed_video: put the files into the page; large and unplayable ones are linked anyway.
        title: the page's heading.
        failed: called for each video that exists but cannot be shown; the page says so too.

    Raises:
        PredictionError: there is no timeline.
        OutputError: the page cannot be written.
    """
    out = Path(out)
    if not timelines:
        raise PredictionError(f"there are no predictions to show in {out}")
    videos, media = [], []
    room = MOST_EMBEDDED_TOGETHER
    with progress("writing the report", total=len(timelines), unit="videos") as advance:
        for timeline, video, truth in timelines:
            try:
                if video is None:
                    shown, frames = Media(note="The video's file is not at hand."), ()
                else:
                    shown, frames = _seen(
                        Path(video), timeline, out, embed=embed_video, room=room, failed=failed
                    )
                data = _page_data(timeline, truth, shown, frames)
            except Exception as error:  # whatever is wrong with one video, the others are shown
                failed(Path(video or timeline.video), error)
                continue
            room -= shown.bytes
            media.append(shown.data)
            videos.append(data)
            advance(1, timeline.video)
    if not videos:
        raise PredictionError(f"no video can be shown in {out}; nothing is written")
    write_text(out, _render(title, videos, media, metrics))
    return out


def _seen(
    video: Path, timeline: Timeline, out: Path, *, embed: bool, room: int, failed: Failed
) -> tuple[Media, tuple[Frame, ...]]:
    """How the page shows a video, and frames of it; a failure is reported once."""
    told = []

    def tell(path: Path, error: Exception) -> None:
        if not told:
            failed(path, error)
        told.append(error)

    media = media_of(video, out, embed=embed, room=room, failed=tell)
    return media, frames_of(video, timeline, failed=tell)


def _render(
    title: str, videos: list[dict[str, Any]], media: list[str], metrics: Sequence[MetricsTable]
) -> str:
    from actline import __version__

    folder = files("actline.reporting")
    template, style, *scripts = (
        folder.joinpath(name).read_text(encoding="utf-8")
        for name in ("template.html", "style.css", *_SCRIPTS)
    )
    # A block keeps the scripts' names to themselves.
    script = "\n".join(['"use strict";', "{", *scripts, "}"])
    environment = Environment(
        loader=DictLoader({"template.html": template}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template("template.html").render(
        title=plain(title),
        # Files of this package, which hold nothing of an input.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=digest,
        videos=videos,
        media=media,
        metrics=metrics,
        version=__version__,
    )


def _page_data(
    timeline: Timeline,
    truth: tuple[Activity, ...] | None,
    media: Media,
    frames: Sequence[Frame],
) -> dict[str, Any]:
    """What the page's script reads of one video; times in seconds to the millisecond."""
    predicted: dict[str, list[tuple[float, float, float]]] = {}
    for a in timeline.activities:
        found = (_ms(a.start), _ms(a.end), round(a.confidence, 4))
        predicted.setdefault(a.label, []).append(found)
    true: dict[str, list[tuple[float, float]]] = {}
    for a in truth or ():
        true.setdefault(a.label, []).append((_ms(a.start), _ms(a.end)))
    rows = [
        {
            "label": plain(label),
            "predicted": predicted.get(label, []),
            "truth": true.get(label, []),
        }
        for label in rows_of(timeline, truth, None)
    ]
    ends = [a.end for a in (*timeline.activities, *(truth or ()))]
    sampled = timeline.sampled
    return {
        "id": plain(timeline.video),
        "duration": _ms(max([timeline.duration, *ends]) or 1.0),
        "link": media.link,
        "note": plain(media.note),
        "hasTruth": truth is not None,
        "rows": rows,
        "curves": None if timeline.scores is None else _curves(timeline.scores),
        "sampled": [] if sampled is None else [_ms(time) for time in np.sort(sampled)],
        "frames": [(_ms(frame.time), frame.image) for frame in frames],
    }


def _curves(scores: FrameScores) -> dict[str, Any] | None:
    """Curves of the classes, in steps of 1/255, longer ones pooled by their largest values."""
    count = len(scores.times)
    if not count or not scores.classes:
        return None
    pool = -(-count // _MOST_POINTS)
    starts = np.arange(0, count, pool)
    # Of thousands of classes the most probable, in their order.
    kept = max(1, _MOST_VALUES // len(starts))
    likely = np.argsort(-scores.probabilities.max(axis=0), kind="stable")[:kept]
    columns = np.sort(likely)
    values = np.maximum.reduceat(scores.probabilities[:, columns], starts, axis=0)
    bytes_ = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return {
        "classes": [plain(scores.classes[column]) for column in columns],
        "times": [_ms(time) for time in scores.times[starts]],
        # (C, T), so that a class's curve is one slice.
        "values": base64.b64encode(np.ascontiguousarray(bytes_.T).tobytes()).decode("ascii"),
    }


def _ms(seconds: float) -> float:
    return round(float(seconds), 3)


def _figure(value: str | float | None) -> str:
    """A table's cell as text."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "\N{EN DASH}"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)
