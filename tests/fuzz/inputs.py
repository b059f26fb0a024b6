"""Every kind of input that the package takes: where seeds come from, how they are mutated and read.

A reader is a command, or several, as a user would give them; `sound` looks at what was accepted.
"""

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from actline.annotations.read import read_annotations
from actline.datasets.decoded import decoded_video, read_decoded_clip
from actline.errors import ActlineError
from actline.plain import fit_to_show
from actline.stored.limits import limits
from actline.timeline import Timeline
from actline.timeline.reading import load_timelines
from actline.video.decode import ShortSide, probe, read_clip, read_frames, shown_times
from actline.video.sampling import AtRate, sample_times
from tests.fuzz import mutations
from tests.fuzz.kit import ON_CPU, Kit, annotation_files, recipe_text
from tests.fuzz.mutations import Mutation

Command = tuple[object, ...]
PICTURES_A_SECOND = 5.0  # of folders of frames: each is sampled by the tiny network
SEED = Path(__file__).parent / "seeds" / "tiny_x3d.pyth"


class UnsoundError(Exception):
    """What was accepted cannot be true."""


@dataclass(frozen=True)
class Input:
    """One kind of input.

    Attributes:
        group: which part of the package reads it.
        name: of the kind.
        seeds: files to mutate, by the names that their mutants get.
        mutations: of which one is drawn for each mutant.
        commands: what reads a mutant, given its path and a folder to write into.
        place: where the mutant has to lie, given the folder of this trial and its name.
        sound: raises `UnsoundError` when what was accepted cannot be true.
    """

    group: str
    name: str
    seeds: Callable[[Kit], dict[str, bytes]]
    mutations: tuple[Mutation, ...]
    commands: Callable[[Kit, Path, Path], list[Command]]
    place: Callable[[Kit, Path, str], Path] = lambda kit, folder, name: folder / name
    sound: Callable[[Kit, Path, Path], None] = lambda kit, path, out: None


def _files(*names: str) -> Callable[[Kit], dict[str, bytes]]:
    """Seeds that the working place has."""
    return lambda kit: {Path(name).name: (kit.folder / name).read_bytes() for name in names}


def _annotations(*names: str) -> Callable[[Kit], dict[str, bytes]]:
    def seeds(kit: Kit) -> dict[str, bytes]:
        files = annotation_files(kit.folder / "annotations")
        return {name: files[name].read_bytes() for name in names}

    return seeds


def _place_annotations(kit: Kit, folder: Path, name: str) -> Path:
    """A copy of all forms' files, in which one is to be replaced."""
    return annotation_files(folder / "annotations")[name]


def _check_annotations(kit: Kit, path: Path, out: Path) -> list[Command]:
    folder = path.parent.parent if path.name == "Diving_test.txt" else path
    if path.name == "Charades_v1_classes.txt":
        folder = path.with_name("Charades_v1_train.csv")
    return [
        ("data", "check", folder),
        ("data", "convert", folder, out / "converted.json"),
        ("evaluate", kit.found, folder),
    ]


def _sound_annotations(kit: Kit, path: Path, out: Path) -> None:
    folder = path.parent.parent if path.name == "Diving_test.txt" else path
    if path.name == "Charades_v1_classes.txt":
        folder = path.with_name("Charades_v1_train.csv")
    annotations = read_annotations(folder)
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


def _evaluate(kit: Kit, path: Path, out: Path) -> list[Command]:
    found = path.parent if path.suffix == ".npz" else path
    return [
        ("evaluate", found, kit.annotations, "--out", out / "metrics.json"),
        ("evaluate", path, kit.annotations, "--protocol", "thumos", "--errors"),
        ("report", found, "--videos", kit.videos, "--link", "--out", out / "report.html"),
        ("plot", path, "--out", out / "timeline.svg"),
    ]


def _sound_predictions(kit: Kit, path: Path, out: Path) -> None:
    _sound_report(kit, path, out)
    metrics = out / "metrics.json"
    if metrics.exists():
        mean = json.loads(metrics.read_text(encoding="utf-8"))["mean"]
        if not 0 <= mean <= 1:
            raise UnsoundError(f"a mean of {mean}")
    timelines = load_timelines(path)
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

    def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, value in pairs:
            if any(name == other and repr(value) != repr(another) for other, another in pairs):
                raise UnsoundError(f"one of several entries {name!r} was taken")
        return dict(pairs)

    text = path.read_text(encoding="utf-8-sig")
    results = json.loads(text, object_pairs_hook=each_once)["results"]
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


