"""Features of many videos, stored: Fine ones, or one vector a snippet."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch

from actline.detection.batch import Outcome, for_each_video
from actline.detection.fine_features import check_model, extract_fine
from actline.detection.model import Model, find_device, load_backbone
from actline.detection.provenance import is_done, made_of
from actline.detection.snippet_features import extract_snippets, snippet_origin_of
from actline.errors import FeatureError
from actline.features.fine import check_origin, feature_path, made_of_file
from actline.features.snippets import save_snippets, snippet_origin, snippet_path
from actline.models.checkpoint import weights_hash
from actline.video.find import Video
from actline.video.given import NamedVideo, expand_videos, share_of

Precision = Literal["float16", "float32"]


def extract(
    videos: NamedVideo | Sequence[NamedVideo],
    checkpoint: str | PathLike[str] | Model,
    *,
    out: str | PathLike[str],
    snippets: float | None = None,
    cells: int = 7,
    precision: Precision = "float16",
    device: str = "auto",
    workers: int = 1,
    share: str = "0/1",
    frame_rate: float = 24.0,
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda line: None,
) -> Iterator[Outcome[Path]]:
    """Store features of videos, for training on stored features.

    Skipping, failures and sharing are as in `detect_all`.

    Args:
        videos: files, or folders of videos.
        checkpoint: of a per-frame X3D; with `snippets`, of any X3D or SlowFast.
        out: folder that gets ID.safetensors for a video's ID.
        snippets: seconds per snippet, for each of which one vector is stored, with class
            probabilities, as BMN and TCANet take them. None stores what the Coarse stream takes, at
            every depth.
        cells: height and width of Fine features.
        precision: of Fine features.
        device: as in `actline.load_model`.
        workers: threads, each working on its own video.
        share: "i/n" does only part i of n, with i from 0.
        frame_rate: of frame folders.
        say: gets lines on what was done before, or by others.
        warn: gets lines on files that were not taken as videos.

    Yields:
        What became of each video, with the file of its features.

    Raises:
        VideoError: there is no video.
        CheckpointError: the checkpoint cannot be used, or cannot give such features.
        FeatureError: `snippets` is not above 0.

    Examples:
        >>> for outcome in actline.extract("videos", "model.safetensors", out="features"):
        ...     print(outcome.video.id, outcome.status)
        a done
        b done
        c done
    """
    out = Path(out)
    given = [videos] if isinstance(videos, str | PathLike | Video) else videos
    found = share_of(expand_videos(given, without=[out], warn=warn), share)
    if isinstance(checkpoint, Model):
        model = checkpoint
    else:
        find_device(device)  # before what takes longer
        model = load_backbone(Path(checkpoint), device=device)
    kind: _Features
    if snippets is None:
        kind = _FineFeatures(model, out, frame_rate, cells, precision)
    else:
        kind = _SnippetFeatures(model, out, frame_rate, snippets)
    return for_each_video(
        "extracting", found, kind.extract, out=out, done=kind.done, workers=workers, say=say
    )


class _Features(ABC):
    """Features of one kind by one model, in a folder.

    Attributes:
        settings: what they depend on besides their origin.
    """

    settings: Mapping[str, object]

    def __init__(self, model: Model, out: Path, frame_rate: float) -> None:
        self.model, self.out, self.frame_rate = model, out, frame_rate

    @abstractmethod
    def path(self, video: Video) -> Path:
        """Where a video's features are."""

    @abstractmethod
    def current(self, path: Path) -> bool:
        """Whether a file's features have the origin that they would have now."""

    @abstractmethod
    def extract(self, video: Video, on_frames: Callable[[int], None]) -> Path:
        """Store a video's features."""

    def made(self, video: Video) -> dict[str, Any]:
        """What a video's features depend on."""
        rate = {"frame_rate": self.frame_rate} if video.path.is_dir() else {}
        return made_of(video.path, {**self.settings, **rate})

    def done(self, video: Video) -> bool:
        """Whether a video's features exist, from exactly this input and origin."""
        path = self.path(video)
        mend = "choose another output folder, or remove them"
        return is_done(made_of_file(path), self.made(video), video, mend=mend) and self.current(
            path
        )


class _FineFeatures(_Features):
    """Features at every depth."""

    def __init__(
        self, model: Model, out: Path, frame_rate: float, cells: int, precision: Precision
    ) -> None:
        super().__init__(model, out, frame_rate)
        check_model(model)
        self.origin = model.card.feature_origin(weights_hash(model.network))
        self.cells = cells
        self.precision = getattr(torch, precision)
        self.settings = {"cells": cells, "precision": precision}

    def path(self, video: Video) -> Path:
        return feature_path(self.out, video.id)

    def current(self, path: Path) -> bool:
        try:
            check_origin(path, self.origin)
        except FeatureError:
            return False
        return True

    def extract(self, video: Video, on_frames: Callable[[int], None]) -> Path:
        return extract_fine(
            video.path,
            self.model,
            self.out,
            video_id=video.id,
            origin=self.origin,
            made=self.made(video),
            cells=self.cells,
            precision=self.precision,
            frame_rate=self.frame_rate,
            on_frames=on_frames,
        )


class _SnippetFeatures(_Features):
    """One vector a snippet."""

    def __init__(self, model: Model, out: Path, frame_rate: float, interval: float) -> None:
        super().__init__(model, out, frame_rate)
        if not 0 < interval < float("inf"):
            raise FeatureError(
                f"snippets of {interval:g} s are not possible; give a length above 0"
            )
        self.interval = interval
        self.origin = snippet_origin_of(model, interval)
        self.settings = {}

    def path(self, video: Video) -> Path:
        return snippet_path(self.out, video.id)

    def current(self, path: Path) -> bool:
        try:
            return snippet_origin(path) == self.origin
        except FeatureError:
            return False

    def extract(self, video: Video, on_frames: Callable[[int], None]) -> Path:
        made = self.made(video)
        snippets = extract_snippets(
            video.path,
            self.model,
            interval=self.interval,
            frame_rate=self.frame_rate,
            on_frames=on_frames,
        )
        path = self.path(video)
        save_snippets(path, snippets, self.origin, made)
        return path
