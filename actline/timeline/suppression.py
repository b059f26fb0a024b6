"""Non-maximum suppression (NMS) of segments: hard NMS, Soft-NMS, and TCANet's variant.

Soft-NMS (Bodla et al., ICCV 2017) selects the segment with the highest score, lowers the score of
every other segment according to its overlap with the selected one, and repeats with the one that is
then highest.

Scores never increase. So only the few highest of many segments can be next: segments are selected
from these candidates while they stay above all others, which are then lowered at once for all
selected segments. The results equal those of the sequential algorithm up to rounding.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actline.stored.ranges import Positive, Range, Share, Whole
from actline.timeline.intervals import Floats, temporal_iou

Indices = NDArray[np.intp]

# Number of candidates at a time, and their share of many segments: more means larger tables of
# overlaps, fewer means more rounds. Measured for 1 000 and 10 000 segments.
CANDIDATES = 64
CANDIDATE_PART = 64
# Overlaps are computed for about this many pairs at a time, to stay in the processor's cache.
PAIRS_AT_ONCE = 16_384
# Cost of a pair found by search, relative to one in a table of all pairs.
LOOK_UP_COST = 6


@dataclass(frozen=True)
class SuppressionConfig:
    """How overlapping segments are suppressed; `tcanet()` has TCANet's constants.

    Attributes:
        kind: "hard" removes what overlaps; "gaussian" multiplies scores by
            exp(-overlap ** exponent / sigma), "linear" by 1 - overlap.
        threshold: overlaps (tIoU) up to this have no effect.
        threshold_per_width: added to the threshold per unit of the selected segment's width, as a
            fraction of the video's duration; TCANet's `t2 - t1`.
        sigma: width of the Gaussian; a smaller one suppresses more.
        exponent: exponent of the overlap in the Gaussian: 2 in Soft-NMS, 2.5 in TCANet.
        min_score: segments whose score falls below this are dropped.
        max_selected: maximum number selected per class; 0 means no limit.
        take_last: whether the last remaining segment is selected; TCANet's code drops it.
        per_class: whether segments suppress only others of the same class.
        top_k: number of highest-scoring segments returned over all classes; 0 returns all.
        vote_overlap: boundaries become the mean over the given segments with at least this overlap,
            weighted by score times overlap, as in ActionFormer; 0 keeps them.

    Raises:
        ValueError: a constant is out of its range.
    """

    kind: Literal["hard", "gaussian", "linear"] = "gaussian"
    threshold: Share = 0.0
    threshold_per_width: Annotated[float, Range(-1, 1)] = 0.0
    sigma: Positive = 0.5
    exponent: Positive = 2.0
    min_score: Share = 0.0
    max_selected: Whole = 0
    take_last: bool = True
    per_class: bool = True
    top_k: Whole = 0
    vote_overlap: Share = 0.0

    def __post_init__(self) -> None:
        if self.kind not in ("hard", "gaussian", "linear"):
            raise ValueError(f'kind "{self.kind}" is not one of hard, gaussian, linear')
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold {self.threshold:g} is not between 0 and 1")
        if not 0 <= self.vote_overlap <= 1:
            raise ValueError(f"vote_overlap {self.vote_overlap:g} is not between 0 and 1")
        if not (self.sigma > 0 and self.exponent > 0):
            raise ValueError("sigma and exponent must be positive")
        if self.max_selected < 0 or self.top_k < 0:
            raise ValueError("max_selected and top_k must be 0 or more")

    @staticmethod
    def tcanet(
        alpha: float = 0.4, low_threshold: float = 0.0, high_threshold: float = 0.0
    ) -> "SuppressionConfig":
        """The Soft-NMS of TCANet's published post-processing, for ActivityNet."""
        return SuppressionConfig(
            threshold=low_threshold,
            threshold_per_width=high_threshold - low_threshold,
            sigma=alpha,
            exponent=2.5,
            max_selected=101,
            take_last=False,
            per_class=False,
        )


@dataclass(frozen=True, eq=False)
class KeptSegments:
    """The segments kept by suppression, by descending score.

    Shape:
        start, end: (K,) seconds, changed only by voting; score: (K,), lowered by Soft-NMS;
        index: (K,), index of each among the given segments.
    """

    start: Floats
    end: Floats
    score: Floats
    index: Indices


