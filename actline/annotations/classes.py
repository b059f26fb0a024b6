"""The list of classes that accompanies annotations."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from actline.errors import AnnotationError
from actline.parsing import parse_name, trimmed
from actline.stored.text import read_text


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Class names in the order of the model's outputs, as listed in a file.

    Attributes:
        numbers: class index by the number used in annotations: the index itself, except for a file
            that numbers its lines (`c000 Name`, `1 Name`, or THUMOS-14's `7 Name`).
        source: the file's name.
    """

    names: tuple[str, ...]
    numbers: dict[int, int]
    source: str
    _known: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", frozenset(self.names))

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def numbered(self, number: str) -> str | None:
        """The class with a number, given as text, or None."""
        index = self.numbers.get(int(number)) if number.isdecimal() and len(number) < 7 else None
        return None if index is None else self.names[index]

    def lacks(self, name: str, *, suggest: bool = True) -> str:
        """The error message for a class that is not listed, with the nearest one that is."""
        near = difflib.get_close_matches(name, self.names, 1) if suggest else ()
        fix = f'did you mean "{near[0]}"?' if near else "add it there or leave it out"
        return f'class "{name}" is not among the classes of {self.source}; {fix}'


def read_classes(path: str | Path) -> ClassNames:
    """Read class names, one per line, or as Charades' `c000 Name` or THUMOS-14's `7 Name`.

    Raises:
        AnnotationError: the file is missing, empty, not UTF-8, or lists a class twice.
    """
    return parse_classes(read_text(Path(path), error=AnnotationError, what="classes"), Path(path))


def parse_classes(text: str, path: Path) -> ClassNames:
    """The classes of a file, one per line; lines count as numbered only if all of them are.

    Raises:
        AnnotationError: two lines have the same name or number, or a name is invalid.
    """
    # Not `splitlines`, which would also split a class at unusual characters.
    lines = [trimmed(line) for line in re.split(r"\r\n|\r|\n", text)]
    lines = [line for line in lines if line]
    numbered = [match for line in lines if (match := re.fullmatch(r"c?(\d{1,6})\s+(\S.*)", line))]
    ids = [int(match[1]) for match in numbered]
    # "2 people talking" may be a name: numbers count, from 0 or from 1.
    counting = sorted(ids) in (list(range(len(lines))), list(range(1, len(lines) + 1)))
    as_charades = len(ids) == len(lines) and all(line.startswith("c") for line in lines)
    if as_charades or (len(ids) == len(lines) and (counting or _as_thumos(numbered))):
        pairs = sorted(zip(ids, (match[2] for match in numbered), strict=True))
    else:
        pairs = list(enumerate(lines))
    names = tuple(parse_name(name, "class", str(path)) for _, name in pairs)
    numbers = {number: index for index, (number, _) in enumerate(pairs)}
    for kind, given in (("class", names), ("number", tuple(number for number, _ in pairs))):
        seen: set[str | int] = set()
        for one in given:
            if one in seen:
                raise AnnotationError(f"{path}: {kind} {one} appears twice; remove one line")
            seen.add(one)
    return ClassNames(names, numbers, path.name)


def _as_thumos(numbered: Sequence[re.Match[str]]) -> bool:
    """Whether lines are like `7 BaseballPitch`, `9 BasketballDunk`: increasing numbers with gaps.

    Unique names of one word distinguish them from "2 people", "4 people".
    """
    ids, names = [int(match[1]) for match in numbered], [match[2] for match in numbered]
    rising = all(first < second for first, second in pairwise(ids))
    words = all(re.fullmatch("[A-Z][A-Za-z]+", name) for name in names)
    return len(ids) > 1 and rising and words and len(set(names)) == len(names)
