"""Every kind of input that the package takes: where seeds come from, how they are mutated and read.

A reader is a command, or several, as a user would give them; `sound` looks at what was accepted.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from actline.annotations.read import read_annotations
from actline.detection.exported import read_exported
from actline.errors import ActlineError, CheckpointError
from actline.features.fine import load_features
from actline.features.public import read_public
from actline.features.snippets import load_snippets
from actline.models.checkpoint import read_checkpoint
from actline.reporting.metrics import read_metrics
from actline.stored.torch_files import load_torch
from actline.timeline.proposals import read_proposals
from actline.timeline.read import read
from actline.timeline.video_scores import read_video_scores
from actline.training.state import read_state
from actline.training.tasks import read_recipe
from actline.video.decode import ShortSide
from actline.video.decoded import decoded_video
from actline.video.tables import check_tables
from actline.video.truncation import is_cut_off
from tests.fuzz import mutations
from tests.fuzz import sound as checks
from tests.fuzz.kit import (
    ON_CPU,
    PICTURES_A_SECOND,
    SNIPPET,
    Kit,
    annotation_files,
    annotations_of,
    public_parts,
    recipe_text,
)
from tests.fuzz.mutations import Mutation

Command = tuple[object, ...]
SEED = Path(__file__).parent / "seeds" / "tiny_x3d.pyth"


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
        read: the reader alone, without the command around it, for `--guided`; None where most of it
            is a library's, or there is none.
    """

    group: str
    name: str
    seeds: Callable[[Kit], dict[str, bytes]]
    mutations: tuple[Mutation, ...]
    commands: Callable[[Kit, Path, Path], list[Command]]
    place: Callable[[Kit, Path, str], Path] = lambda kit, folder, name: folder / name
    sound: checks.Sound = lambda kit, path, out: None
    read: Callable[[Kit, Path], object] | None = None


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
    folder = annotations_of(path)
    return [
        ("data", "check", folder),
        ("data", "convert", folder, out / "converted.json"),
        ("evaluate", kit.found, folder),
    ]


def _evaluate(kit: Kit, path: Path, out: Path) -> list[Command]:
    found = path.parent if path.suffix == ".npz" else path
    return [
        ("evaluate", found, kit.annotations, "--out", out / "metrics.json"),
        ("evaluate", path, kit.annotations, "--protocol", "thumos", "--errors"),
        ("report", found, "--videos", kit.videos, "--link", "--out", out / "report.html"),
        ("plot", path, "--out", out / "timeline.svg"),
    ]


def _checkpoint(kit: Kit, path: Path, out: Path) -> list[Command]:
    video = kit.videos / "tiny0.mp4"
    return [("detect", video, "--checkpoint", path, "--out", out / "found", *ON_CPU)]


def _chain(kit: Kit, path: Path, out: Path) -> list[Command]:
    """Put into a chain that detects; BMN's gives TCANet's training its proposals as well."""
    made = out / "chain.safetensors"
    backbone = ("chain", "--backbone", kit.fine, "--out", made)
    detect = ("detect", kit.videos / "tiny0.mp4", "--checkpoint", made, "--out", out / "found")
    if path.name == "tcanet.safetensors":
        links = ("--proposals", kit.bmn, "--refinement", path)
        return [(*backbone, *links), (*detect, *ON_CPU)]
    keys = (f"proposals={path}", f"out={out / 'run'}")
    train = ("train", kit.folder / "tcanet.yaml", *keys, *ON_CPU)
    return [(*backbone, "--proposals", path), (*detect, *ON_CPU), train]


def _segment_checkpoints(kit: Kit) -> dict[str, bytes]:
    runs = {"bmn.safetensors": kit.bmn, "tcanet.safetensors": kit.tcanet}
    return {name: path.read_bytes() for name, path in runs.items()}


def _exports(kit: Kit) -> dict[str, bytes]:
    """None where the packages for them are not installed."""
    path = kit.folder / "x3d.onnx"
    return {path.name: path.read_bytes()} if path.exists() else {}


def _use_export(kit: Kit, path: Path, out: Path) -> list[Command]:
    (detect,) = _checkpoint(kit, path, out)
    return [(*detect, "--runtime", "onnxruntime")]


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


def _features(*others: str) -> Callable[[Kit, Path, str], Path]:
    """A folder of features in which one video's are to be replaced, with those of others."""

    def place(kit: Kit, folder: Path, name: str) -> Path:
        features = folder / "features"
        features.mkdir(parents=True)
        for other in others:
            for path in (kit.folder / other).glob("*.safetensors"):
                (features / path.name).write_bytes(path.read_bytes())
        return features / name

    return place


def _use_fine(kit: Kit, path: Path, out: Path) -> list[Command]:
    keys = (f"features.folder={path.parent}", f"out={out / 'run'}")
    return [("train", kit.folder / "coarse_fine.yaml", *keys, *ON_CPU)]


