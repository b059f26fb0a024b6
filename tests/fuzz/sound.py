"""Whether what was accepted can be true: the checks of `tests.fuzz.inputs`, one a kind of input.

Where a file carries a checksum, what is read is what was written. Where it does not, another reader
has to find the same values in it.
"""

import csv
import json
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from itertools import permutations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from actline.annotations.read import read_annotations
from actline.errors import FeatureError
from actline.features.fine import load_features
from actline.features.public import read_public
from actline.features.snippets import load_snippets
from actline.plain import fit_to_show
from actline.stored.limits import limits
from actline.timeline import Timeline
from actline.timeline.proposals import read_proposals
from actline.timeline.read import read
from actline.timeline.video_scores import read_video_scores
from actline.video.decode import ShortSide, probe, read_clip, read_frames, shown_times
from actline.video.decoded import decoded_video, read_decoded_clip
from actline.video.sampling import AtRate, sample_times
from tests.fuzz.kit import PICTURES_A_SECOND, SNIPPET, Kit, annotations_of, public_parts

Sound = Callable[[Kit, Path, Path], None]


class UnsoundError(Exception):
    """What was accepted cannot be true."""


def sound_annotations(kit: Kit, path: Path, out: Path) -> None:
    annotations = read_annotations(annotations_of(path))
    converted = out / "converted.json"
    if converted.exists():
        again = read_annotations(converted)
        truth = {video.id: sorted(map(repr, video.truth)) for video in annotations.videos}
        if any(sorted(map(repr, video.truth)) != truth[video.id] for video in again.videos):
            raise UnsoundError("converted to other activities")
    for video in annotations.videos:
        if not fit_to_show(video.id) or ".." in Path(video.id).parts or video.id.startswith("/"):
            raise UnsoundError(f"id {video.id!r}")
        for one in video.activities:
            if not (math.isfinite(one.start) and 0 <= one.start < one.end < math.inf):
                raise UnsoundError(f"{one}")
            if one.label not in annotations.classes or not fit_to_show(one.label):
                raise UnsoundError(f"label {one.label!r}")


def sound_predictions(kit: Kit, path: Path, out: Path) -> None:
    sound_report(kit, path, out)
    metrics = out / "metrics.json"
    if metrics.exists():
        mean = json.loads(metrics.read_text(encoding="utf-8"))["mean"]
        if not 0 <= mean <= 1:
            raise UnsoundError(f"a mean of {mean}")
    timelines = tuple(read(path).values())
    if path.suffix == ".json":
        _sound_results(path, timelines)
    for timeline in timelines:
        for one in timeline.activities:
            # Scored as published: a segment that runs backwards counts as a miss.
            if not all(map(math.isfinite, (one.start, one.end, one.confidence))):
                raise UnsoundError(f"{one}")
            if not fit_to_show(one.label):
                raise UnsoundError(f"label {one.label!r}")
        scores = timeline.scores
        if scores is not None and not np.isfinite(scores.probabilities).all():
            raise UnsoundError("probabilities that are not finite")


def _sound_results(path: Path, timelines: tuple[Timeline, ...]) -> None:
    """What another reader of JSON finds in the file is there, and nothing is lost to its name."""

    text = path.read_text(encoding="utf-8-sig")
    results = json.loads(text, object_pairs_hook=_each_once)["results"]
    if len(results) != len(timelines):
        raise UnsoundError(f"{len(timelines)} of {len(results)} videos")
    wanted = sorted(
        (float(one["segment"][0]), float(one["segment"][1]), float(one.get("score", 1)))
        for entries in results.values()
        for one in entries
    )
    found = sorted(
        (one.start, one.end, one.confidence)
        for timeline in timelines
        for one in timeline.activities
    )
    if wanted != found:
        raise UnsoundError("other segments than are in the file")


def sound_report(kit: Kit, path: Path, out: Path) -> None:
    page = out / "report.html"
    if not page.exists():
        return
    text = page.read_text(encoding="utf-8")
    if not all(map(fit_to_show, text.split("\n"))):
        raise UnsoundError("control characters stand in the page")
    ours = ("application/json", "text/plain", None)
    found = Elements(text).found
    if any(tag == "script" and dict(about).get("type") not in ours for tag, about in found):
        raise UnsoundError("a script of an input stands in the page")
    scripts = sum(tag == "script" and not about for tag, about in found)
    if scripts != 1 or any(name.startswith("on") for _, about in found for name, _ in about):
        raise UnsoundError("markup of an input stands in the page")


