"""A data set's statistics as one figure."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from actline.annotations.statistics import Statistics
from actline.errors import OutputError
from actline.files import written_whole
from actline.plain import plain

_COLOUR = "#0072b2"
_MOST_NAMES = 60  # beyond it the classes' names cannot be read


def plot_statistics(statistics: Statistics, path: Path) -> None:
    """Draw lengths of videos and activities, labels at a time, and activities of each class.

    Args:
        path: PNG or SVG, by its ending.

    Raises:
        OutputError: the ending is another, or the file cannot be written.
    """
    if path.suffix.lower() not in (".png", ".svg"):
        raise OutputError(f"cannot draw {path}: name a file ending in .png or .svg")
    # Equal statistics give equal files: no date, constant names; text stays text.
    # A dollar sign does not begin a formula, and a glyph that our font lacks is not worth a
    # warning.
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "actline",
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = draw_statistics(statistics)
        with written_whole(path) as aside:
            metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
            figure.savefig(aside, dpi=150, metadata=metadata)


def draw_statistics(statistics: Statistics) -> Figure:
    """The figure of `plot_statistics`."""
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    panels = figure.subplot_mosaic(
        [["videos", "lengths", "at once"], ["classes"] * 3], height_ratios=[1, 1.5]
    )
    seconds = statistics.seconds.sum()
    length = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.1f} minutes"
    figure.suptitle(f"{statistics.videos} videos, {length}, {len(statistics.lengths)} activities")
    _histogram(panels["videos"], statistics.seconds, what="videos")
    _histogram(panels["lengths"], statistics.lengths, what="activities")

    at_once = panels["at once"]
    at_once.bar(range(len(statistics.at_once)), 100 * statistics.at_once, color=_COLOUR)
    at_once.set(
        title=f"labels at a time (mean {statistics.labels_per_frame:.2f})",
        xlabel="labels",
        ylabel="% of the time",
    )
    at_once.xaxis.set_major_locator(MaxNLocator(integer=True))

    classes = panels["classes"]
    ranked = sorted(statistics.per_class.items(), key=lambda item: -item[1])
    classes.bar(range(len(ranked)), [count for _, count in ranked], color=_COLOUR)
    classes.set(title="activities of each class", ylabel="activities")
    classes.set_xlim(-0.7, max(len(ranked), 1) - 0.3)
    if len(ranked) <= _MOST_NAMES:
        names = [plain(name)[:40] for name, _ in ranked]
        classes.set_xticks(range(len(ranked)), names, rotation=60, ha="right", fontsize=8)
        classes.tick_params(axis="x", length=0)
    else:
        classes.set_xlabel(f"{len(ranked)} classes, most frequent first")
    for name in ("videos", "lengths", "classes"):
        panels[name].yaxis.set_major_locator(MaxNLocator(integer=True))
    for panel in panels.values():
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _histogram(panel: Axes, seconds: NDArray[np.float64], *, what: str) -> None:
    """Lengths, on a logarithmic axis where they go from under a second to hours."""
    panel.set(title=f"lengths of {what}", xlabel="seconds", ylabel=what)
    seconds = seconds[seconds > 0]
    if not len(seconds):
        return
    low, high = max(0.05, seconds.min()), seconds.max()
    bins = int(np.clip(2 * np.sqrt(len(seconds)), 8, 40))
    if high > 10 * low:
        panel.hist(seconds, bins=np.geomspace(low, high * 1.001, bins).tolist(), color=_COLOUR)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        panel.hist(seconds, bins=bins, range=(0.9 * low, 1.1 * high), color=_COLOUR)
    panel.axvline(
        float(np.median(seconds)), color="black", linewidth=1, linestyle="--", label="median"
    )
    panel.legend(frameon=False)