def suppress(
    start: ArrayLike,
    end: ArrayLike,
    score: ArrayLike,
    label: ArrayLike | None = None,
    *,
    config: SuppressionConfig | None = None,
    duration: float = 1.0,
) -> KeptSegments:
    """Suppress segments that overlap with others of higher score.

    Among equal scores, the segment given first is selected first.

    Args:
        label: class indices; None treats all segments as one class.
        config: by default, Soft-NMS with a Gaussian, as published.
        duration: of the video in seconds, used only for `threshold_per_width`.

    Shape:
        start, end: (N,) seconds; score: (N,); label: (N,).

    Raises:
        ValueError: array lengths differ, a number is not finite, a segment ends before it starts, a
            score is negative (except for hard suppression), or the duration is not positive.
    """
    config = config or SuppressionConfig()
    start, end, score = (np.asarray(values, np.float64) for values in (start, end, score))
    label = np.zeros(len(score), np.intp) if label is None else np.asarray(label)
    _check(start, end, score, label, config)
    if not duration > 0:
        raise ValueError(f"a video's duration of {duration:g} s is not positive")
    # By descending score, ties in the given order: this order breaks ties from here on.
    order = np.argsort(-score, kind="stable")
    if config.per_class:
        order = order[np.argsort(label[order], kind="stable")]
        bounds = np.flatnonzero(np.diff(label[order])) + 1
        groups = np.split(order, bounds)
    else:
        groups = [order]
    parts = [
        _suppress_group(group, start, end, score, config=config, duration=duration)
        for group in groups
    ]
    index = np.concatenate([part.index for part in parts])
    left = np.concatenate([part.score for part in parts])
    best = np.argsort(-left, kind="stable")[: config.top_k or None]
    return KeptSegments(
        np.concatenate([part.start for part in parts])[best],
        np.concatenate([part.end for part in parts])[best],
        left[best],
        index[best],
    )


def _check(
    start: Floats, end: Floats, score: Floats, label: NDArray, config: SuppressionConfig
) -> None:
    if not start.shape == end.shape == score.shape == label.shape or start.ndim != 1:
        raise ValueError(
            f"start {start.shape}, end {end.shape}, score {score.shape} and label {label.shape} "
            "must have the same length"
        )
    for name, values in (("start", start), ("end", end), ("score", score)):
        if not np.isfinite(values).all():
            raise ValueError(f"a {name} is not a finite number")
    if (end < start).any():
        raise ValueError("a segment ends before it starts")
    if config.kind != "hard" and (score < 0).any():
        raise ValueError("a score is negative; Soft-NMS lowers scores by multiplying")


def _suppress_group(
    group: Indices,
    start: Floats,
    end: Floats,
    score: Floats,
    *,
    config: SuppressionConfig,
    duration: float,
) -> KeptSegments:
    """Suppress the segments `group`, which are sorted by descending score."""
    group = group[score[group] >= config.min_score]
    limit = len(group) if config.take_last or len(group) == 1 else len(group) - 1
    limit = min(limit, config.max_selected or limit)
    starts, ends, scores = start[group], end[group], score[group]
    decay = _Decay(config, duration)
    if config.kind == "hard":
        # Use ranks instead of scores, to distinguish suppressed segments from a score of 0.
        ranks = np.arange(len(group), 0, -1, dtype=np.float64)
        taken, _ = _take(starts, ends, ranks, decay, limit, floor=1.0)
        left = scores[taken]
    else:
        taken, left = _take(starts, ends, scores, decay, limit, floor=config.min_score)
    kept_start, kept_end = starts[taken], ends[taken]
    if config.vote_overlap > 0:
        kept_start, kept_end = _vote(taken, starts, ends, scores, config.vote_overlap)
    return KeptSegments(kept_start, kept_end, left, group[taken])


def _take(
    start: Floats, end: Floats, score: Floats, decay: "_Decay", limit: int, *, floor: float
) -> tuple[Indices, Floats]:
    """Select segments by descending score, lowering the scores of the others each time.

    Among equal scores, the first in the arrays is selected first.

    Returns:
        indices of the selected segments in order, and their scores at that time: (K,) each.
    """
    rank = np.argsort(start, kind="stable")  # the given order breaks ties
    start, end, score = start[rank], end[rank], score[rank]
    taken: list[int] = []
    scores: list[float] = []
    while len(rank) and len(taken) < limit:
        candidates, ceiling, first_other = _highest(score, rank)
        a, b = start[candidates], end[candidates]
        factors = decay(a, b, a[:, None], b[:, None])
        current = score[candidates]
        chosen: list[int] = []
        while len(chosen) < len(candidates) and len(taken) < limit:
            best = int(current.argmax())
            value = float(current[best])
            if value < floor or value < ceiling:
                break
            if value == ceiling and rank[candidates[best]] > first_other:
                break
            chosen.append(best)
            taken.append(int(rank[candidates[best]]))
            scores.append(value)
            current *= factors[best]
            current[best] = -1.0  # below any minimum: already selected
        if len(taken) < limit and len(candidates) < len(score):
            score = score * decay.product(start, end, a[chosen], b[chosen])
        score[candidates] = current
        left = (score >= floor) & (score >= 0)
        start, end, score, rank = start[left], end[left], score[left], rank[left]
    return np.array(taken, np.intp), np.array(scores, np.float64)


