"""JSON read within limits: bounded depth, and no entry silently lost to a duplicate name."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from actline.errors import ActlineError
from actline.stored.limits import lifted, limits
from actline.stored.text import read_text, reason, refuse_pipe


def read_json(path: Path, *, error: type[ActlineError], what: str) -> Any:
    """The value of a JSON file.

    Raises:
        ActlineError: of kind `error`: as `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, error=error, what=what), path, error=error)


def parse_json(text: str, where: str | Path, *, error: type[ActlineError]) -> Any:
    """The value of a JSON text; errors begin with `where`, its origin.

    Raises:
        ActlineError: of kind `error`: it is not complete JSON, is nested too deeply, contains
            unpaired surrogates, or has two different entries with the same name, one of which would
            be lost.
    """

    try:
        value = json.loads(text, object_pairs_hook=_unique(where, error))
    except json.JSONDecodeError as wrong:
        cut = "the file is cut off" if wrong.pos >= len(text.rstrip()) else wrong.msg
        raise error(
            f"{where}, line {wrong.lineno}: not valid JSON ({cut}); copy or export it again"
        ) from wrong
    except (ValueError, RecursionError, MemoryError) as wrong:
        raise _unreadable(where, error, wrong) from wrong
    # In UTF-8 text an unpaired surrogate can only come from an escape.
    escapes = "\\u" in text
    if escapes or text.count("[") + text.count("{") > limits().depth:
        _check_content(value, where, error, names=escapes)
    return value


class Entry(NamedTuple):
    """An entry of a JSON object read as a stream.

    Attributes:
        inside: the name of the object it is in; None for the outermost.
        goes_on: whether it continues the list of the entry before it.
    """

    inside: str | None
    name: str
    value: Any
    goes_on: bool = False


def stream_json(
    path: Path, inside: str, *, error: type[ActlineError], what: str
) -> Iterator[Entry]:
    """The entries of a JSON file's object, one by one, without loading the whole file.

    The entries of the object `inside` are yielded one by one, after an empty object in its own
    place. A list in it of more than a few MiB is yielded in pieces. If two entries of `inside` have
    the same name, both are yielded.

    Args:
        inside: the name of the object to look into, such as "results".

    Raises:
        ActlineError: of kind `error`: the file is missing, unreadable, too large, not UTF-8 or
            empty; and, while iterating: it is not one complete JSON object, or contains unpaired
            surrogates.
    """
    most = limits().results_mib
    try:
        refuse_pipe(path, error=error, what=what)
        size = path.stat().st_size
        if size > most << 20:
            raise error(
                f"{path} is {size >> 20} MiB, more than {most}; split it, "
                f"or {lifted('results_mib')}"
            )
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _Stream(file, path, error).entries(inside)
    except FileNotFoundError as missing:
        raise error(f"no {what} at {path}; check the path") from missing
    except OSError as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure
    except UnicodeDecodeError as wrong:
        raise error(f"{path} is not UTF-8 text; save it as UTF-8") from wrong


# Characters read at a time, and the length above which a list is read in pieces.
_CHUNK, _LONG = 1 << 22, 1 << 24
# A value that ends this close to the end of the text read so far may continue after it.
_MARGIN = 64
_SPACE = re.compile(r"[ \t\r\n]*")


class _Stream:
    """JSON read piece by piece: `text` from `at` on is read but not yet parsed."""

    def __init__(self, file: TextIO, path: Path, error: type[ActlineError]) -> None:
        self.file, self.path, self.error = file, path, error
        self.text, self.at, self.ended = "", 0, False
        self.line, self.taken = 1, 0  # lines before `text`; characters of parsed values
        decoder = json.JSONDecoder(object_pairs_hook=_unique(path, error))
        # Returns the value at a position in a text, and where it ends.
        self.scan: Callable[[str, int], tuple[Any, int]] = decoder.scan_once  # type: ignore[attr-defined]

    def entries(self, inside: str) -> Iterator[Entry]:
        """As `stream_json`."""
        seen = set()
        self._expect("{")
        for name in self._names():
            if name in seen:
                raise self.error(f'{self.path}: "{name}" appears twice; remove one')
            seen.add(name)
            if name == inside and self._next() == "{":
                self.at += 1
                yield Entry(None, inside, {})
                for one in self._names():
                    for number, value in enumerate(self._pieces()):
                        yield Entry(inside, one, value, number > 0)
            else:
                value = self._value()
                _check_content(value, self.path, self.error, names=False)
                yield Entry(None, name, value)
        if self._next():
            raise self._invalid("data after the end", self.at)

    def _names(self) -> Iterator[str]:
        """The names in an open object; the caller must take the value after each."""
        if self._next() == "}":
            self.at += 1
            return
        while True:
            if self._next() != '"':
                raise self._invalid("a name in quotation marks is missing", self.at)
            name = self._value()
            self._expect(":")
            yield name
            if self._expect("}", ",") == "}":
                return

    def _pieces(self) -> Iterator[Any]:
        """The value of an entry; a long list is yielded as several lists."""
        if self._next() != "[":
            yield self._value()
            return
        try:
            yield self._value(most=_LONG)
            return
        except _LongError:
            self.at += 1
        piece, before = [], self.taken
        while True:
            piece.append(self._value())
            if self._expect("]", ",") == "]":
                yield piece
                return
            if self.taken - before > _LONG:
                yield piece
                piece, before = [], self.taken

    def _value(self, *, most: int | None = None) -> Any:
        """Take the next value.

        Raises:
            _LongError: the value does not end within `most` characters.
        """
        self._next()
        bound = limits().text_mib << 20
        while True:
            try:
                value, end = self.scan(self.text, self.at)
                if end == len(self.text) and not self.ended:
                    self._read()  # a number may continue
                    continue
            except (json.JSONDecodeError, StopIteration) as wrong:
                at = wrong.pos if isinstance(wrong, json.JSONDecodeError) else wrong.value
                problem = wrong.msg if isinstance(wrong, json.JSONDecodeError) else "no value"
                goes_on = at > len(self.text) - _MARGIN or problem.startswith("Unterminated")
                if self.ended or not goes_on:
                    raise self._invalid(problem, at) from wrong
                if most is not None and len(self.text) - self.at > most:
                    raise _LongError from wrong
                if len(self.text) - self.at > bound:
                    raise self.error(
                        f"{self.path}: an entry is more than {bound >> 20} MiB; "
                        f"{lifted('text_mib')}"
                    ) from wrong
                self._read()
                continue
            except (ValueError, RecursionError, MemoryError) as wrong:
                raise _unreadable(self.path, self.error, wrong) from wrong
            # In UTF-8 text an unpaired surrogate can only come from an escape.
            if any(self.text.find(half, self.at, end) >= 0 for half in ("\\ud", "\\uD")):
                _check_content(value, self.path, self.error, names=True)
            self.taken += end - self.at
            self.at = end
            return value

    def _next(self) -> str:
        """Peek at the next character that is not a space; "" at the end."""
        while True:
            match = _SPACE.match(self.text, self.at)
            assert match is not None  # it matches an empty string too
            self.at = match.end()
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self._read()

    def _expect(self, *signs: str) -> str:
        """Take the next character, which must be one of `signs`."""
        sign = self._next()
        if sign not in signs or not sign:
            raise self._invalid(f"{' or '.join(signs)} is missing", self.at)
        self.at += 1
        return sign

    def _read(self) -> None:
        """Read more text, twice as much each time one value needs more than a chunk."""
        self.line += self.text.count("\n", 0, self.at)
        rest = self.text[self.at :]
        more = self.file.read(max(_CHUNK, len(rest)))
        self.ended = not more
        self.text, self.at = rest + more, 0

    def _invalid(self, problem: str, at: int) -> ActlineError:
        if self.ended and (at >= len(self.text.rstrip()) or problem.startswith("Unterminated")):
            problem = "the file is cut off"
        line = self.line + self.text.count("\n", 0, at)
        return self.error(
            f"{self.path}, line {line}: not valid JSON ({problem}); copy or export it again"
        )


class _LongError(Exception):
    """A value is too long to be parsed in one piece."""


def _unique(
    where: str | Path, error: type[ActlineError]
) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """A function that makes a dict of an object's entries and refuses duplicate names."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) < len(pairs):
            for name, value in pairs:
                if entries[name] != value:
                    raise error(
                        f'{where}: "{name}" appears twice, with different content; remove one'
                    )
        return entries

    return unique


def _unreadable(where: str | Path, error: type[ActlineError], wrong: BaseException) -> ActlineError:
    """The error for a number of thousands of digits, too many brackets, or too little memory."""
    if isinstance(wrong, RecursionError):
        return error(f"{where} is nested too deeply; export it again")
    if isinstance(wrong, ValueError):
        return error(f"{where} contains a number of thousands of digits; export it again")
    return error(f"{where}: JSON that cannot be read ({reason(wrong)}); export it again")


def _check_content(
    value: Any, where: str | Path, error: type[ActlineError], *, names: bool
) -> None:
    """Refuse content nested too deeply and, with `names`, text with unpaired surrogates."""
    most = limits().depth
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict):
            inside = (*one, *one.values()) if names else one.values()
        elif isinstance(one, list):
            inside = one
        else:
            if names and isinstance(one, str) and not one.isascii() and _HALF.search(one):
                raise error(
                    f"{where} contains unpaired surrogates (\\ud800 to \\udfff); export it again"
                )
            continue
        if depth > most:
            raise error(f"{where} is nested more than {most} levels deep; {lifted('depth')}")
        kinds = (dict, list, str) if names else (dict, list)
        waiting.extend((child, depth + 1) for child in inside if isinstance(child, kinds))


_HALF = re.compile("[\ud800-\udfff]")