def _sound_report(kit: Kit, path: Path, out: Path) -> None:
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


def _checkpoint(kit: Kit, path: Path, out: Path) -> list[Command]:
    video = kit.videos / "tiny0.mp4"
    return [("detect", video, "--checkpoint", path, "--out", out / "found", *ON_CPU)]


def _sound_checkpoint(original: str) -> Callable[[Kit, Path, Path], None]:
    def sound(kit: Kit, path: Path, out: Path) -> None:
        wanted, found = load_file(kit.folder / original), load_file(path)
        if wanted.keys() != found.keys():
            raise UnsoundError("other tensors")
        for name, tensor in wanted.items():
            if not torch.equal(tensor, found[name]):
                raise UnsoundError(f"changed weights {name} were accepted")

    return sound


def _published(kit: Kit) -> dict[str, bytes]:
    """A small X3D in PyTorchVideo's naming, as an archive and in torch's older form."""
    zipped = SEED.read_bytes()
    older = kit.folder / "older.pyth"
    content = torch.load(SEED, weights_only=True)
    torch.save(content, older, _use_new_zipfile_serialization=False)
    return {"zipped.pyth": zipped, "older.pyth": older.read_bytes()}


def _convert(kit: Kit, path: Path, out: Path) -> list[Command]:
    return [
        ("convert", path, "--from", source, out / f"{source}.safetensors")
        for source in ("pytorchvideo", "fine", "tcanet")
    ]


def _state(kit: Kit, folder: Path, name: str) -> Path:
    (folder / "run").mkdir(parents=True)
    return folder / "run" / name


def _train(kit: Kit, path: Path, out: Path) -> list[Command]:
    return [("train", kit.folder / "x3d.yaml", f"out={path.parent}", *ON_CPU)]


def _train_recipe(kit: Kit, path: Path, out: Path) -> list[Command]:
    return [("train", path, "epochs=1", f"out={out / 'run'}", *ON_CPU)]


def _features(kit: Kit, folder: Path, name: str) -> Path:
    """A folder of features in which one video's are to be replaced."""
    features = folder / "features"
    features.mkdir(parents=True)
    if name.endswith(".safetensors"):
        for path in kit.snippets.glob("*.safetensors"):
            (features / path.name).write_bytes(path.read_bytes())
    return features / name


def _use_features(kit: Kit, path: Path, out: Path) -> list[Command]:
    chain = ("--checkpoint", kit.chain, "--features", path.parent)
    video = kit.videos / "tiny0.mp4"
    return [("detect", video, *chain, "--out", out / "found", *ON_CPU)]


def _use_public(kit: Kit, path: Path, out: Path) -> list[Command]:
    annotations = kit.folder / "public.json"
    if not annotations.exists():
        text = '{"label": "move", "segment": [1.0, 2.0]}'
        database = ", ".join(
            f'"{name}": {{"subset": "{subset}", "duration": 4.0, "annotations": [{text}]}}'
            for name, subset in (("tiny0", "training"), ("tiny1", "testing"))
        )
        annotations.write_text(f'{{"database": {{{database}}}}}')
    data = (
        f"data.annotations={annotations}",
        f"data.features={path.parent}",
        "data.interval=0.4",
        "data.train_subset=training",
        "data.validation_subset=training",
    )
    return [("train", kit.folder / "bmn.yaml", *data, f"out={out / 'run'}", *ON_CPU)]


def _proposals(kit: Kit) -> dict[str, bytes]:
    rows = "xmin,xmax,score\n0.5,2.0,0.9\n1.0,3.0,0.4\n"
    return {"tiny0.csv": rows.encode()}


def _use_proposals(kit: Kit, path: Path, out: Path) -> list[Command]:
    chain = ("--checkpoint", kit.chain, "--features", kit.snippets, "--proposals")
    given = path.parent if path.suffix == ".csv" else path
    video = kit.videos / "tiny0.mp4"
    return [("detect", video, *chain, given, "--out", out / "found", *ON_CPU)]


def _video_classes(kit: Kit) -> dict[str, bytes]:
    labelled = '{"results": {"tiny0": [{"label": "move", "score": 0.9}]}}'
    dense = '{"class": ["move", "brighten"], "results": {"tiny0": [[1.0, -2.0]]}}'
    return {"labelled.json": labelled.encode(), "dense.json": dense.encode()}


