"""SSDet's augmentations as a picture: frames of mixed clips, and their labels over time."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from actline.errors import OutputError
from actline.files import written_whole
from actline.plain import plain
from actline.pretraining.volume_cutmix import volume_cutmix
from actline.pretraining.volume_freeze import LabelledClip, label_frames, volume_freeze
from actline.pretraining.volume_mixup import volume_mixup
from actline.reporting.plots import ENDINGS
from actline.video.decode import ShortSide, probe, read_clip
from actline.video.transforms import TestTransform, to_clip

STRIP = 8  # frames of a clip that are shown
BACKGROUND = "#c9ced4"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")


def plot_augmentations_of(
    videos: Sequence[Path],
    out: str | os.PathLike[str],
    *,
    names: Sequence[str],
    frames: int = 32,
    size: int = 160,
    seed: int = 0,
) -> Path:
    """Draw what SSDet's pretraining makes of clips of these videos, two or more.

    Args:
        names: the videos' labels.
        frames: of a clip, spread over the whole video.
        size: pixels a side.
        seed: of the random draws.

    Raises:
        VideoError: a video cannot be read.
        OutputError: `out` ends in neither .png nor .svg, or cannot be written.
    """
    mean, std = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
    crop = TestTransform(size=size, mean=mean, std=std)
    clips = []
    for video in videos:
        # Frames spread over the whole video, however long.
        times = (np.arange(frames) + 0.5) * probe(video).duration / frames
        clips.append(crop(to_clip(read_clip(video, times, size=ShortSide(size)))))
    batch = label_frames(torch.stack(clips), labels=torch.arange(1, len(videos) + 1))
    generator = torch.Generator().manual_seed(seed)
    frozen = volume_freeze(batch, generator=generator)
    rows = [
        ("A clip", batch),
        ("Volume Freeze", frozen),
        ("Volume MixUp", _mixed(volume_mixup, batch, generator)),
        ("Volume CutMix", _mixed(volume_cutmix, batch, generator)),
        (
            "All three",
            volume_cutmix(_mixed(volume_mixup, frozen, generator), generator=generator),
        ),
    ]
    return plot_augmentations(rows, out, names=names, mean=mean, std=std)


def _mixed(
    augmentation: Callable[..., LabelledClip], batch: LabelledClip, generator: torch.Generator
) -> LabelledClip:
    """A batch whose first clip is mixed with another.

    A clip may be its own partner, which shows nothing: then another is drawn.
    """
    shown = len(batch.labels[:, 0].unique())
    drawn = augmentation(batch, generator=generator)
    while len(drawn.labels[:, 0].unique()) == shown:
        drawn = augmentation(batch, generator=generator)
    return drawn


def plot_augmentations(
    rows: Sequence[tuple[str, LabelledClip]],
    out: str | os.PathLike[str],
    *,
    names: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
) -> Path:
    """Draw the first clip of every row: some of its frames, and under them its soft label.

    Args:
        rows: a title and a batch each, normalized by `mean` and `std`.
        names: of the labels 1, 2, …; 0 is background.

    Raises:
        OutputError: `out` ends in neither .png nor .svg, or cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() not in ENDINGS:
        raise OutputError(f"cannot draw {out}: name a file ending in {' or '.join(ENDINGS)}")
    style: dict[Any, Any] = {
        "svg.hashsalt": "actline",
        "font.family": "DejaVu Sans",
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(10.0, 2.1 * len(rows) + 0.4), layout="constrained")
        FigureCanvasAgg(figure)
        heights = [1.0, 0.3] * len(rows)
        axes = figure.subplots(2 * len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
        for number, (title, batch) in enumerate(rows):
            _draw_strip(axes[2 * number], title, batch.clip[0].numpy(), mean, std)
            _draw_labels(axes[2 * number + 1], batch, len(names))
        handles = [
            Patch(facecolor=BACKGROUND),
            *(Patch(facecolor=colour_of(n)) for n in range(1, len(names) + 1)),
        ]
        figure.legend(
            handles,
            # A label that begins with an underscore would be left out.
            ["background", *(f"\N{THIN SPACE}{plain(name, longest=40)}" for name in names)],
            loc="outside lower center",
            ncols=min(len(handles), 6),
            frameon=False,
            fontsize=9,
        )
        with written_whole(out) as aside:
            figure.savefig(aside, format=out.suffix[1:].lower(), dpi=130, metadata={})
    return out


def label_shares(batch: LabelledClip, classes: int) -> NDArray[np.float64]:
    """The share of every label in each frame of the first clip: (classes + 1, T), 0 background."""
    shares = np.zeros((classes + 1, batch.labels.shape[2]))
    for labels, weights in zip(
        batch.labels[:, 0].numpy(), batch.weights[:, 0].numpy(), strict=True
    ):
        np.add.at(shares, (labels, np.arange(len(labels))), weights)
    return shares


def colour_of(label: int) -> str:
    """The colour of a label, from 1."""
    return COLOURS[(label - 1) % len(COLOURS)]


def _draw_strip(
    axes: Axes,
    title: str,
    clip: NDArray[np.float32],
    mean: Sequence[float],
    std: Sequence[float],
) -> None:
    chosen = np.linspace(0, clip.shape[1] - 1, min(STRIP, clip.shape[1])).round().astype(int)
    frames = clip[:, chosen].transpose(1, 2, 3, 0) * np.array(std) + np.array(mean)
    gap = np.ones((frames.shape[1], max(1, frames.shape[2] // 40), 3))
    strip = [part for frame in frames.clip(0, 1) for part in (frame, gap)][:-1]
    axes.imshow(np.concatenate(strip, axis=1), aspect="equal", interpolation="bilinear")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_axis_off()


def _draw_labels(axes: Axes, batch: LabelledClip, classes: int) -> None:
    shares = label_shares(batch, classes)
    edges = np.arange(shares.shape[1] + 1) / shares.shape[1]
    steps = np.repeat(edges, 2)[1:-1]
    colours = [BACKGROUND, *(colour_of(label) for label in range(1, classes + 1))]
    axes.stackplot(steps, np.repeat(shares, 2, axis=1), colors=colours, lw=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), yticks=[0, 1], xticks=[])
    axes.tick_params(labelsize=7, length=2)
    axes.spines[["top", "right"]].set_visible(False)
