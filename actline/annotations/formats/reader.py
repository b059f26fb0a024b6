"""The interface of annotation formats: each file in this folder defines one `Reader`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actline.annotations.annotations import Annotations
from actline.annotations.classes import read_classes
from actline.annotations.reading import Reading


@dataclass(frozen=True, slots=True)
class Given:
    """A folder or file to read, with the content its format is recognized by.

    Attributes:
        path: path of the folder or file.
        is_folder: whether it is a folder; text, header and content are then empty.
        text: the whole text of a file.
        header: column names, in lower case, of a file that is not JSON.
        content: the object in a JSON file.
    """

    path: Path
    is_folder: bool = False
    text: str = ""
    header: tuple[str, ...] = ()
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reader:
    """An annotation format.

    Attributes:
        name: its name for users.
        recognizes: whether a folder or file has this format.
        read: reads it. Mistakes go to `Reading.mistake`, labels through `Reading.label`, and each
            video through `Reading.video`, which cuts activities to the video.
    """

    name: str
    recognizes: Callable[[Given], bool]
    read: Callable[[Given, Reading], Annotations]


def with_classes(reading: Reading, beside: Path | None) -> Reading:
    """The reading with the classes listed in a file next to the annotations.

    Unchanged if classes were given, or if there is no such file.
    """
    if reading.classes is not None or beside is None:
        return reading
    return replace(reading, classes=read_classes(beside))