def _use_video_classes(kit: Kit, path: Path, out: Path) -> list[Command]:
    chain = ("--checkpoint", kit.chain, "--features", kit.snippets, "--video-classes", path)
    return [("detect", kit.videos / "tiny0.mp4", *chain, "--out", out / "found", *ON_CPU)]


def _containers(*endings: str) -> Callable[[Kit], dict[str, bytes]]:
    def seeds(kit: Kit) -> dict[str, bytes]:
        paths = [kit.folder / "containers" / f"x.{ending}" for ending in endings]
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    return seeds


def _use_video(kit: Kit, path: Path, out: Path) -> list[Command]:
    return [("detect", path, "--checkpoint", kit.fine, "--out", out / "found", *ON_CPU)]


def _sound_video(kit: Kit, path: Path, out: Path) -> None:
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
    for timeline in load_timelines(out / "found"):
        for one in timeline.activities:
            if not 0 <= one.start <= one.end <= timeline.duration + 1e-6:
                raise UnsoundError(f"{one} in {timeline.duration} s")


def _picture(form: str, **options: object) -> bytes:
    ramp = np.arange(48 * 64 * 3) % 251
    written = io.BytesIO()
    Image.fromarray(ramp.astype(np.uint8).reshape(48, 64, 3)).save(written, form, **options)
    return written.getvalue()


def _pictures(kit: Kit) -> dict[str, bytes]:
    return {
        "v-000002.jpg": _picture("JPEG", quality=80, progressive=True),
        "v-000003.jpg": _picture("JPEG", quality=80),
        "v-000004.png": _picture("PNG"),
    }


def _place_picture(kit: Kit, folder: Path, name: str) -> Path:
    """Among the pictures of a folder of frames, one of which is to be replaced."""
    frames = folder / "v"
    frames.mkdir()
    for other, raw in {"v-000001.jpg": _picture("JPEG"), **_pictures(kit)}.items():
        (frames / other).write_bytes(raw)
    return frames / name


def _use_picture(kit: Kit, path: Path, out: Path) -> list[Command]:
    (detect,) = _use_video(kit, path.parent, out)
    return [(*detect, "--frame-rate", PICTURES_A_SECOND)]


def _decoded(kit: Kit) -> dict[str, bytes]:
    """What training keeps of its videos; the name tells the video."""
    video, size = kit.videos / "tiny0.mp4", ShortSide(32)
    path = decoded_video(kit.folder / "decoded", "tiny0", video, size=size)
    return {path.name: path.read_bytes()}


def _use_decoded(kit: Kit, path: Path, out: Path) -> list[Command]:
    keys = (f"data.decoded={path.parent}", "clip.short_sides=[32]", f"out={out / 'run'}")
    return [("train", kit.folder / "x3d.yaml", *keys, *ON_CPU)]


def _sound_decoded(kit: Kit, path: Path, out: Path) -> None:
    """Frames that are read are those of the video."""
    times = np.arange(8) / 5
    video, size = kit.videos / "tiny0.mp4", ShortSide(32)
    decoded = decoded_video(path.parent, "tiny0", video, size=size)
    if (read_decoded_clip(decoded, times) != read_clip(video, times, size=size)).any():
        raise UnsoundError("other frames than the video's")


def _metrics(kit: Kit, path: Path, out: Path) -> list[Command]:
    page = ("--videos", kit.videos, "--link", "--metrics", path, "--out", out / "report.html")
    return [("report", kit.found, *page)]


BYTES, TEXT = mutations.bytes_, mutations.text
JSON, CSV = (mutations.json_, mutations.json_, BYTES, TEXT), (mutations.csv, TEXT, BYTES)
TORCH = mutations.zipped({"pkl": mutations.pickle_, "data/pkl": mutations.pickle_})
NPZ = mutations.zipped({"npy": mutations.npy})
TENSORS = (mutations.safetensors, mutations.safetensors, mutations.safetensors, BYTES)

