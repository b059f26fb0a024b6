"""A timeline as a picture: one row for each class, predicted above true, as PNG or SVG."""

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from actline.errors import OutputError
from actline.files import written_whole
from actline.plain import plain
from actline.reporting.rows import rows_of
from actline.timeline import Activity, Timeline

# Okabe and Ito's palette, told apart with any colour vision; place and hatching distinguish them as
# well.
PREDICTED = "#0072B2"
TRUE = "#E69F00"
SAMPLED = "#CC79A7"
SAMPLES_LABEL = "Grid Pool samples"
_INK, _FAINT, _BAND = "#1c2733", "#6b7785", "#f4f6f8"

ENDINGS = (".png", ".svg")
_MOST_ROWS = 120  # beyond it a row's text is too small to be read at any size


def plot_timeline(
    timeline: Timeline,
    out: str | os.PathLike[str],
    *,
    truth: Sequence[Activity] | None = None,
    classes: Sequence[str] | None = None,
) -> Path:
    """Write the picture of `draw_timeline` to `out`, a `.png` or `.svg` file.

    Raises:
        OutputError: the ending is another, or the file cannot be written.
        PredictionError: a class of `classes` is nowhere in the timeline or the truth.
    """
    out = Path(out)
    if out.suffix.lower() not in ENDINGS:
        raise OutputError(f"cannot draw {out}: name a file ending in {' or '.join(ENDINGS)}")
    # Text stays text in the SVG; no date and a constant salt, so that equal timelines give
    # equal files; a glyph that our font lacks is a viewer's matter, not worth a warning.
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "actline",
        "font.family": "DejaVu Sans",
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw_timeline(timeline, truth=truth, classes=classes)
        with written_whole(out) as aside:
            metadata = {"Date": None} if out.suffix.lower() == ".svg" else None
            figure.savefig(aside, dpi=150, metadata=metadata)
    return out


def draw_timeline(
    timeline: Timeline,
    *,
    truth: Sequence[Activity] | None = None,
    classes: Sequence[str] | None = None,
) -> Figure:
    """One row for each class: its probability as an area, predicted bars, true bars under them.

    Args:
        truth: the true activities; None where unknown.
        classes: the rows, top to bottom; by default the classes of all activities in the order
            in which they first happen, or the most probable ones where there is no activity.

    Raises:
        PredictionError: a class of `classes` is nowhere in the timeline or the truth.
    """
    rows = rows_of(timeline, truth, classes)
    shown = rows[:_MOST_ROWS]
    left_out = len(rows) - len(shown)
    height = (0.4 if timeline.scores is None else 0.56) * max(len(shown), 1)
    labels = [_shortened(label) for label in shown]
    sampled = timeline.sampled
    beside = labels if sampled is None else [*labels, SAMPLES_LABEL]
    margin = 0.4 + 0.068 * max((len(label) for label in beside), default=0)
    head, foot = 0.85, 0.8 if sampled is not None else 0.5
    width, total = margin + 9.0, head + height + foot
    figure = Figure(figsize=(width, total), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (margin / width, foot / total, 1 - (margin + 0.35) / width, height / total)
    )
    end = _end(timeline, truth)
    _prepare(axes, labels, end)
    # From the top of a row: the curve, where there are scores, then predicted, then true.
    predicted, true = (-0.12, 0.24) if timeline.scores is None else (0.16, 0.36)
    for row, label in enumerate(shown):
        _draw_probability(axes, row, timeline, label)
        _draw_bars(axes, row + predicted, timeline.activities, label, colour=PREDICTED)
        if truth is not None:
            _draw_bars(axes, row + true, truth, label, colour=TRUE, hatched=True)
    if sampled is not None:
        # Its own strip under the rows, in inches, whatever the number of rows.
        strip = figure.add_axes(
            (margin / width, 0.22 / total, 1 - (margin + 0.35) / width, 0.2 / total), sharex=axes
        )
        _draw_sampled(strip, sampled)
    _write_head(figure, timeline, margin / width, total, left_out)
    _write_legend(figure, timeline, truth, total, width)
    return figure