def _read_fine(kit: Kit, path: Path) -> object:
    """Some of the positions, as training does; of any origin, as guided mutants change it."""
    origin = kit.fine_origin()
    return load_features(path, origin, first=2, count=8), load_features(path, origin)


def _public_tensors(kit: Kit) -> dict[str, bytes]:
    """TCANet's two parts as PyTorch writes them now, and in its older form."""
    found = {}
    for name, zipped in (("tiny0.pt", True), ("tiny0.pth", False)):
        written = io.BytesIO()
        torch.save(public_parts(kit), written, _use_new_zipfile_serialization=zipped)
        found[name] = written.getvalue()
    return found


def _public_archive(kit: Kit) -> dict[str, bytes]:
    written = io.BytesIO()
    np.savez(written, **{name: part.numpy() for name, part in public_parts(kit).items()})
    return {"tiny0.npz": written.getvalue()}


def _read_public(kit: Kit, path: Path) -> object:
    return read_public(path, interval=SNIPPET, duration=kit.seconds, width=kit.width)


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


def _read_tables(kit: Kit, path: Path) -> object:
    """What Actline reads of a container itself; the rest is FFmpeg's."""
    with path.open("rb") as file:
        check_tables(path, file)
    return is_cut_off(path)


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


def _metrics(kit: Kit, path: Path, out: Path) -> list[Command]:
    page = ("--videos", kit.videos, "--link", "--metrics", path, "--out", out / "report.html")
    return [("report", kit.found, *page)]


BYTES, TEXT = mutations.bytes_, mutations.text
JSON, CSV = (mutations.json_, mutations.json_, BYTES, TEXT), (mutations.csv, TEXT, BYTES)
TORCH = mutations.zipped({"pkl": mutations.pickle_, "data/pkl": mutations.pickle_})
NPZ = mutations.zipped({"npy": mutations.npy})
TENSORS = (
    mutations.safetensors,
    mutations.safetensors,
    mutations.with_checksum(mutations.safetensors),
    mutations.with_checksum(mutations.safetensors),
    BYTES,
)
ONNX = mutations.with_export_checksum(mutations.protobuf)

