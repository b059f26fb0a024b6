"""What results were made of: the model and settings of a folder, the input of each video in it.

A second run skips what is done already. That is the same input with the same model and settings,
not just a file of the same name: cameras number their files alike, and videos are replaced.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actline.detection.detector import Detector
from actline.errors import ActlineError, OutputError
from actline.files import Claims, identity, write_text
from actline.stored.json_text import read_json
from actline.video.find import Video
from actline.video.timestamps import CLOCK

NAME = "detections.meta"
RECORDS = ".done"


class DetectionRecords:
    """What the detections in a folder were made of, for a second run to skip what is done.

    `detections.meta` names model and settings; the hidden folder `.done` has a small file for each
    video, written once the video's results are. Detections without one, as those of earlier
    versions, are made again.

    Args:
        detector: that makes them.
        settings: what they depend on besides it.

    Raises:
        OutputError: the folder holds detections of another model or other settings.
    """

    def __init__(
        self,
        folder: Path,
        detector: Detector,
        settings: Mapping[str, object],
        *,
        overwrite: bool,
    ) -> None:
        self.folder = folder
        self.overwrite = overwrite
        self.detector = detector
        made_with = {"checkpoint": detector.fingerprint, **detector.settings, **settings}
        self.settings = _plain(made_with)
        path = folder / NAME
        # One process at a time, so that no two begin with different settings at once.
        with Claims(folder) as claims:
            claims.take(NAME, wait=True)
            self._settle(path)

    def _settle(self, path: Path) -> None:
        if path.exists() and not self.overwrite and _read(path) != self.settings:
            raise OutputError(
                f"{self.folder} holds detections of another checkpoint or other settings; "
                "choose another output folder, or overwrite them"
            )
        write_text(path, json.dumps(self.settings, indent=2) + "\n")

    def made_of(self, video: Video, *, frame_rate: float) -> dict[str, Any]:
        """What a video's results depend on, to `note` when they are written.

        Args:
            frame_rate: at which a folder of frames is read; a file has its own.
        """
        settings = {**self.settings, **self.detector.inputs_of(video)}
        if video.path.is_dir():
            settings["frame_rate"] = frame_rate
        return made_of(video.path, settings)

    def done(self, video: Video, made: Mapping[str, Any]) -> bool:
        """Whether the existing results are from exactly this input and these settings.

        Raises:
            OutputError: they are of another input.
        """
        if self.overwrite:
            return False
        return is_done(
            _read(self._path(video)),
            made,
            video,
            mend="choose another output folder, or overwrite them",
        )

    def note(self, video: Video, made: Mapping[str, Any]) -> None:
        """Note what the results of a video were made of, after they are written."""
        write_text(self._path(video), json.dumps({"id": video.id, **made}, indent=1) + "\n")

    def _path(self, video: Video) -> Path:
        # Not named by the id, so that a long id does not make the name too long.
        name = hashlib.sha256(video.id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.folder / RECORDS / f"{name}.json"


def made_of(path: Path, settings: Mapping[str, object]) -> dict[str, Any]:
    """What results depend on: the input at `path`, and settings.

    And the clock that times are on. Of an input that cannot be examined only the path is noted;
    reading it reports what is wrong.
    """
    try:
        source = identity(path)
    except OSError:
        source = {"path": os.path.realpath(path)}
    return {"input": source, "settings": _plain({"clock": CLOCK, **settings})}


def is_done(found: Mapping[str, Any], made: Mapping[str, Any], video: Video, *, mend: str) -> bool:
    """Whether results that were made of `found` are those that would be made now.

    Where the input has changed since, or settings have, they are made again.

    Args:
        found: what was noted; empty where nothing was.
        mend: what to do about results of another input.

    Raises:
        OutputError: they are of another input, which would be lost.
    """
    source = found.get("input")
    if not isinstance(source, dict):
        return False
    if source.get("path") != made["input"]["path"]:
        raise OutputError(
            f"{video.path}: the existing results of {video.id} are of another video, "
            f"{source.get('path')}; {mend}"
        )
    return source == made["input"] and found.get("settings") == made["settings"]


def _plain(settings: Mapping[str, object]) -> dict[str, Any]:
    """The settings as JSON gives them back, to compare."""
    return json.loads(json.dumps(settings))


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none."""
    try:
        found = read_json(path, error=OutputError, what="notes of results")
    except ActlineError:
        return {}
    return found if isinstance(found, dict) else {}
