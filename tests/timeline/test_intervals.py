"""Overlap, clipping and merging agree with each other and with counting small steps of time."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from actline.timeline.intervals import clip, intersection_and_union, merge, temporal_iou

ends = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted).map(tuple)


def steps(segment: tuple[int, int]) -> set[int]:
    return set(range(*segment))


@given(ends, ends)
def test_overlap_is_the_shared_part_of_what_two_segments_cover(first, second):
    shared, union = intersection_and_union(*first, *second)
    assert shared == len(steps(first) & steps(second))
    if steps(first) & steps(second):
        assert union == len(steps(first) | steps(second))
    assert temporal_iou(*first, *second) == (shared / union if union else 0.0)
    assert temporal_iou(*first, *second) == temporal_iou(*second, *first)


@given(ends, ends)
def test_clipping_leaves_the_part_inside_and_turns_what_is_outside_around(segment, bounds):
    start, end = clip(*segment, first=bounds[0], last=bounds[1])
    assert set(range(int(start), int(end))) == steps(segment) & steps(bounds)


@given(st.lists(ends, max_size=8))
def test_merged_segments_cover_the_same_time_once(segments):
    merged = merge(segments)
    assert set().union(*map(steps, merged)) == set().union(*map(steps, segments))
    assert all(one[1] < other[0] for one, other in pairwise(merged))


def test_segments_of_no_length_overlap_nothing():
    assert temporal_iou(1.0, 1.0, 1.0, 1.0) == 0.0
    assert temporal_iou(1.0, 1.0, 0.0, 2.0) == 0.0


def test_shapes_broadcast():
    start, end = np.zeros((3, 1)), np.ones((3, 1))
    assert temporal_iou(start, end, np.zeros(5), np.ones(5)).shape == (3, 5)
    assert [one.shape for one in clip(start, end, last=np.ones(5))] == [(3, 1), (3, 5)]
