"""Soft-NMS in TCANet's form against its authors' code, and in general one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actline.timeline.suppression import (
    KeptSegments,
    SuppressionConfig,
    suppress,
    temporal_iou,
)
from benchmarks.measure import Row, compared
from benchmarks.published import NOT_COMPARED, absent, has_pandas, load, repository, running

REPOSITORY = "Temporal-Context-Aggregation-Network-Pytorch"
Floats = NDArray[np.float64]


def rows(reference: Path | None, quick: bool) -> list[Row]:
    """Both forms."""
    folder = repository(reference, REPOSITORY)
    with running():
        return [
            tcanet_form(folder, count=150 if quick else 1000),
            general_form(count=300 if quick else 10_000, quick=quick),
        ]


def tcanet_form(folder: Path | None, *, count: int) -> Row:
    """One video's proposals to 101."""
    start, end, score = seeded(count, 1.0)
    config = SuppressionConfig.tcanet()

    def ours() -> KeptSegments:
        return suppress(start, end, score, config=config)

    note = absent(REPOSITORY) if folder is None else ""
    other: Callable[[], Any] | None = None
    if folder is not None and not has_pandas():
        note = f"{NOT_COMPARED}the authors' code needs pandas"
    elif folder is not None:
        import pandas  # pyright: ignore[reportMissingImports]

        soft_nms = load(folder, "post_processing").soft_nms
        table = pandas.DataFrame({"score": score, "xmin": start, "xmax": end})
        other = lambda: soft_nms(table, 0.4, 0.0, 0.0)  # noqa: E731
        kept, expected = ours(), other()
        np.testing.assert_array_equal(kept.start, expected["xmin"])
        np.testing.assert_array_equal(kept.end, expected["xmax"])
        np.testing.assert_allclose(kept.score, expected["score"], rtol=1e-9)
        note = "the same segments, scores to 1e-9"
    return compared(
        ours,
        other,
        what="Soft-NMS, TCANet's form",
        sizes=f"{count} proposals to {min(count - 1, 101)}",
        other_name="the authors' code",
        target=25.0,
        note=note,
    )


def general_form(*, count: int, quick: bool) -> Row:
    """Every segment taken in turn, none left out."""
    start, end, score = seeded(count, count / 5)
    config = SuppressionConfig(kind="gaussian", min_score=0.001)

    def ours() -> KeptSegments:
        return suppress(start, end, score, config=config)

    def plain() -> tuple[NDArray[np.intp], Floats]:
        return one_by_one(start, end, score, config)

    kept, (index, left) = ours(), plain()
    np.testing.assert_array_equal(kept.index, index)
    np.testing.assert_allclose(kept.score, left, rtol=1e-9)
    name, other, target = "a NumPy loop, one by one", plain, None
    note = "the same segments, scores to 1e-9; target: twice ActionFormer's C++, not installed"
    extension = compiled()
    if extension is not None:
        name, other, target = "ActionFormer's C++ extension", extension(start, end, score), 2.0
        note = "the same segments as a NumPy loop, scores to 1e-9"
    return compared(
        ours,
        other,
        what="Soft-NMS, general form",
        sizes=f"{count} segments, {len(index)} left",
        other_name=name,
        target=target,
        note=note,
        runs=1 if quick else 5,
    )


def seeded(count: int, duration: float) -> tuple[Floats, Floats, Floats]:
    """Start, end and score of segments all over a video."""
    draw = np.random.default_rng(0)
    start = draw.uniform(0, 0.8, count) * duration
    end = start + draw.uniform(0.01, 0.3, count) * min(duration, 60.0)
    return start, end, draw.random(count)


def one_by_one(
    start: Floats, end: Floats, score: Floats, config: SuppressionConfig
) -> tuple[NDArray[np.intp], Floats]:
    """Soft-NMS as it is defined: take the highest, lower all others, go on."""
    index = np.arange(len(score))
    score = score.copy()
    taken: list[int] = []
    left: list[float] = []
    while len(index):
        best = int(score.argmax())
        if score[best] < config.min_score:
            break
        taken.append(int(index[best]))
        left.append(float(score[best]))
        overlap = temporal_iou(start, end, start[best], end[best])
        score *= np.exp(-(overlap**config.exponent) / config.sigma)
        keep = score >= config.min_score
        keep[best] = False
        start, end, score, index = start[keep], end[keep], score[keep], index[keep]
    return np.array(taken, np.intp), np.array(left)


def compiled() -> Callable[[Floats, Floats, Floats], Callable[[], object]] | None:
    """ActionFormer's own extension where somebody built it, called as its code calls it."""
    try:
        import nms_1d_cpu  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    import torch

    def bound(start: Floats, end: Floats, score: Floats) -> Callable[[], object]:
        segments = torch.from_numpy(np.stack((start, end), axis=1)).float()
        scores = torch.from_numpy(score).float()
        results = torch.empty(len(score), 3)
        return lambda: nms_1d_cpu.softnms(
            segments.clone(), scores.clone(), results, 0.1, 0.5, 0.001, 2
        )

    return bound