def _highest(score: Floats, rank: Indices) -> tuple[Indices, float, int]:
    """The highest scores' indices by rank; the highest other score, and the first rank with it."""
    count = len(score)
    wanted = max(CANDIDATES, count // CANDIDATE_PART)
    if count <= wanted:
        return np.argsort(rank), -1.0, count
    ceiling = float(np.partition(score, count - wanted - 1)[count - wanted - 1])
    above, equal = np.flatnonzero(score > ceiling), np.flatnonzero(score == ceiling)
    equal = equal[np.argsort(rank[equal])]
    candidates = np.concatenate([above, equal[: wanted - len(above)]])
    return candidates[np.argsort(rank[candidates])], ceiling, int(rank[equal[wanted - len(above)]])


class _Decay:
    """The factor by which a selected segment multiplies the scores of others."""

    def __init__(self, config: SuppressionConfig, duration: float) -> None:
        self.config = config
        self.duration = duration

    def __call__(
        self, start: Floats, end: Floats, taken_start: Floats, taken_end: Floats
    ) -> Floats:
        """Factors in [0, 1]; all four broadcast."""
        config = self.config
        if config.kind == "gaussian":
            return np.exp(self._exponents(start, end, taken_start, taken_end) / -config.sigma)
        overlap = temporal_iou(start, end, taken_start, taken_end)
        factors = 1.0 - overlap if config.kind == "linear" else np.zeros_like(overlap)
        return np.where(overlap > self._threshold(taken_start, taken_end), factors, 1.0)

    def product(self, start: Floats, end: Floats, taken_start: Floats, taken_end: Floats) -> Floats:
        """Product of the factors of (K,) selected segments, for each of (N,) sorted by start."""
        # Each selected segment overlaps only a range of segments: those that start before its end,
        # beginning with the first that ends after its start.
        after = np.searchsorted(start, taken_end, side="left")
        first = np.searchsorted(np.maximum.accumulate(end), taken_start, side="right")
        count = np.maximum(after - first, 0)
        if LOOK_UP_COST * count.sum() < len(taken_start) * len(start):
            result = np.ones(len(start))
            of = np.repeat(np.arange(len(count)), count)
            index = np.arange(len(of)) + (first - np.cumsum(count) + count)[of]
            factors = self(start[index], end[index], taken_start[of], taken_end[of])
            np.multiply.at(result, index, factors)
            return result
        step = max(1, PAIRS_AT_ONCE // max(1, len(taken_start)))
        result = np.empty(len(start))
        taken_start, taken_end = taken_start[:, None], taken_end[:, None]
        for first in range(0, len(start), step):
            part = slice(first, first + step)
            pairs = start[part], end[part], taken_start, taken_end
            if (
                self.config.kind == "gaussian"
            ):  # a product of exponentials needs only one exponential
                result[part] = np.exp(self._exponents(*pairs).sum(axis=0) / -self.config.sigma)
            else:
                result[part] = self(*pairs).prod(axis=0)
        return result

    def _exponents(
        self, start: Floats, end: Floats, taken_start: Floats, taken_end: Floats
    ) -> Floats:
        """Overlap to the power of the exponent if above the threshold, else 0."""
        overlap = temporal_iou(start, end, taken_start, taken_end)
        power = _power(overlap, self.config.exponent)
        if self.config.threshold or self.config.threshold_per_width:
            power *= overlap > self._threshold(taken_start, taken_end)
        return power

    def _threshold(self, taken_start: Floats, taken_end: Floats) -> Floats:
        width = (taken_end - taken_start) / self.duration
        # At least 0, so that segments without overlap are never suppressed.
        return np.maximum(self.config.threshold + self.config.threshold_per_width * width, 0.0)


def _power(base: Floats, exponent: float) -> Floats:
    """Powers with the published exponents by multiplication, several times faster than `**`."""
    if exponent == 2.0:
        return base * base
    if exponent == 2.5:
        return base * base * np.sqrt(base)
    return base**exponent


def _vote(
    taken: Indices, start: Floats, end: Floats, score: Floats, least: float
) -> tuple[Floats, Floats]:
    """Mean boundaries of segments overlapping the selected ones by at least `least`: 2 x (K,)."""
    kept_start, kept_end = start[taken], end[taken]
    step = max(1, PAIRS_AT_ONCE // max(1, len(start)))
    for first in range(0, len(taken), step):
        rows = taken[first : first + step]
        weights = temporal_iou(start[rows, None], end[rows, None], start, end)
        weights = np.where(weights >= least, weights * score, 0.0)
        total = weights.sum(axis=1)
        voted = total > 0  # without votes (no length, or score 0) boundaries are kept
        divisor = np.where(voted, total, 1.0)
        part = slice(first, first + step)
        kept_start[part] = np.where(voted, weights @ start / divisor, kept_start[part])
        kept_end[part] = np.where(voted, weights @ end / divisor, kept_end[part])
    return kept_start, kept_end
