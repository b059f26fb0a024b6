"""A folder of snippet features: ours, or one of the public forms."""

from pathlib import Path

from actline.data.annotations import AnnotatedVideo
from actline.data.public_features import read_public
from actline.data.snippets import (
    SnippetFeatures,
    SnippetOrigin,
    checked,
    load_snippets,
    snippet_origin,
    snippet_path,
)
from actline.errors import FeatureError

PUBLIC_ENDINGS = (".npy", ".csv", ".h5", ".hdf5", ".pkl")


class FeatureFolder:
    """Features by video, all made in the same way.

    Args:
        folder: with ID.safetensors of `actline extract --snippets`, or ID.npy, .csv, .h5 or .pkl
            as published.
        origin: what must have made them; None takes the first video's, which the others must
            then share.
        interval: seconds from one snippet to the next, for public features, which do not say.
        width: the features a snippet that all must have; None takes any.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        origin: SnippetOrigin | None = None,
        interval: float | None = None,
        width: int | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.origin = origin
        self.interval = interval
        self.width = width
        self._public = False

    def agree_on(self, video: AnnotatedVideo) -> SnippetOrigin | None:
        """Take this video's origin for all, where none was given; None for public features.

        Raises:
            FeatureError: it has no features, or damaged ones.
        """
        path = self.path_of(video.id)
        self._public = path.suffix in PUBLIC_ENDINGS
        if self.origin is None and not self._public:
            self.origin = snippet_origin(path)
        return self.origin

    def load(self, video: AnnotatedVideo) -> SnippetFeatures:
        """One video's features.

        Raises:
            FeatureError: they are missing, damaged, or were made in another way.
        """
        path = self.path_of(video.id)
        if path.suffix not in PUBLIC_ENDINGS:
            if self._public and path.is_file():
                raise FeatureError(
                    f"{path} is of `actline extract`, and others beside it are not; take one kind"
                )
            return checked(load_snippets(path, self.origin), path, width=self.width)
        if self.origin is not None:
            raise FeatureError(
                f"{path} does not say what made it; give features of `actline extract --snippets`"
            )
        if self.interval is None:
            raise FeatureError(f"{path} does not say how far its snippets are apart; give it")
        if video.duration is None:
            raise FeatureError(f"{path}: the annotations do not tell the video's duration")
        return read_public(
            path,
            interval=self.interval,
            duration=video.duration,
            width=self.width,
            video=video.id,
        )

    def require(self, video_id: str) -> None:
        """Ask for a video's file alone, before long work.

        Raises:
            FeatureError: it is missing.
        """
        path = self.path_of(video_id)
        if not path.is_file():
            raise FeatureError(f"no features at {path}; make them with `actline extract`")

    def path_of(self, video_id: str) -> Path:
        """Where a video's features are, or where ours would be."""
        ours = snippet_path(self.folder, video_id)
        names = (video_id, video_id.removeprefix("v_"), f"v_{video_id}")
        others = (self.folder / f"{name}{ending}" for name in names for ending in PUBLIC_ENDINGS)
        return next((path for path in (ours, *others) if path.is_file()), ours)
