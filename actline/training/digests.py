"""Digests of what a run depends on: annotations and files.

Files are compared by their size and by samples of their content, so that a copy does not count as a
change, and another file of the same name does.
"""

import errno
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from actline.annotations.annotations import AnnotatedVideo
from actline.errors import TrainingError
from actline.files import walk

# A file is identified by its size and three samples.
_SAMPLE = 4096


def annotation_digests(videos: Sequence[AnnotatedVideo]) -> dict[str, str]:
    """A digest of each video's annotations."""
    return {
        video.id: _short(
            repr((video.duration, video.activities, video.ambiguous, video.truth)).encode()
        )
        for video in videos
    }


def file_digests(files: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """The sizes and samples of the content of files, or of folders such as those of frames.

    A missing file has none: whatever reads it reports that.

    Raises:
        TrainingError: one cannot be read.
    """
    paths = {path for each in files.values() for path in each if path.exists()}
    with ThreadPoolExecutor(16) as pool:
        digests = dict(zip(paths, pool.map(_file_digest, paths), strict=True))
    return {name: " ".join(digests.get(p, "") for p in each) for name, each in files.items()}


def _file_digest(path: Path) -> str:
    try:
        return _digest_of(path)
    except OSError as error:
        raise TrainingError(
            f"cannot read {path}: {error.strerror or error}; copy it again, or leave its video out"
        ) from error


def _digest_of(path: Path) -> str:
    if path.is_dir():
        inside = sorted(Path(f, n) for f, _, names in walk(path) for n in names)
        inside = [one for one in inside if one.is_file()]
        listed = [f"{p.relative_to(path).as_posix()} {p.stat().st_size}" for p in inside]
        samples = [_file_digest(p) for p in (*inside[:1], *inside[-1:])]
        return _short("\n".join([*listed, *samples]).encode())
    if not path.is_file() and path.exists():  # reading a pipe would block
        raise OSError(errno.EINVAL, "it is not a regular file")
    size = path.stat().st_size
    parts = [str(size).encode()]
    with path.open("rb") as file:
        for start in (0, max(0, size // 2), max(0, size - _SAMPLE)):
            file.seek(start)
            parts.append(file.read(_SAMPLE))
    return _short(b"".join(parts))


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
