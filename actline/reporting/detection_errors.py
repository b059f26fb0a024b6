"""Pictures of an error analysis and of average recall, from what `actline evaluate --out` wrote."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from actline.plain import plain

# Okabe and Ito's palette, told apart with any colour vision: right ones, then kinds of errors.
_COLOURS = ("#009e73", "#0072b2", "#e69f00", "#cc79a7", "#d55e00", "#b0b7bf")
_INK, _SOFT = "#1c2733", "#6b7785"
_LARGEST = 1e300
_LONGEST = 200  # characters of a protocol's name
_MOST = 60  # entries drawn; an analysis has 15 at most
# Text as shapes, which need no font, and verbatim: a dollar sign does not begin a formula.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "actline",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
}


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Attributes:
        caption: what it shows, with the protocol.
        image: the figure as a data URI; it needs nothing else.
        text: its numbers in words, for those who cannot see it.
    """

    caption: str
    image: str
    text: str


def error_pictures(analysis: Mapping[str, Any]) -> tuple[Picture, ...]:
    """False positives and sensitivity, as far as the analysis of a result has them."""
    protocol = analysis.get("protocol")
    if not isinstance(protocol, str):
        return ()
    protocol = plain(protocol, longest=_LONGEST)
    with matplotlib.rc_context(_STYLE):
        found = (_false_positives(analysis, protocol), _sensitivity(analysis, protocol))
    return tuple(picture for picture in found if picture is not None)


def recall_picture(curve: Mapping[str, Any], protocol: str) -> tuple[Picture, ...]:
    """Average recall over the average number of proposals; none without such a curve."""
    numbers, recall = (_numbers(curve.get(n)) for n in ("average_number", "average_recall"))
    if not numbers or len(numbers) != len(recall):
        return ()
    with matplotlib.rc_context(_STYLE):
        figure, (axes,) = _figure(1, width=7.5, height=3.2)
        axes.plot(numbers, [100 * value for value in recall], color=_COLOURS[1], lw=2)
        axes.set(xlabel="average number of proposals (AN)", ylabel="average recall (AR), %")
        axes.set_xlim(0, max(*numbers, 1e-9))
        axes.set_ylim(0, 100)
        image = _image(figure)
    text = f"Average recall rises to {100 * recall[-1]:.1f} % at {numbers[-1]:.0f} proposals."
    return (
        Picture(
            f"Average recall over proposals a video. {plain(protocol, longest=_LONGEST)}",
            image,
            text,
        ),
    )


def _false_positives(analysis: Mapping[str, Any], protocol: str) -> Picture | None:
    """What the highest scores are, and what mAP gains without each kind of error."""
    impacts = [
        (_line(row.get("kind")), 100 * row["part"], 100 * row["gain"])
        for row in _entries(analysis.get("impacts"), ("part", "gain"))
    ]
    profile = analysis.get("profile")
    profile = profile if isinstance(profile, dict) else {}
    parts = [_numbers(row) for row in _list(profile.get("parts"))]
    kinds = [_line(kind) for kind in _list(profile.get("kinds"))]
    if not impacts or not parts or any(len(row) != len(kinds) for row in parts):
        return None
    figure, (left, right) = _figure(2, width=10.5, height=3.9, ratios=(1.55, 1))
    places = np.arange(1, len(parts) + 1)
    shares = 100 * np.array(parts)
    bottom = np.zeros(len(parts))
    for number, kind in enumerate(kinds):
        colour = _COLOURS[number % len(_COLOURS)]
        left.bar(places, shares[:, number], 0.82, bottom, color=colour, label=kind)
        bottom += shares[:, number]
    left.set(
        title="The highest scores, in groups",
        xlabel="group; each as many as there are true segments (G)",
        ylabel="% of detections",
    )
    left.set_xticks(places, [f"{place}G" for place in places])
    left.set_ylim(0, 100)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(kinds),
        frameon=False,
        fontsize=8.5,
        handlelength=1.2,
    )
    gains = [gain for _, _, gain in impacts]
    colours = [_COLOURS[1 + n % (len(_COLOURS) - 1)] for n in range(len(impacts))]
    bars = right.bar(range(len(impacts)), gains, 0.72, color=colours)
    right.bar_label(bars, [f"{gain:.1f}" for gain in gains], padding=2, fontsize=9, color=_INK)
    names = [kind.replace(" ", "\n") for kind, _, _ in impacts]
    right.set_xticks(range(len(impacts)), names, fontsize=8)
    right.set(title="mAP_N gained without each error", ylabel="points")
    right.axhline(0, color=_SOFT, lw=0.8)
    right.margins(y=0.15)
    text = "; ".join(
        f"{kind}: {part:.1f} % of detections, {gain:.1f} points of mAP_N gained without"
        for kind, part, gain in impacts
    )
    return Picture(f"False positives. {protocol}", _image(figure), text)


