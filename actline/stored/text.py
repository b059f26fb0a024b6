"""Text and bytes of a file, up to a maximum size."""

from collections.abc import Iterator
from pathlib import Path

from actline.errors import ActlineError
from actline.stored.limits import lifted, limits

_FIRST_BYTES = 1 << 16
_LINE_CHARACTERS = 1 << 20

_PIECE = 1 << 20


def read_bytes(path: Path, *, error: type[ActlineError], what: str, mib: str = "text_mib") -> bytes:
    """The bytes of a file, if it is not larger than a limit.

    Args:
        error: what to raise.
        what: what the file should hold, such as "annotations".
        mib: the limit's name.

    Raises:
        ActlineError: of kind `error`: it is missing, unreadable, too large or not a regular file.
    """
    most = getattr(limits(), mib)
    try:
        refuse_pipe(path, error=error, what=what)
        size = path.stat().st_size
        if size > most << 20:
            raise error(
                f"{path} is {size >> 20} MiB, more than the {most} that can be read at once; "
                f"split it, or {lifted(mib)}"
            )
        with path.open("rb") as file:
            # Ask for no more than the file's size: `read` allocates all that it is asked for.
            pieces = [file.read(size)]
            left = (most << 20) - len(pieces[0])
            # The size of a device or a growing file is not reliable.
            while left >= 0 and (piece := file.read(min(left + 1, _PIECE))):
                pieces.append(piece)
                left -= len(piece)
        raw = b"".join(pieces) if len(pieces) > 1 else pieces[0]
    except FileNotFoundError as missing:
        raise error(f"no {what} at {path}; check the path") from missing
    except (OSError, ValueError) as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure
    except MemoryError as failure:
        raise error(f"{path} does not fit into memory; split it") from failure
    if left < 0:
        raise error(f"{path} does not end; give a file with {what}")
    return raw


def read_text(path: Path, *, error: type[ActlineError], what: str, mib: str = "text_mib") -> str:
    """The UTF-8 text of a file, with or without a byte order mark.

    Raises:
        ActlineError: of kind `error`: as `read_bytes`, or it is empty or not UTF-8.
    """
    raw = read_bytes(path, error=error, what=what, mib=mib)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise error(f"{path} is not UTF-8 text; save it as UTF-8") from wrong
    if not text.strip("\0 \t\r\n"):
        raise error(f"{path} is empty, and holds no {what}; give another file")
    return text


def first_text(path: Path, *, error: type[ActlineError], what: str) -> str:
    """The beginning of a text file, to recognize its format, without a character cut in two.

    Raises:
        ActlineError: of kind `error`: it is missing, unreadable, empty or not a regular file.
    """
    try:
        refuse_pipe(path, error=error, what=what)
        with path.open("rb") as file:
            text = file.read(_FIRST_BYTES).decode("utf-8-sig", "ignore")
    except FileNotFoundError as missing:
        raise error(f"no {what} at {path}; check the path") from missing
    except (OSError, ValueError) as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure
    if not text.strip("\0 \t\r\n"):
        raise error(f"{path} is empty; give a file with {what}")
    return text


def text_lines(path: Path, *, error: type[ActlineError], what: str) -> Iterator[str]:
    """The lines of a UTF-8 text file with their line ends, without loading the whole file.

    Raises:
        ActlineError: of kind `error`, while iterating: it is missing, unreadable, larger than
            `results_mib`, or not UTF-8, or has a line of more than a million characters.
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
            number = 0
            while line := file.readline(_LINE_CHARACTERS):
                number += 1
                if len(line) == _LINE_CHARACTERS:
                    raise error(
                        f"{path}, line {number}: more than {_LINE_CHARACTERS} characters; "
                        f"give a file with {what}"
                    )
                yield line
    except FileNotFoundError as missing:
        raise error(f"no {what} at {path}; check the path") from missing
    except UnicodeDecodeError as wrong:
        raise error(f"{path} is not UTF-8 text; save it as UTF-8") from wrong
    except OSError as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure


def refuse_pipe(path: Path, *, error: type[ActlineError], what: str) -> None:
    """Refuse a pipe or a device before it is opened: one would block, the other never ends.

    An unpacked archive or a cloned folder may contain one unnoticed.

    Raises:
        ActlineError: of kind `error`.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise error(f"{path} is not a regular file; write the {what} into one")


def reason(failure: BaseException) -> str:
    """The reason for a system error, in one line."""
    return getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
