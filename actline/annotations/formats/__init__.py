"""Annotation formats, one file per data set or tool, collected in `READERS`."""

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
"""In the order in which they are tried on a folder or file; any other text is a table."""