def _sensitivity(analysis: Mapping[str, Any], protocol: str) -> Picture | None:
    """mAP_N and false negatives of true segments, by their characteristics."""
    rows = _entries(analysis.get("sensitivity"), ("activities",))
    overall = next((row for row in rows if row.get("characteristic") == "all"), {})
    rows = [row for row in rows if row.get("characteristic") != "all"]
    if not rows:
        return None
    places: list[float] = []
    for number, row in enumerate(rows):
        apart = number > 0 and row.get("characteristic") != rows[number - 1].get("characteristic")
        places.append(places[-1] + (1.8 if apart else 1.0) if places else 0.0)
    names = [_line(row.get("bucket")) for row in rows]
    figure, panels = _figure(2, width=10.5, height=3.6)
    words = []
    for axes, title, key, lost, colour in (
        (panels[0], "mAP_N, %", "normalized", False, _COLOURS[1]),
        (panels[1], "False negatives, % of true segments", "recall", True, _COLOURS[4]),
    ):
        values = [_score(row.get(key), lost=lost) for row in rows]
        heights = [0.0 if value is None else value for value in values]
        bars = axes.bar(places, heights, 0.8, color=colour)
        marks = ["\N{EN DASH}" if value is None else f"{value:.0f}" for value in values]
        axes.bar_label(bars, marks, padding=2, fontsize=8, color=_INK)
        whole = _score(overall.get(key), lost=lost)
        if whole is not None:
            axes.axhline(whole, color=_INK, lw=1, ls="--", label=f"all: {whole:.1f}")
            axes.legend(frameon=False, fontsize=8.5, loc="upper right")
        axes.set(title=title)
        axes.set_ylim(0, 118)
        axes.set_yticks(range(0, 101, 20))
        axes.set_xticks(places, names, fontsize=8.5)
        _name_groups(axes, places, [_line(row.get("characteristic")) for row in rows])
        words += [
            f"{title.split(',')[0]}, {_line(row.get('characteristic'))} {name}: {mark}"
            for row, name, mark in zip(rows, names, marks, strict=True)
        ]
    return Picture(f"Sensitivity. {protocol}", _image(figure), "; ".join(words))


def _name_groups(axes: Axes, places: Sequence[float], groups: Sequence[str]) -> None:
    """Write each characteristic once, below its buckets."""
    for name in dict.fromkeys(groups):
        inside = [place for place, group in zip(places, groups, strict=True) if group == name]
        axes.text(
            float(np.mean(inside)),
            -0.16,
            name,
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="top",
            fontsize=9.5,
            color=_INK,
        )


def _figure(
    panels: int, *, width: float, height: float, ratios: Sequence[float] | None = None
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False, width_ratios=ratios)[0].tolist()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="y", color="#e3e7eb", lw=0.7)
        one.set_axisbelow(True)
        one.tick_params(length=0, labelsize=8.5, labelcolor=_INK)
    return figure, axes


def _image(figure: Figure) -> str:
    """The figure as SVG in a data URI; equal figures give equal text."""
    for axes in figure.axes:
        axes.title.set_fontsize(10.5)
    written = io.BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(written.getvalue()).decode("ascii")


def _entries(value: Any, numbers: Sequence[str]) -> list[Mapping[str, Any]]:
    """The entries of a list that have all these numbers."""
    return [
        entry
        for entry in _list(value)
        if isinstance(entry, dict) and all(is_number(entry.get(name)) for name in numbers)
    ]


def _list(value: Any) -> list[Any]:
    return value[:_MOST] if isinstance(value, list) else []


def _numbers(value: Any) -> list[float]:
    """A list's numbers; none when one is not a number."""
    given = value if isinstance(value, list) else []
    return [float(one) for one in given] if all(is_number(one) for one in given) else []


def is_number(value: Any) -> bool:
    """Whether a value from a file is a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_LARGEST < value < _LARGEST  # not so of NaN


def _score(value: Any, *, lost: bool) -> float | None:
    """A score in percent, or 100 minus it."""
    if not is_number(value):
        return None
    return 100.0 * (1.0 - value) if lost else 100.0 * value


def _line(value: Any) -> str:
    """Short text without what an SVG cannot hold."""
    text = plain(value)
    # Matplotlib leaves labels that begin with an underscore out of a legend.
    text = f" {text}" if text.startswith("_") else text
    return text if len(text) <= 30 else text[:29] + "…"