INPUTS: tuple[Input, ...] = (
    Input(
        "annotations",
        "annotations as JSON",
        _annotations("activitynet.json", "charades.json", "kinetics.json"),
        JSON,
        _check_annotations,
        _place_annotations,
        checks.sound_annotations,
        lambda kit, path: read_annotations(annotations_of(path)),
    ),
    Input(
        "annotations",
        "annotations as tables",
        _annotations("kinetics.csv", "table.csv", "Charades_v1_train.csv"),
        CSV,
        _check_annotations,
        _place_annotations,
        checks.sound_annotations,
        lambda kit, path: read_annotations(annotations_of(path)),
    ),
    Input(
        "annotations",
        "annotations as text",
        _annotations("Diving_test.txt", "Charades_v1_classes.txt"),
        (TEXT, BYTES),
        _check_annotations,
        _place_annotations,
        checks.sound_annotations,
        lambda kit, path: read_annotations(annotations_of(path)),
    ),
    Input(
        "predictions",
        "results as JSON",
        _files("found/tiny0.json", "segments/tiny0.json"),
        JSON,
        _evaluate,
        sound=checks.sound_predictions,
        read=lambda kit, path: tuple(read(path).values()),
    ),
    Input(
        "predictions",
        "results as CSV",
        _files("found/tiny0.csv"),
        CSV,
        _evaluate,
        sound=checks.sound_predictions,
        read=lambda kit, path: tuple(read(path).values()),
    ),
    Input(
        "predictions",
        "scores as npz",
        _files("found/tiny0.npz"),
        (NPZ, NPZ, BYTES),
        _evaluate,
        sound=checks.sound_predictions,
        read=lambda kit, path: tuple(read(path).values()),
    ),
    Input(
        "predictions",
        "metrics",
        _files("metrics.json", "scores.json"),
        JSON,
        _metrics,
        sound=checks.sound_report,
        read=lambda kit, path: read_metrics(path),
    ),
    Input(
        "features",
        "snippet features",
        _files("snippets/tiny0.safetensors"),
        TENSORS,
        _use_features,
        _features("snippets"),
        checks.sound_snippets,
        lambda kit, path: load_snippets(path),
    ),
    Input(
        "features",
        "public arrays",
        _files("public/tiny0.npy"),
        (mutations.npy, BYTES),
        _use_public,
        _features(),
        checks.sound_public,
        _read_public,
    ),
    Input(
        "features",
        "public tables",
        _files("public/tiny0.csv"),
        CSV,
        _use_public,
        _features(),
        checks.sound_public,
        _read_public,
    ),
    Input(
        "features",
        "public HDF5",
        _files("public/tiny0.h5"),
        (BYTES,),
        _use_public,
        _features(),
        checks.sound_public,
        _read_public,
    ),
    Input(
        "features",
        "public pickles",
        _files("public/tiny0.pkl"),
        (mutations.pickle_, mutations.pickle_, BYTES),
        _use_public,
        _features(),
        checks.sound_public,
        _read_public,
    ),
    Input(
        "features",
        "public archives",
        _public_archive,
        (NPZ, NPZ, BYTES),
        _use_public,
        _features(),
        checks.sound_public,
        _read_public,
    ),
    Input(
        "features",
        "public tensors",
        _public_tensors,
        (TORCH, TORCH, BYTES),
        _use_public,
        _features(),
        checks.sound_public,
        _read_public,
    ),
    Input(
        "features",
        "Fine features",
        _files("fine/tiny0.safetensors"),
        TENSORS,
        _use_fine,
        _features("fine"),
        checks.sound_fine,
        _read_fine,
    ),
    Input(
        "features",
        "proposals",
        _proposals,
        CSV,
        _use_proposals,
        sound=checks.sound_proposals,
        read=lambda kit, path: read_proposals(path.parent),
    ),
    Input(
        "features",
        "video classes",
        _video_classes,
        JSON,
        _use_video_classes,
        sound=checks.sound_video_classes,
        read=lambda kit, path: read_video_scores(path),
    ),
    Input(
        "checkpoints",
        "models",
        _files("runs/x3d/best.safetensors"),
        TENSORS,
        _checkpoint,
        sound=checks.sound_checksum("runs/x3d/best.safetensors"),
        read=lambda kit, path: read_checkpoint(path),
    ),
    Input(
        "checkpoints",
        "chains",
        _files("chain.safetensors"),
        TENSORS,
        _checkpoint,
        sound=checks.sound_checksum("chain.safetensors"),
        read=lambda kit, path: read_checkpoint(path),
    ),
    Input(
        "checkpoints",
        "segment checkpoints",
        _segment_checkpoints,
        TENSORS,
        _chain,
        sound=checks.sound_checksum("runs/bmn/best.safetensors", "runs/tcanet/best.safetensors"),
        read=lambda kit, path: read_checkpoint(path),
    ),
    Input(
        "checkpoints",
        "exports",
        _exports,
        (ONNX, ONNX, mutations.protobuf, BYTES),
        _use_export,
        sound=checks.sound_export,
        read=lambda kit, path: read_exported(path),
    ),
    Input(
        "checkpoints",
        "published",
        _published,
        (TORCH, TORCH, BYTES),
        _convert,
        read=lambda kit, path: load_torch(
            path, error=CheckpointError, unsafe=f"{path} is unsafe", damaged=f"{path} is damaged"
        ),
    ),
    Input(
        "checkpoints",
        "training states",
        _files("runs/x3d/state.pt"),
        (TORCH, TORCH, BYTES),
        _train,
        _state,
        read=lambda kit, path: read_state(path.parent),
    ),
    Input(
        "recipes",
        "recipes",
        lambda kit: {"r.yaml": recipe_text(kit)},
        (mutations.yaml_, mutations.yaml_, mutations.yaml_, TEXT, BYTES),
        _train_recipe,
        read=lambda kit, path: read_recipe(path),
    ),
    Input(
        "videos",
        "MP4 and MOV",
        _containers("mp4", "mov"),
        (mutations.boxes, mutations.boxes, BYTES),
        _use_video,
        sound=checks.sound_video,
        read=_read_tables,
    ),
    Input(
        "videos",
        "Matroska and WebM",
        _containers("mkv", "webm"),
        (mutations.elements, mutations.elements, BYTES),
        _use_video,
        sound=checks.sound_video,
        read=_read_tables,
    ),
    Input(
        "videos",
        "other containers",
        _containers(*("ts", "avi", "mpg", "flv", "gif", "ogv", "wmv", "mxf", "nut", "ivf", "swf")),
        (BYTES,),
        _use_video,
        sound=checks.sound_video,
    ),
    Input(
        "videos",
        "folders of frames",
        _pictures,
        (mutations.picture, BYTES),
        _use_picture,
        _place_picture,
        checks.sound_video,
    ),
    Input(
        "videos",
        "decoded videos",
        _decoded,
        (mutations.npy, BYTES),
        _use_decoded,
        sound=checks.sound_decoded,
    ),
)
GROUPS = tuple(dict.fromkeys(one.group for one in INPUTS))


def accepted_is_sound(one: Input, kit: Kit, path: Path, out: Path) -> str | None:
    """What is unsound in what was accepted, if anything is."""
    try:
        one.sound(kit, path, out)
    except ActlineError:
        return None  # one of several commands took it, and this reader is another's
    except checks.UnsoundError as error:
        return str(error)
    except Exception as error:  # of another reader, which does not read what ours does
        return f"another reader: {type(error).__name__}: {error}"
    return None
