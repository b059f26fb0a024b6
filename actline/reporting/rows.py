"""Which classes a picture of a timeline has rows for, and in which order."""

from collections.abc import Sequence

import numpy as np

from actline.errors import PredictionError
from actline.timeline import Activity, Timeline


def rows_of(
    timeline: Timeline,
    truth: Sequence[Activity] | None,
    classes: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """The classes to show, top to bottom.

    Those of all activities in the order in which they first happen; the most probable ones where
    there is no activity; or `classes` as they are.

    Raises:
        PredictionError: a class of `classes` is nowhere in the timeline or the truth.
    """
    activities = sorted(
        (*timeline.activities, *(truth or ())), key=lambda activity: (activity.start, activity.end)
    )
    present = dict.fromkeys(activity.label for activity in activities)
    scores = timeline.scores
    if classes is not None:
        known = {*present, *(scores.classes if scores is not None else ())}
        for name in classes:
            if name not in known:
                raise PredictionError(
                    f'class "{name}" is nowhere in the predictions of {timeline.video}'
                )
        return tuple(dict.fromkeys(classes))
    if present or scores is None or not len(scores.times):
        return tuple(present)
    likely = np.argsort(-scores.probabilities.max(axis=0), kind="stable")[:5]
    return tuple(scores.classes[column] for column in sorted(likely))