INPUTS: tuple[Input, ...] = (
    Input(
        "annotations",
        "annotations as JSON",
        _annotations("activitynet.json", "charades.json", "kinetics.json"),
        JSON,
        _check_annotations,
        _place_annotations,
        _sound_annotations,
    ),
    Input(
        "annotations",
        "annotations as tables",
        _annotations("kinetics.csv", "table.csv", "Charades_v1_train.csv"),
        CSV,
        _check_annotations,
        _place_annotations,
        _sound_annotations,
    ),
    Input(
        "annotations",
        "annotations as text",
        _annotations("Diving_test.txt", "Charades_v1_classes.txt"),
        (TEXT, BYTES),
        _check_annotations,
        _place_annotations,
        _sound_annotations,
    ),
    Input(
        "predictions",
        "results as JSON",
        _files("found/tiny0.json", "segments/tiny0.json"),
        JSON,
        _evaluate,
        sound=_sound_predictions,
    ),
    Input(
        "predictions",
        "results as CSV",
        _files("found/tiny0.csv"),
        CSV,
        _evaluate,
        sound=_sound_predictions,
    ),
    Input(
        "predictions",
        "scores as npz",
        _files("found/tiny0.npz"),
        (NPZ, NPZ, BYTES),
        _evaluate,
        sound=_sound_predictions,
    ),
    Input(
        "predictions",
        "metrics",
        _files("metrics.json", "scores.json"),
        JSON,
        _metrics,
        sound=_sound_report,
    ),
    Input(
        "features",
        "snippet features",
        _files("snippets/tiny0.safetensors"),
        TENSORS,
        _use_features,
        _features,
    ),
    Input(
        "features",
        "public arrays",
        _files("public/tiny0.npy"),
        (mutations.npy, BYTES),
        _use_public,
        _features,
    ),
    Input("features", "public tables", _files("public/tiny0.csv"), CSV, _use_public, _features),
    Input("features", "public HDF5", _files("public/tiny0.h5"), (BYTES,), _use_public, _features),
    Input(
        "features",
        "public pickles",
        _files("public/tiny0.pkl"),
        (mutations.pickle_, mutations.pickle_, BYTES),
        _use_public,
        _features,
    ),
    Input("features", "proposals", _proposals, CSV, _use_proposals),
    Input("features", "video classes", _video_classes, JSON, _use_video_classes),
    Input(
        "checkpoints",
        "models",
        _files("runs/x3d/best.safetensors"),
        TENSORS,
        _checkpoint,
        sound=_sound_checkpoint("runs/x3d/best.safetensors"),
    ),
    Input(
        "checkpoints",
        "chains",
        _files("chain.safetensors"),
        TENSORS,
        _checkpoint,
        sound=_sound_checkpoint("chain.safetensors"),
    ),
    Input("checkpoints", "published", _published, (TORCH, TORCH, BYTES), _convert),
    Input(
        "checkpoints",
        "training states",
        _files("runs/x3d/state.pt"),
        (TORCH, TORCH, BYTES),
        _train,
        _state,
    ),
    Input(
        "recipes",
        "recipes",
        lambda kit: {"r.yaml": recipe_text(kit)},
        (mutations.yaml_, mutations.yaml_, mutations.yaml_, TEXT, BYTES),
        _train_recipe,
    ),
    Input(
        "videos",
        "MP4 and MOV",
        _containers("mp4", "mov"),
        (mutations.boxes, mutations.boxes, BYTES),
        _use_video,
        sound=_sound_video,
    ),
    Input(
        "videos",
        "Matroska and WebM",
        _containers("mkv", "webm"),
        (mutations.elements, mutations.elements, BYTES),
        _use_video,
        sound=_sound_video,
    ),
    Input(
        "videos",
        "other containers",
        _containers(*("ts", "avi", "mpg", "flv", "gif", "ogv", "wmv", "mxf", "nut", "ivf", "swf")),
        (BYTES,),
        _use_video,
        sound=_sound_video,
    ),
    Input(
        "videos",
        "folders of frames",
        _pictures,
        (mutations.picture, BYTES),
        _use_picture,
        _place_picture,
        _sound_video,
    ),
    Input(
        "videos",
        "decoded videos",
        _decoded,
        (mutations.npy, BYTES),
        _use_decoded,
        sound=_sound_decoded,
    ),
)
GROUPS = tuple(dict.fromkeys(one.group for one in INPUTS))


def accepted_is_sound(one: Input, kit: Kit, path: Path, out: Path) -> str | None:
    """What is unsound in what was accepted, if anything is."""
    try:
        one.sound(kit, path, out)
    except UnsoundError as error:
        return str(error)
    except ActlineError:
        return None
    return None
