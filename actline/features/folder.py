"""Folders of snippet features: ours, or in one of the published formats."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from actline.annotations.annotations import AnnotatedVideo
from actline.errors import FeatureError
from actline.features.public import (
    IN_RECIPES,
    Advice,
    LayoutError,
    in_order,
    join_features,
    told_layouts,
)
from actline.features.public_files import (
    LEAVE_OUT,
    OF_ALL,
    READERS,
    UNSAID,
    Layout,
    Part,
    PublicForm,
    Wanted,
    read_parts,
)
from actline.features.snippets import (
    SnippetFeatures,
    SnippetOrigin,
    checked,
    fits,
    load_snippets,
    snippet_origin,
    snippet_path,
)
from actline.names import id_forms, without_ending

OURS = ".safetensors"
ENDINGS = (OURS, *READERS)
# Videos tried to find out which axis of features is time, if the first does not show it.
_TRIED = 20
# Levels of subfolders: `training/ID`, `rgb/training/ID`.
DEPTH = 2


class FeatureFolder:
    """Features by video, all made in the same way.

    Args:
        folder: with ID.safetensors of `actline extract --snippets`, or ID.npy, .npz, .csv, .h5,
            .pkl or .pt as published, in it or in subfolders such as `training/`; or one file for
            all videos (HDF5, .npz, .pkl, .pt). Several, separated by commas, are concatenated along
            channels.
        origin: the required origin; None takes the first video's, which the others must share.
        interval: seconds from one snippet to the next, for public features, which do not store it.
        width: required number of features per snippet; None accepts any.
        form: what public files do not state. If neither they nor `width` show which axis is time,
            `agree_on` infers it from the other videos.
        advice: how errors suggest to fix it.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        origin: SnippetOrigin | None = None,
        interval: float | None = None,
        width: int | None = None,
        form: PublicForm = UNSAID,
        advice: Advice = IN_RECIPES,
    ) -> None:
        self.sources = [_Source(path) for path in feature_paths(folder)]
        self.origin = origin
        self.interval = interval
        self.width = width
        self.form = form
        self.advice = advice
        self._public = False
        self._learned: Layout | None = None
        self._kept: dict[str, object] = {}

    def agree_on(self, videos: Sequence[AnnotatedVideo]) -> SnippetOrigin | None:
        """Require the first video's origin of all, if none was given; None for public features.

        Which axis of public features is time is inferred from the first video that shows it.

        Raises:
            FeatureError: it has no features, or damaged ones.
        """
        path = self.files_of(videos[0])[0]
        self._public = path.suffix.lower() in READERS
        if self.origin is None and not self._public:
            self.origin = snippet_origin(path)
        if self._public and self.form.layout is None:
            self._learned = self._told_layout(videos[:_TRIED])
        return self.origin

    @property
    def whole_form(self) -> PublicForm:
        """What public files do not state, completed with what was inferred."""
        return replace(self.form, layout=self.form.layout or self._learned)

    def _told_layout(self, videos: Sequence[AnnotatedVideo]) -> Layout | None:
        """Which axis is time in the first video that shows it, for those that do not."""
        for video in videos:
            try:
                parts = in_order(self._read(video))
                if all(part.layout is not None for part in parts):
                    return None
                cover = None
                if self.interval and video.duration is not None:
                    cover = partial(fits, interval=self.interval, duration=video.duration)
                told = told_layouts(parts, width=self.width, layout=None, cover=cover)
            # A video that cannot be used is reported when it is loaded.
            except FeatureError:
                continue
            return next(its for part, its in zip(parts, told, strict=True) if part.layout is None)
        return None

    def load(self, video: AnnotatedVideo) -> SnippetFeatures:
        """One video's features.

        Raises:
            FeatureError: they are missing, damaged, or were made in another way.
        """
        paths = self.files_of(video)
        ours = [path for path in paths if path.suffix.lower() not in READERS]
        if ours:
            if self._public and ours[0].is_file():
                raise FeatureError(
                    f"{ours[0]} was made by `actline extract`, and others next to it were not; "
                    "use one kind"
                )
            if len(paths) > 1 and ours[0].is_file():
                raise FeatureError(
                    f"{ours[0]} was made by `actline extract`, whose features are not joined with "
                    "others; give its folder alone"
                )
            return checked(load_snippets(ours[0], self.origin), ours[0], width=self.width)
        if self.origin is not None:
            raise FeatureError(
                f"{paths[0]} does not say what made it; give features of `actline extract "
                "--snippets`"
            )
        if self.interval is None:
            raise FeatureError(
                f"{paths[0]} does not state the interval of its snippets; {self.advice.interval}"
            )
        if video.duration is None:
            raise FeatureError(
                f'{paths[0]}: the annotations lack the video\'s duration; add "duration" '
                "to them, a column of a table or a key of JSON"
            )
        join = partial(
            join_features,
            self._read(video),
            interval=self.interval,
            duration=video.duration,
            width=self.width,
            advice=self.advice,
        )
        try:
            return join(layout=self.form.layout)
        except LayoutError:
            if self._learned is None:
                raise
            return join(layout=self._learned)

    def _read(self, video: AnnotatedVideo) -> list[list[Part]]:
        """The arrays of a video's features, by source."""
        found = []
        for source in self.sources:
            path, of_all = source.find(video.id, video.subset)
            name = video.id if of_all else None
            found.append(read_parts(Wanted(path, name, self.form.parts, self._kept)))
        return found

    def require(self, video: AnnotatedVideo) -> None:
        """Check only that a video's file exists, before long work.

        Raises:
            FeatureError: it is missing, or several files match.
        """
        for path in self.files_of(video):
            if not path.is_file():
                advice = "make them with `actline extract`" if path.suffix == OURS else LEAVE_OUT
                raise FeatureError(f"no features at {path}; {advice}")

    def path_of(self, video_id: str, subset: str = "") -> Path:
        """The path of a video's features, or where they would be; in the first of several folders.

        Raises:
            FeatureError: several files match.
        """
        return self.sources[0].find(video_id, subset)[0]

    def files_of(self, video: AnnotatedVideo) -> list[Path]:
        """A video's files, or where they would be: one in each folder."""
        return [source.find(video.id, video.subset)[0] for source in self.sources]


