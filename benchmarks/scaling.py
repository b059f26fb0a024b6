"""How time and memory grow with proposals, video length, videos and classes."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from actline.detection.load import detect
from actline.evaluation.proposals import average_recall
from actline.evaluation.segments import detection_average_precision
from actline.models.tcanet import TCANetConfig
from actline.timeline.suppression import SuppressionConfig, suppress
from benchmarks import end_to_end, evaluation, suppression, tcanet
from benchmarks.decoding import write_video
from benchmarks.devices import CPU
from benchmarks.measure import alternate
from benchmarks.quantities import peak_memory
from benchmarks.table import machine


class Curve(NamedTuple):
    """One function over one size.

    Attributes:
        what: is measured.
        size: what is on the axis.
        at: values of it.
        prepare: makes the call to measure from a value.
    """

    what: str
    size: str
    at: Sequence[int]
    prepare: Callable[[int], Callable[[], object]]


def draw(path: Path, *, quick: bool) -> None:
    """Measure all curves; write the figure, and beside it JSON with the fitted exponents."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullLocator

    measured = [measure(curve, quick=quick) for curve in curves(quick=quick)]
    names = list(dict.fromkeys(entry["size"] for entry in measured))
    figure, axes = pyplot.subplots(
        2, len(names), figsize=(4 * len(names), 7), squeeze=False, constrained_layout=True
    )
    for column, size in enumerate(names):
        for row, (kind, unit) in enumerate((("seconds", 1.0), ("bytes", 2.0**20))):
            axis = axes[row, column]
            for entry in (entry for entry in measured if entry["size"] == size):
                label = f"{entry['what']}: {entry[f'{kind}_exponent']:.2f}"
                axis.plot(entry["at"], np.array(entry[kind]) / unit, "o-", label=label)
            axis.set(xscale="log", yscale="log", xlabel=size)
            of_size = [entry["at"] for entry in measured if entry["size"] == size]
            at = sorted({value for values in of_size for value in values})
            axis.set_xticks(at, [str(value) for value in at], rotation=45)
            axis.xaxis.set_minor_locator(NullLocator())
            axis.legend(title="exponent", fontsize="small")
        axes[0, column].set_ylabel("seconds")
        axes[1, column].set_ylabel("MiB beyond the start")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    facts = {"machine": machine(), "curves": measured}
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


def curves(*, quick: bool) -> list[Curve]:
    """What is measured over which sizes."""

    def steps(first: int, last: int) -> list[int]:
        if quick:
            return [4, 8, 16]
        return [first * 2**i for i in range((last // first).bit_length())]

    channels = 8 if quick else 2304
    few, short = (4, 16) if quick else (100, 200)
    videos, detections, classes = (6, 4, 4) if quick else (500, 100, 200)

    def refine(proposals: int, snippets: int) -> Callable[[], object]:
        sizes = tcanet.Sizes(1, proposals, snippets, channels)
        batch = tcanet.seeded(sizes, CPU)
        torch.manual_seed(0)
        network = TCANetConfig(channels=channels).build().eval()
        return torch.inference_mode()(lambda: network(batch.features, batch.proposals))

    def soft_nms(proposals: int) -> Callable[[], object]:
        segments = suppression.seeded(proposals, 1.0)
        return lambda: suppress(*segments, config=SuppressionConfig.tcanet())

    def precision(videos: int, classes: int) -> Callable[[], object]:
        data = evaluation.seeded(videos, detections=detections, classes=classes)
        return lambda: detection_average_precision(*data)

    def recall(videos: int, classes: int) -> Callable[[], object]:
        data = evaluation.seeded(videos, detections=detections, classes=classes)
        return lambda: average_recall(*data)

    model, folder = end_to_end.small_model(), tempfile.TemporaryDirectory()

    def find(seconds: int) -> Callable[[], object]:
        video = Path(folder.name) / f"{seconds}.mp4"
        write_video(video, height=96, seconds=seconds)
        return lambda: detect(video, model)

    many = "proposals"
    return [
        Curve("TCANet", many, steps(125, 4000), lambda n: refine(n, short)),
        Curve("Soft-NMS to 101", many, steps(125, 16_000), soft_nms),
        Curve("TCANet", "snippets of the video", steps(125, 4000), lambda n: refine(few, n)),
        Curve("detect", "seconds of video", steps(20, 640), find),
        Curve("mAP", "videos", steps(125, 4000), lambda n: precision(n, classes)),
        Curve("AR@AN", "videos", steps(125, 4000), lambda n: recall(n, classes)),
        Curve("mAP", "classes", steps(25, 800), lambda n: precision(videos, n)),
        Curve("AR@AN", "classes", steps(25, 800), lambda n: recall(videos, n)),
    ]


def measure(curve: Curve, *, quick: bool) -> dict[str, Any]:
    """Seconds and bytes at every size, and the exponents of their growth."""
    seconds, peaks = [], []
    for value in curve.at:
        function = curve.prepare(value)
        seconds.append(alternate(function, None, runs=1 if quick else 5)[0])
        peaks.append(max(peak_memory(function), 1))
    return {
        "what": curve.what,
        "size": curve.size,
        "at": list(curve.at),
        "seconds": seconds,
        "bytes": peaks,
        "seconds_exponent": exponent(curve.at, seconds),
        "bytes_exponent": exponent(curve.at, peaks),
    }


def exponent(at: Sequence[int], values: Sequence[float]) -> float:
    """The slope on log-log axes over the larger half, where constant costs are over."""
    half = len(at) // 2 if len(at) > 3 else 0
    slope, _ = np.polyfit(np.log(at[half:]), np.log(values[half:]), 1)
    return float(slope)
