"""Annotation formats, one file for each data set or tool, its value in `READERS`."""

from actline.annotations.formats import (
    activitynet,
    charades,
    kinetics,
    multithumos,
    table,
    thumos,
)
from actline.annotations.formats.reader import Reader

READERS: tuple[Reader, ...] = (
    thumos.READER,
    multithumos.READER,
    charades.READER,
    kinetics.READER,
    activitynet.READER,
    table.READER,
)
"""In the order in which a folder or file is told by its content; a table is any other text."""
