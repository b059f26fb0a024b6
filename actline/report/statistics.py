"""A data set's statistics as one figure."""

from pathlib import Path

import numpy as np

from actline.data.check import Statistics
from actline.files import written_whole


def plot_statistics(statistics: Statistics, path: Path) -> None:
    """Draw lengths of activities, activities at once, and activities per class.

    Args:
        path: PNG or SVG, by its ending.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    left, right = figure.subplots(2, 2, gridspec_kw={"height_ratios": [1, 1.4]})[0]
    below = figure.add_subplot(2, 1, 2)
    for unused in figure.axes[2:4]:
        unused.remove()
    if len(statistics.lengths):
        edges = np.geomspace(max(0.1, statistics.lengths.min()), statistics.lengths.max() + 0.1, 30)
        left.hist(statistics.lengths, bins=edges.tolist(), color="#0072b2")
        left.set_xscale("log")
    left.set(title="length of activities", xlabel="seconds", ylabel="activities")
    right.bar(range(len(statistics.at_once)), 100 * statistics.at_once, color="#0072b2")
    right.set(title="activities at once", xlabel="activities", ylabel="% of the time")
    ranked = sorted(statistics.per_class.items(), key=lambda item: -item[1])
    below.bar(range(len(ranked)), [count for _, count in ranked], color="#0072b2")
    below.set(title="activities of each class", ylabel="activities")
    if len(ranked) <= 40:
        below.set_xticks(range(len(ranked)), [name for name, _ in ranked], rotation=60, ha="right")
    with written_whole(path) as aside:
        figure.savefig(aside, dpi=150)
