"""Fingerprint of a generated set: a hash of its decoded pixels and labels, and published hashes.

H.264 decodes to the same pixels everywhere, so two sets with the same hash are identical.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import av.error

from actline.annotations.check import Finding
from actline.errors import OutputError, VideoError
from actline.files import write_text
from actline.generated.encode import encoder
from actline.parsing import parse_id
from actline.stored.json_text import read_json
from actline.stored.text import read_bytes
from actline.video.container import opened

SETTINGS, HASHES = "generated.json", "hashes.json"
LABELS = ("annotations.json", "classes.txt")


@dataclass(frozen=True)
class Hashes:
    """SHA-256 of a set's parts, as hexadecimal digits.

    Attributes:
        encoder: what encoded the videos, with its version.
        labels: of the files of annotations and classes.
        videos: hash of every video's decoded pixels and times, by id.
    """

    encoder: str
    labels: str
    videos: Mapping[str, str]

    @property
    def whole(self) -> str:
        """Hash of the whole set: its labels and all its videos."""
        lines = [self.labels, *(f"{name} {pixels}" for name, pixels in sorted(self.videos.items()))]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Identity:
    """Which set a folder holds.

    Attributes:
        whole: its hash.
        verdict: how it compares with the published one, as the rest of a sentence.
        published: whether it is equal to the published one; None if there is none to compare with,
            or it was encoded by another version.
    """

    whole: str
    verdict: str
    published: bool | None


def video_hash(path: Path) -> str:
    """SHA-256 of a video's decoded planes and times, before any conversion.

    Raises:
        VideoError: it cannot be read.
    """
    digest = hashlib.sha256()
    with opened(path) as (container, stream):
        stream.codec_context.thread_count = 1  # small pictures: threads cost more than they save
        try:
            for frame in container.decode(stream):
                shape = f"{frame.time} {frame.width}x{frame.height} {frame.format.name}\n"
                digest.update(shape.encode())
                if frame.format.name == "yuv420p":  # as all that we write
                    digest.update(frame.to_ndarray().tobytes())
        except av.error.FFmpegError as error:
            raise VideoError(f"{path} cannot be decoded to its end; generate it again") from error
    return digest.hexdigest()


def labels_hash(folder: Path) -> str:
    """SHA-256 of a set's files of labels.

    Raises:
        OutputError: one cannot be read.
    """
    digest = hashlib.sha256()
    for name in LABELS:
        try:
            digest.update(read_bytes(folder / name, error=OutputError, what="labels"))
        except OutputError as error:
            raise OutputError(f"cannot read {folder / name}; generate the set again") from error
    return digest.hexdigest()


def write_hashes(folder: Path, videos: Mapping[str, str]) -> Hashes:
    """Write a set's hashes into its folder."""
    hashes = Hashes(encoder(), labels_hash(folder), dict(videos))
    content = {"set": hashes.whole, **asdict(hashes)}
    write_text(folder / HASHES, json.dumps(content, indent=1) + "\n")
    return hashes


def read_hashes(folder: Path) -> Hashes | None:
    """The hashes of a set when it was written, or None.

    Raises:
        OutputError: the note cannot be read.
        AnnotationError: it contains an invalid video id.
    """
    path = folder / HASHES
    if not path.exists():
        return None
    content = _mapping(path)
    videos = content.get("videos")
    if not isinstance(videos, dict):
        raise OutputError(f"{path} holds no hashes of videos; remove it and generate the set again")
    # They are looked for by these names.
    named = {parse_id(name, str(path)): str(pixels) for name, pixels in videos.items()}
    return Hashes(str(content.get("encoder")), str(content.get("labels")), named)


def compare_with_published(folder: Path, hashes: Hashes) -> Identity:
    """Compare a set with the published one of its settings.

    Raises:
        OutputError: the note of its settings cannot be read.
    """
    settings = _mapping(folder / SETTINGS)
    wanted = {
        "profile": _name(settings.get("profile")),
        "difficulty": _name(settings.get("difficulty")),
        **{key: settings.get(key) for key in ("seed", "size", "rate")},
        "videos": len(hashes.videos),
    }
    for entry in published():
        if {key: entry[key] for key in wanted} != wanted:
            continue
        if entry["set"] == hashes.whole:
            return Identity(hashes.whole, "it is the published set", True)
        if entry["encoder"] != hashes.encoder:
            told = (
                f"it is not the published set, which {entry['encoder']} encoded, and "
                f"{hashes.encoder} this one; scores on it are not comparable to the last digit"
            )
            return Identity(hashes.whole, told, None)
        told = f"it is NOT the published set, whose hash is {entry['set']}; generate it again"
        return Identity(hashes.whole, told, False)
    return Identity(hashes.whole, "no hash is published for these settings", None)


def published() -> list[dict[str, Any]]:
    """The published sets: their settings, encoder and hash."""
    path = files("actline.generated").joinpath("published.json")
    return json.loads(path.read_text(encoding="utf-8"))


def check_generated(
    folder: Path, videos: Path, *, advance: Callable[[], None] = lambda: None
) -> tuple[tuple[Finding, ...], Identity | None]:
    """Decode a generated set and compare it with its stored and published hashes.

    Videos that cannot be read are skipped: other checks report them.

    Args:
        folder: of the set.
        videos: of its video files.
        advance: called once per video.

    Raises:
        OutputError: the notes of the set cannot be read.
    """
    noted = read_hashes(folder)
    if noted is None:
        told = f"no {HASHES} in {folder}; run the same `actline data generate` again"
        return (Finding("generated sets without hashes", (told,), serious=False),), None

    def look(name: str) -> str | None:
        path = videos / f"{name}.mp4"
        try:
            found = video_hash(path) if path.is_file() else None
        except Exception:  # one broken video does not stop the others
            found = None
        advance()
        return found

    with ThreadPoolExecutor() as pool:
        found = dict(zip(noted.videos, pool.map(look, noted.videos), strict=True))
    findings = []
    other = [name for name, pixels in found.items() if pixels not in (None, noted.videos[name])]
    if other:
        what = "videos whose pixels are not those that were generated"
        findings.append(Finding(what, tuple(other), serious=True))
    labels = labels_hash(folder)
    if labels != noted.labels:
        told = f"{' or '.join(LABELS)} was changed; generate the set again"
        findings.append(Finding("labels that are not those that were generated", (told,), True))
    if None in found.values():
        return tuple(findings), None
    now = Hashes(noted.encoder, labels, {name: str(pixels) for name, pixels in found.items()})
    same = compare_with_published(folder, now)
    if same.published is False and not findings:
        findings.append(Finding("sets that differ from the published one", (same.verdict,), True))
    return tuple(findings), same


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path, error=OutputError, what="settings of a generated set")
    except OutputError as error:
        raise OutputError(f"cannot read {path}; generate the set again") from error
    if not isinstance(content, dict):
        raise OutputError(f"{path} is not what `actline data generate` writes; generate it again")
    return content


def _name(settings: object) -> object:
    return settings.get("name") if isinstance(settings, dict) else None
