"""JSON within limits: bounded depth, no entry lost to another of its name."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from actline.errors import ActlineError
from actline.stored.limits import lifted, limits
from actline.stored.text import read_text, reason


def read_json(path: Path, *, error: type[ActlineError], what: str) -> Any:
    """The value of a JSON file.

    Raises:
        ActlineError: of kind `error`: as `read_text` and `parse_json`.
    """
    return parse_json(read_text(path, error=error, what=what), path, error=error)


def parse_json(text: str, where: str | Path, *, error: type[ActlineError]) -> Any:
    """The value of a JSON text; `where` it stood starts an error's line.

    Raises:
        ActlineError: of kind `error`: it is not whole JSON, is nested too deeply, holds halves of
            characters, or two different entries have one name, of which one would be lost.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) < len(pairs):
            for name, value in pairs:
                if entries[name] != value:
                    raise error(
                        f'{where}: "{name}" appears twice, with different content; remove one'
                    )
        return entries

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as wrong:
        cut = "the file is cut off" if wrong.pos >= len(text.rstrip()) else wrong.msg
        raise error(
            f"{where}, line {wrong.lineno}: not valid JSON ({cut}); copy or export it again"
        ) from wrong
    except (ValueError, RecursionError, MemoryError) as wrong:
        # A number of thousands of digits, or more than the memory holds.
        raise error(f"{where}: JSON that cannot be read ({reason(wrong)}); export it again") from (
            wrong
        )
    # Only an escape can bring half of a character into text that was UTF-8.
    escapes = "\\u" in text
    if escapes or text.count("[") + text.count("{") > limits().depth:
        _check_content(value, where, error, names=escapes)
    return value


def stream_entries(
    path: Path, prefix: str, *, error: type[ActlineError], what: str
) -> Iterator[tuple[str, Any]]:
    """The entries of one object of a JSON file, one after another, without holding the whole.

    Args:
        prefix: where the object stands, such as "results"; "" is the whole file.

    Raises:
        ActlineError: of kind `error`: the file is missing, unreadable, too large or not whole
            JSON; while iterating, for what stands behind.
    """
    most = limits().results_mib
    try:
        size = path.stat().st_size
        if size > most << 20:
            raise error(
                f"{path} has {size >> 20} MiB, more than {most}; split it, "
                f"or {lifted('results_mib')}"
            )
        with path.open("rb") as file:
            if file.read(3) != b"\xef\xbb\xbf":
                file.seek(0)
            yield from ijson.kvitems(file, prefix, use_float=True)
    except FileNotFoundError as missing:
        raise error(f"no {what} at {path}; check the path") from missing
    except OSError as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure
    except (ijson.JSONError, ValueError, OverflowError, RecursionError, MemoryError) as wrong:
        told = " ".join(str(wrong).split())[:80]
        raise error(f"{path} is not valid JSON ({told}); copy or export it again") from wrong


def _check_content(
    value: Any, where: str | Path, error: type[ActlineError], *, names: bool
) -> None:
    """Refuse what is nested too deeply and, with `names`, texts that are not whole characters."""
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
                    f"{where} holds halves of characters (\\ud800 to \\udfff); export it again"
                )
            continue
        if depth > most:
            raise error(f"{where} is nested more than {most} levels deep; {lifted('depth')}")
        kinds = (dict, list, str) if names else (dict, list)
        waiting.extend((child, depth + 1) for child in inside if isinstance(child, kinds))


_HALF = re.compile("[\ud800-\udfff]")