def feature_paths(given: str | Path) -> list[Path]:
    """A folder or file of features, or several separated by commas."""
    if Path(given).exists():
        return [Path(given)]
    return [Path(part.strip()) for part in str(given).split(",") if part.strip()] or [Path(given)]


class _Source:
    """A folder of features, or one file for all videos."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: dict[str, list[Path]] | None = None
        self._direct: list[Path] = []

    def find(self, video_id: str, subset: str = "") -> tuple[Path, bool]:
        """A video's file, or where it would be; and whether it holds all videos.

        Raises:
            FeatureError: several files match, or the file holds one video.
        """
        if self.path.is_file():
            if self.path.suffix.lower() not in OF_ALL:
                raise FeatureError(f"{self.path} holds one video; give its folder")
            return self.path, True
        names = self._listed()
        for form in id_forms(video_id):
            if form in names:
                return self._best(names[form], video_id, subset), False
        whole = [path for path in self._direct if path.suffix.lower() in OF_ALL]
        if len(whole) > 1:
            whole = [path for path in whole if _of_subset(path.stem, subset)]
        if len(whole) == 1:
            return whole[0], True
        return self._absent(video_id), False

    def _best(self, found: Sequence[Path], video_id: str, subset: str) -> Path:
        """The best of a video's files: in the folder itself, in its subset's, or the only one."""

        def rank(path: Path) -> int:
            folders = path.relative_to(self.path).parts[:-1]
            return 0 if not folders else 1 if any(_of_subset(one, subset) for one in folders) else 2

        nearest = min(map(rank, found))
        found = [path for path in found if rank(path) == nearest]
        folders = sorted({path.parent for path in found})
        if len(folders) > 1:
            one, other = folders[:2]
            raise FeatureError(
                f"{self.path}: the features of {video_id} are in both {one.name} and {other.name}; "
                f"give data.features={one}, or {one},{other} to join them"
            )
        return min(found, key=lambda path: (ENDINGS.index(path.suffix.lower()), path.name))

    def _absent(self, video_id: str) -> Path:
        """Where a video's features would be, in the format of the existing ones.

        Raises:
            FeatureError: they exist in an unknown format.
        """
        ours = snippet_path(self.path, video_id)
        endings = {path.suffix.lower() for paths in self._listed().values() for path in paths}
        if not endings or OURS in endings:
            odd = self._odd(video_id)
            if odd is not None:
                raise FeatureError(
                    f"{odd} has an unknown format; give features as one of {', '.join(READERS)}"
                )
            return ours
        return ours.with_name(ours.name.removesuffix(OURS) + min(endings, key=ENDINGS.index))

    def _odd(self, video_id: str) -> Path | None:
        """A file with the video's name and an unknown extension."""
        forms = set(id_forms(video_id))
        try:
            return next((p for p in sorted(self.path.iterdir()) if p.stem in forms), None)
        except OSError:
            return None

    def _listed(self) -> dict[str, list[Path]]:
        """Files by the names they may be requested under: with or without their folders.

        Listed once, as a data set may have tens of thousands.
        """
        if self._names is None:
            self._names = defaultdict(list)
            for path in _files(self.path, DEPTH):
                if path.parent == self.path:
                    self._direct.append(path)
                parts = path.relative_to(self.path).with_suffix("").parts
                for first in range(len(parts)):
                    name = "/".join(parts[first:])
                    for form in {name, without_ending(name)}:
                        self._names[form].append(path)
        return self._names


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Feature files in a folder and `depth` levels of subfolders, except hidden ones."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # reported later for each video, as missing
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if depth:
                yield from _files(Path(entry.path), depth - 1)
        elif os.path.splitext(entry.name)[1].lower() in ENDINGS:  # noqa: PTH122
            yield Path(entry.path)


def _of_subset(name: str, subset: str) -> bool:
    """Whether a folder or file is named after a subset: `train` and `training` mean the same."""
    one, other = name.lower(), subset.lower()
    return bool(one and other) and (one.startswith(other) or other.startswith(one))