def _prepare(axes: Axes, labels: Sequence[str], end: float) -> None:
    axes.set_xlim(0, end)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    for row in range(0, len(labels), 2):
        axes.axhspan(row - 0.5, row + 0.5, color=_BAND, lw=0, zorder=0)
    axes.set_yticks(range(len(labels)), labels=labels)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.xaxis.set_major_locator(MultipleLocator(_tick_step(end)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds, end)))
    axes.tick_params(axis="y", length=0, labelsize=9.5, labelcolor=_INK)
    axes.tick_params(axis="x", length=3, labelsize=8.5, color=_FAINT, labelcolor=_FAINT)
    axes.grid(axis="x", color="#dde2e7", lw=0.7, zorder=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#c3cad1")


def _draw_probability(axes: Axes, row: int, timeline: Timeline, label: str) -> None:
    scores = timeline.scores
    if scores is None or label not in scores.classes or not len(scores.times):
        return
    probability = scores.probabilities[:, scores.classes.index(label)].astype(np.float64)
    bottom = row + 0.05
    curve = bottom - 0.5 * np.clip(probability, 0, 1)
    axes.fill_between(scores.times, bottom, curve, color=PREDICTED, alpha=0.16, lw=0, zorder=1)
    axes.plot(scores.times, curve, color=PREDICTED, alpha=0.55, lw=0.8, zorder=1.5)


def _draw_bars(
    axes: Axes,
    centre: float,
    activities: Iterable[Activity],
    label: str,
    *,
    colour: str,
    hatched: bool = False,
) -> None:
    spans = [(a.start, max(a.duration, 0.0)) for a in activities if a.label == label]
    if not spans:
        return
    axes.broken_barh(
        spans,
        (centre - 0.09, 0.18),
        facecolor=colour,
        edgecolor="white",
        linewidth=0.6,
        hatch="//////" if hatched else None,
        zorder=3,
    )


def _draw_sampled(strip: Axes, sampled: NDArray[np.float64]) -> None:
    strip.set_ylim(0, 1)
    strip.vlines(sampled, 0.1, 0.9, color=SAMPLED, lw=1.0)
    strip.set_facecolor("none")
    strip.tick_params(axis="both", left=False, bottom=False, labelleft=False, labelbottom=False)
    for spine in strip.spines.values():
        spine.set_visible(False)
    strip.set_ylabel(SAMPLES_LABEL, rotation=0, ha="right", va="center", fontsize=8.5, color=_FAINT)


def _write_head(
    figure: Figure, timeline: Timeline, left: float, total: float, left_out: int
) -> None:
    details = f"{clock(timeline.duration, timeline.duration)} long"
    details += f" · {len(timeline.activities)} activities predicted"
    if left_out:
        details += f" · {left_out} more classes not drawn"
    figure.text(
        left,
        1 - 0.32 / total,
        _shortened(timeline.video, 60),
        fontsize=13,
        fontweight="bold",
        color=_INK,
        parse_math=False,
    )
    figure.text(left, 1 - 0.56 / total, details, fontsize=9, color=_FAINT)


def _write_legend(
    figure: Figure,
    timeline: Timeline,
    truth: Sequence[Activity] | None,
    total: float,
    width: float,
) -> None:
    handles: list[Patch | Line2D] = [Patch(color=PREDICTED, label="predicted")]
    if truth is not None:
        handles.append(Patch(facecolor=TRUE, edgecolor="white", hatch="//////", label="true"))
    if timeline.scores is not None:
        handles.append(Patch(color=PREDICTED, alpha=0.3, lw=0, label="probability"))
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(1 - 0.3 / width, 1 - 0.12 / total),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        labelcolor=_INK,
        handlelength=1.5,
        columnspacing=1.4,
    )


def _end(timeline: Timeline, truth: Sequence[Activity] | None) -> float:
    ends = [activity.end for activity in (*timeline.activities, *(truth or ()))]
    # An axis needs some length: nothing shorter than a millisecond can be drawn.
    return max([timeline.duration, 1e-3, *ends])


def _tick_step(end: float) -> float:
    """Seconds between ticks: at most ten of them, at times a person would choose."""
    hour, power = 3600, 10 ** math.floor(math.log10(end))
    decimal = (0.1 * power, 0.2 * power, 0.5 * power, power)
    clocklike = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, hour, 2 * hour, 6 * hour, 24 * hour)
    steps = decimal if end <= 20 else clocklike
    return next((step for step in steps if end <= 10 * step), end / 10)


def clock(seconds: float, longest: float) -> str:
    """`12 s`, `1:05` or `1:01:05`, as fits a video of `longest` seconds."""
    if longest < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if longest >= 3600 else f"{minutes}:{rest:02d}"


def _shortened(text: str, most: int = 34) -> str:
    """One line that fits next to the rows, without what an SVG cannot hold."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
