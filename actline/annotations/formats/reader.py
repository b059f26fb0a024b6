"""What an annotation format is: each file of this folder makes one value of `Reader`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actline.annotations.annotations import Annotations
from actline.annotations.classes import read_classes
from actline.annotations.reading import Reading


@dataclass(frozen=True, slots=True)
class Given:
    """A folder or file to read, with what its form is told by.

    Attributes:
        path: of the folder or file.
        is_folder: whether it is a folder; text, header and content are then empty.
        text: of a file, whole.
        header: column names, in small letters, of a file that is not JSON.
        content: the object that a JSON file holds.
    """

    path: Path
    is_folder: bool = False
    text: str = ""
    header: tuple[str, ...] = ()
    content: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reader:
    """A form of annotations.

    Attributes:
        name: as users know it.
        recognizes: whether a folder or file is of this form.
        read: what it holds. Mistakes go to `Reading.mistake`, labels through `Reading.label`,
            and each video through `Reading.video`, which mends what is beyond its ends.
    """

    name: str
    recognizes: Callable[[Given], bool]
    read: Callable[[Given, Reading], Annotations]


def with_classes(reading: Reading, beside: Path | None) -> Reading:
    """The reading with the classes that a file beside the annotations lists.

    As it is where classes were given, or where there is no such file.
    """
    if reading.classes is not None or beside is None:
        return reading
    return replace(reading, classes=read_classes(beside))