class Elements(HTMLParser):
    """The elements of a page, each with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


def sound_detections(kit: Kit, path: Path, out: Path) -> None:
    """Activities that `detect` wrote lie within their video."""
    found = out / "found"
    for timeline in tuple(read(found).values()) if found.exists() else ():
        for one in timeline.activities:
            if not 0 <= one.start <= one.end <= timeline.duration + 1e-6:
                raise UnsoundError(f"{one} in {timeline.duration} s")
            if not 0 <= one.confidence <= 1:
                raise UnsoundError(f"{one}")


def sound_checksum(*originals: str) -> Sound:
    """A check that a file with the checksum of one of the working place's holds what that does.

    One with another checksum, or without, was written by whom we do not know: it says nothing.
    """

    def sound(kit: Kit, path: Path, out: Path) -> None:
        sound_detections(kit, path, out)
        about, tensors = _stored(path)
        for original in originals:
            wanted_about, wanted = _stored(kit.folder / original)
            if about.get("checksum") != wanted_about["checksum"]:
                continue
            if about != wanted_about or tensors.keys() != wanted.keys():
                raise UnsoundError("what is said of the tensors was changed and accepted")
            for name, tensor in wanted.items():
                if not torch.equal(tensor, tensors[name]):
                    raise UnsoundError(f"changed values of {name} were accepted")

    return sound


def _stored(path: Path) -> tuple[Mapping[str, str], dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as stored:
        names = stored.keys()
        return stored.metadata() or {}, {name: stored.get_tensor(name) for name in names}


def sound_snippets(kit: Kit, path: Path, out: Path) -> None:
    """As the checksum says, and finite."""
    sound_checksum("snippets/tiny0.safetensors")(kit, path, out)
    if not torch.isfinite(load_snippets(path).features).all():
        raise UnsoundError("features that are not finite")


def sound_fine(kit: Kit, path: Path, out: Path) -> None:
    """Every part that can be read is what was written, where the file says what that was."""
    about, _ = _stored(path)
    original = kit.folder / "fine" / "tiny0.safetensors"
    origin = kit.fine_origin()
    for first, count in ((0, None), (0, 8), (3, 16), (12, 16)):
        try:
            found = load_features(path, origin, first=first, count=count)
        except FeatureError:
            continue
        wanted = load_features(original, origin, first=first, count=count)
        for stage in found.values():
            if not torch.isfinite(stage).all():
                raise UnsoundError("features that are not finite")
        if about.get("checksum") != _stored(original)[0]["checksum"] and count is None:
            continue
        if "positions" in about and (
            found.keys() != wanted.keys()
            or not all(torch.equal(found[name], stage) for name, stage in wanted.items())
        ):
            raise UnsoundError(f"other values from position {first} than were written")


def sound_export(kit: Kit, path: Path, out: Path) -> None:
    """As `sound_checksum`; the checksum ends the file and is of everything before it."""
    sound_detections(kit, path, out)
    raw, wanted = path.read_bytes(), (kit.folder / "x3d.onnx").read_bytes()
    if raw[-64:] == wanted[-64:] and raw != wanted:
        raise UnsoundError("a changed network was accepted")


def sound_public(kit: Kit, path: Path, out: Path) -> None:
    """Another reader of the form finds these features: an array, or two of them joined.

    What that one refuses, such as a sender's note that is damaged, is as it was before.
    """
    read = read_public(path, interval=SNIPPET, duration=kit.seconds, width=kit.width)
    features = read.features.numpy()
    parts = [part[0].numpy() for part in public_parts(kit).values()]
    whole = np.concatenate(parts)
    if features.shape == whole.shape and np.allclose(features, whole, rtol=0, atol=1e-6):
        return  # tables are rounded
    found = []
    with np.errstate(over="ignore"):
        for array in map(np.squeeze, _arrays(path)):
            if array.ndim < 2:  # of one snippet, or one value a snippet
                found += [array.astype(np.float32).reshape(1, -1)]
            elif array.ndim == 2 and array.dtype.kind in "fiu":
                found += [array.astype(np.float32), array.T.astype(np.float32)]
    pairs = (
        np.concatenate(pair)
        for pair in permutations(found, 2)
        if pair[0].shape[1] == pair[1].shape[1]
    )
    if not any(np.array_equal(one, features) for one in (*found, *pairs)):
        raise UnsoundError("other features than another reader finds")


def _arrays(path: Path) -> Iterator[NDArray[Any]]:
    """All arrays of a file of features, by a reader that is not ours."""
    match path.suffix:
        case ".npy":
            yield np.load(path, allow_pickle=False)
        case ".npz":
            with np.load(path, allow_pickle=False) as archive:
                yield from (archive[name] for name in archive.files)
        case ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                _, *rows = csv.reader(file)
            table = np.array([[float(cell) for cell in row] for row in rows if row])
            yield from (table, table[:, 1:])  # the first column may be pandas' index
        case ".h5":
            found: list[NDArray[Any]] = []

            def visit(name: str, one: object) -> None:
                if isinstance(one, h5py.Dataset):
                    found.append(one[()])

            with h5py.File(path) as file:
                file.visititems(visit)
            yield from found
        case ".pkl":
            with path.open("rb") as file:
                yield from _within(OnlyArrays(file).load())
        case _:
            yield from _within(torch.load(path, weights_only=True))


def _within(value: object) -> Iterator[NDArray[Any]]:
    """Arrays in mappings in one another."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _within(one)
    elif isinstance(value, torch.Tensor):
        yield (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    elif isinstance(value, np.ndarray | list | tuple):
        try:
            yield np.asarray(value)
        except ValueError:  # rows of several lengths, or of names
            return


class OnlyArrays(pickle.Unpickler):
    """Python's own reader of pickles, for arrays alone."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        arrays = ("_reconstruct", "scalar", "ndarray", "dtype", "encode", "OrderedDict")
        if global_name in arrays and module_name.partition(".")[0] in (
            "numpy",
            "_codecs",
            "collections",
        ):
            return super().find_class(module_name, global_name)
        raise UnsoundError(f"a pickle that names {module_name}.{global_name} was accepted")


def sound_proposals(kit: Kit, path: Path, out: Path) -> None:
    """Another reader of the table finds these segments."""
    sound_detections(kit, path, out)
    given = read_proposals(path.parent)[path.stem]
    with path.open(encoding="utf-8-sig", newline="") as file:
        names, *rows = csv.reader(file)
    columns = [[at for at, name in enumerate(names) if name == one] for one in PROPOSAL_COLUMNS]
    if any(len(found) != 1 for found in columns):
        raise UnsoundError("one of several columns was taken")
    best: dict[tuple[float, float], float] = {}
    for row in filter(None, rows):
        start, end, score = (float(row[at]) for (at,) in columns)
        best[start, end] = max(score, best.get((start, end), -math.inf))
    read = dict(zip(zip(given.start, given.end, strict=True), given.score, strict=True))
    if best != read:
        raise UnsoundError("other proposals than are in the file")


PROPOSAL_COLUMNS = ("xmin", "xmax", "score")


def sound_video_classes(kit: Kit, path: Path, out: Path) -> None:
    """Another reader finds these classes, the highest three of each video."""
    sound_detections(kit, path, out)
    content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_each_once)
    found = read_video_scores(path)
    if found.keys() != content["results"].keys():
        raise UnsoundError("other videos than are in the file")
    for video, given in content["results"].items():
        if isinstance(given[0], dict):
            wanted = [(one["label"], float(one["score"])) for one in given]
        else:
            row = given[0] if isinstance(given[0], list) else given
            powers = np.exp(2 * (np.array(row, np.float64) - max(row)))
            names = (str(name).strip() for name in content["class"])
            wanted = list(zip(names, powers / powers.sum(), strict=True))
        scores = sorted((score for _, score in wanted), reverse=True)[:3]
        by_label = dict(wanted)
        if not np.allclose([score for _, score in found[video]], scores) or any(
            not np.isclose(by_label[label], score) for label, score in found[video]
        ):
            raise UnsoundError(f"other classes of {video} than are in the file")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON in which no name stands for two values."""
    for name, value in pairs:
        if any(name == other and repr(value) != repr(another) for other, another in pairs):
            raise UnsoundError(f"one of several entries {name!r} was taken")
    return dict(pairs)


def sound_video(kit: Kit, path: Path, out: Path) -> None:
    """Times that can be, within the limits, and a frame for each sample."""
    video = path.parent if path.suffix in (".jpg", ".png") else path
    most = limits()
    found = shown_times(video, frame_rate=PICTURES_A_SECOND)
    if not (np.isfinite(found.times).all() and (np.diff(found.times) > 0).all()):
        raise UnsoundError("times that do not increase")
    if not 0 <= found.times[0] <= found.times[-1] <= found.duration < 3600 * most.video_hours:
        raise UnsoundError(f"from {found.times[0]} to {found.times[-1]} of {found.duration} s")
    about = probe(video, frame_rate=PICTURES_A_SECOND)
    if not 0 < about.width * about.height <= 1e6 * most.frame_megapixels:
        raise UnsoundError(f"frames of {about.width} x {about.height}")
    if not (math.isfinite(about.frame_rate) and about.frame_rate >= 0):
        raise UnsoundError(f"{about.frame_rate} frames a second")
    rate = PICTURES_A_SECOND
    samples = sample_times(video, AtRate(5.0), frame_rate=rate)
    read = read_frames(video, samples, size=ShortSide(16), frame_rate=rate)
    frames = [frame.shape for frame in read]
    if len(frames) != len(samples) or len(set(frames)) != 1:
        raise UnsoundError(f"{len(frames)} frames of {set(frames)} for {len(samples)} samples")
    sound_detections(kit, path, out)


def sound_decoded(kit: Kit, path: Path, out: Path) -> None:
    """Frames that are read are those of the video."""
    times = np.arange(8) / 5
    video, size = kit.videos / "tiny0.mp4", ShortSide(32)
    decoded = decoded_video(path.parent, "tiny0", video, size=size)
    if (read_decoded_clip(decoded, times) != read_clip(video, times, size=size)).any():
        raise UnsoundError("other frames than the video's")
