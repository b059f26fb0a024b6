"""The list of classes that comes beside annotations."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from actline.errors import AnnotationError


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Names in the order of the model's outputs, as a file lists them.

    Attributes:
        numbers: index by the number that annotations call the class by; the index itself, but
            for a file that numbers its lines (`c000 Name`, or `1 Name`).
        source: the file's name.
    """

    names: tuple[str, ...]
    numbers: dict[int, int]
    source: str

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def lacks(self, name: str) -> str:
        """The error's words for a class that is not listed."""
        near = difflib.get_close_matches(name, self.names, 1)
        mend = f'did you mean "{near[0]}"?' if near else "add it there or leave it out"
        return f'class "{name}" is not among the classes of {self.source}; {mend}'


def parse_classes(text: str, path: Path) -> ClassNames:
    """The classes of a file, one a line; numbered lines are told by their being so throughout.

    Raises:
        AnnotationError: two lines have the same name or number.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    numbered = [match for line in lines if (match := re.fullmatch(r"c?(\d{1,6})\s+(\S.*)", line))]
    ids = [int(match[1]) for match in numbered]
    # "2 people talking" may be a name: numbers count, from 0 or from 1.
    counting = sorted(ids) in (list(range(len(lines))), list(range(1, len(lines) + 1)))
    as_charades = len(ids) == len(lines) and all(line.startswith("c") for line in lines)
    if as_charades or (counting and len(ids) == len(lines)):
        pairs = sorted(zip(ids, (match[2] for match in numbered), strict=True))
    else:
        pairs = list(enumerate(lines))
    names = tuple(name for _, name in pairs)
    numbers = {number: index for index, (number, _) in enumerate(pairs)}
    for kind, given in (("class", names), ("number", tuple(number for number, _ in pairs))):
        twice = next((one for index, one in enumerate(given) if one in given[:index]), None)
        if twice is not None:
            raise AnnotationError(f"{path}: {kind} {twice} is there twice; take one line away")
    return ClassNames(names, numbers, path.name)
