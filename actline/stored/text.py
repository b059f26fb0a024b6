"""Text and bytes of a file, within a size."""

from pathlib import Path

from actline.errors import ActlineError
from actline.stored.limits import lifted, limits


def read_bytes(path: Path, *, error: type[ActlineError], what: str, mib: str = "text_mib") -> bytes:
    """The bytes of a file that is not larger than a limit.

    Args:
        error: what to raise.
        what: the file should hold, such as "annotations".
        mib: the limit's name.

    Raises:
        ActlineError: of kind `error`: it is missing, unreadable or too large.
    """
    most = getattr(limits(), mib)
    try:
        size = path.stat().st_size
        if size > most << 20:
            raise error(
                f"{path} has {size >> 20} MiB, more than the {most} that are read at once; "
                f"split it, or {lifted(mib)}"
            )
        # A device or a growing file has no honest size.
        with path.open("rb") as file:
            raw = file.read((most << 20) + 1)
    except FileNotFoundError as missing:
        raise error(f"no {what} at {path}; check the path") from missing
    except (OSError, ValueError) as failure:
        raise error(f"cannot read {path}: {reason(failure)}; check the path") from failure
    except MemoryError as failure:
        raise error(f"{path} does not fit into memory; split it") from failure
    if len(raw) > most << 20:
        raise error(f"{path} has no end; give a file with {what}")
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
        raise error(f"{path} is empty; give a file with {what}")
    return text


def reason(failure: BaseException) -> str:
    """Why the system could not do it, in one line."""
    return getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
