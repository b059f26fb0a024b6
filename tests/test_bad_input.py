"""Bad input is one line that names the file and the mend; exit code 1, nothing half-written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from tiny import write_data, write_recipe

from actline.files import CLAIMS
from actline.training.tasks import read_recipe
from actline.training.train import train


class Kit:
    """A folder of one's own, a data set, and a checkpoint to try things with."""

    def __init__(self, folder: Path, data: Path, checkpoint: Path) -> None:
        self.folder = folder
        self.data = data
        self.checkpoint = checkpoint

    def write(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def detect(self, video: Path | str, *more: str) -> list[str]:
        checkpoint = [] if "--checkpoint" in more else ["--checkpoint", str(self.checkpoint)]
        out = [] if "--out" in more else ["--out", str(self.folder / "out")]
        return ["detect", str(video), *checkpoint, *out, "--device", "cpu", *more]

    def train(self, **changes) -> list[str]:
        recipe = write_recipe(self.folder / "r.yaml", self.data, **changes)
        return ["train", str(recipe), "--device", "cpu"]

    def table(self, text: str) -> list[str]:
        path = self.write("annotations.csv", text)
        (self.folder / "found").mkdir(exist_ok=True)
        return ["evaluate", str(self.folder / "found"), str(path), "--subset", "training"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("kit")
    data = write_data(folder / "data")
    recipe = read_recipe(write_recipe(folder / "r.yaml", data, epochs=1))
    return data, train(recipe, device="cpu").best


@pytest.fixture
def kit(tmp_path, trained) -> Kit:
    return Kit(tmp_path, *trained)


def audio_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Malicious:
    def __reduce__(self):
        return os.system, ("touch /tmp/actline-was-here",)


def pickled(path: Path) -> Path:
    torch.save({"model_state_dict": Malicious()}, path)
    return path


def truncated(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    return target


HEADER = "video,label,start,end\n"
CASES: dict[str, tuple[Callable[[Kit], list[str]], str]] = {
    "empty video": (lambda k: k.detect(k.write("v.mp4", "")), r"v\.mp4 is empty"),
    "text as video": (
        lambda k: k.detect(k.write("v.mp4", "hello " * 99)),
        r"v\.mp4 is not a video",
    ),
    "truncated video": (
        lambda k: k.detect(truncated(k.data / "videos" / "tiny0.mp4", k.folder / "v.mp4")),
        r"v\.mp4 is not a video",
    ),
    "audio only": (lambda k: k.detect(audio_only(k.folder / "v.mp4")), r"v\.mp4 has no video"),
    "missing video": (lambda k: k.detect(k.folder / "gone.mp4"), r"no video at .*gone\.mp4"),
    "folder without videos": (
        lambda k: k.detect(k.write("d/notes.txt", "x").parent),
        "no video in",
    ),
    "two videos of one name": (
        lambda k: ["detect", str(k.write("a/v.mp4", "x")), *k.detect(k.write("b/v.mp4", "x"))[1:]],
        "have the same name",
    ),
    "missing checkpoint": (
        lambda k: k.detect("v.mp4", "--checkpoint", str(k.folder / "gone.safetensors")),
        r"no checkpoint at .*gone\.safetensors",
    ),
    "truncated checkpoint": (
        lambda k: k.detect("v.mp4", "--checkpoint", str(truncated(k.checkpoint, k.folder / "c"))),
        "not a whole checkpoint",
    ),
    "text as checkpoint": (
        lambda k: k.detect("v.mp4", "--checkpoint", str(k.write("c", "hello"))),
        "not a whole checkpoint",
    ),
    "malicious checkpoint": (
        lambda k: [
            "convert",
            str(pickled(k.folder / "c.pt")),
            "--from",
            "fine",
            str(k.folder / "o"),
        ],
        r"c\.pt holds Python objects besides tensors",
    ),
    "checkpoint of another model": (
        lambda k: [
            "convert",
            str(_saved(k.folder / "c.pt", {"stem.weight": torch.zeros(3)})),
            "--from",
            "pytorchvideo",
            str(k.folder / "o"),
        ],
        r"is missing; is the source \(--from\) right",
    ),
    "truncated published checkpoint": (
        lambda k: [
            "convert",
            str(truncated(_saved(k.folder / "w.pt", {"a": torch.zeros(999)}), k.folder / "c.pt")),
            "--from",
            "fine",
            str(k.folder / "o"),
        ],
        "not a whole checkpoint",
    ),
    "device that is not there": (
        lambda k: k.detect(k.data / "videos" / "tiny0.mp4", "--device", "cuda:7"),
        'device "cuda:7" is not on this machine',
    ),
    "device that does not exist": (
        lambda k: k.detect(k.data / "videos" / "tiny0.mp4", "--device", "abacus"),
        'device "abacus" is not on this machine',
    ),
    "unknown format": (
        lambda k: k.detect(k.data / "videos" / "tiny0.mp4", "--formats", "doc"),
        "doc",
    ),
    "end before start": (lambda k: k.table(HEADER + "a,x,5,2\n"), "line 2.*not after the start"),
    "NaN time": (lambda k: k.table(HEADER + "a,x,nan,2\n"), "line 2.*not a time"),
    "negative time": (lambda k: k.table(HEADER + "a,x,-1,2\n"), "line 2.*is negative; times count"),
    "no videos": (lambda k: k.table(HEADER), "names no videos"),
    "unknown class": (
        lambda k: [*k.table(HEADER + "a,x,1,2\n"), "--classes", str(k.write("c.txt", "y\n"))],
        'class "x" is not among the classes',
    ),
    "no predictions": (lambda k: k.table(HEADER + "a,x,1,2\n"), "holds no predictions"),
    "missing annotations": (
        lambda k: ["evaluate", str(k.folder), str(k.folder / "gone.csv")],
        r"no annotations at .*gone\.csv",
    ),
    "misspelt key": (lambda k: k.train(epoch=3), 'unknown key "epoch"; did you mean "epochs"'),
    "wrong type": (lambda k: k.train(epochs="many"), "expected a whole number"),
    "missing training video": (
        lambda k: k.train(data={"annotations": str(k.data), "videos": str(k.folder)}),
        r"no video tiny\d",
    ),
    "missing subset": (
        lambda k: k.train(
            data={
                "annotations": str(k.data),
                "videos": str(k.data / "videos"),
                "validation_subset": "nowhere",
            }
        ),
        "no video is in subset nowhere",
    ),
    "init of another model": (
        lambda k: k.train(init=str(k.write("c.safetensors", "hello"))),
        "not a whole checkpoint",
    ),
    "malformed JSON": (
        lambda k: ["data", "check", str(k.write("annotations.json", '{"database": {').parent)],
        r"annotations\.json, line 1: not valid JSON",
    ),
    "impossible size": (
        lambda k: ["data", "generate", "charades", "--out", str(k.folder / "g"), "--size", "7x7"],
        "even sizes from 32",
    ),
}


def _saved(path: Path, tensors: dict) -> Path:
    torch.save({"model_state_dict": tensors}, path)
    return path


def run(command: list[str], **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "actline.cli.main", *command],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_clear_line(kit, name):
    command, said = CASES[name]
    arguments = command(kit)
    before = {path for path in kit.folder.rglob("*") if path.is_file()}
    finished = run(arguments, cwd=kit.folder)
    assert finished.returncode == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    lines = [line for line in finished.stderr.splitlines() if line.strip()]
    assert re.search(said, " ".join(lines)), finished.stderr
    assert all(line.startswith("actline: ") for line in lines), finished.stderr
    assert len(lines) <= 2  # a bad video's own line, and the count of failed videos
    after = {path for path in kit.folder.rglob("*") if path.is_file()}
    new = {p.name for p in after - before if "tensorboard" not in str(p)}
    assert new <= {"detections.meta", CLAIMS}, new
    assert not Path("/tmp/actline-was-here").exists()


@pytest.mark.slow
def test_one_bad_video_does_not_stop_the_others_and_a_second_run_skips(kit):
    folder = kit.folder / "videos"
    folder.mkdir()
    kit.write("videos/bad.mp4", "text")
    good = kit.data / "videos" / "tiny1.mp4"
    (folder / "good.mp4").write_bytes(good.read_bytes())
    finished = run(kit.detect(folder))
    assert finished.returncode == 1
    assert "bad.mp4" in finished.stderr
    out = kit.folder / "out"
    assert sorted(p.suffix for p in out.glob("good.*")) == [
        ".csv",
        ".eaf",
        ".json",
        ".npz",
        ".txt",
        ".vtt",
    ]
    assert not list(out.glob("bad.*"))
    assert json.loads((out / "good.json").read_text())["results"].keys() == {"good"}
    written = (out / "good.json").stat().st_mtime_ns
    again = run(kit.detect(folder))
    assert "1 of 2 videos are done already" in again.stdout
    assert (out / "good.json").stat().st_mtime_ns == written
    other = run(kit.detect(folder, "--threshold", "0.9"))
    assert other.returncode == 1
    assert "other settings" in other.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_leaves_nothing_half_written(kit, tmp_path):
    """A file-size limit stands in for a full disk: writing fails in the middle."""
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)); "
        "from actline.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = kit.detect(kit.data / "videos" / "tiny0.mp4", "--formats", "npz")
    finished = subprocess.run(
        [sys.executable, "-c", limited, *command], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 1
    assert "cannot write" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert {p.name for p in (kit.folder / "out").iterdir()} == {"detections.meta", CLAIMS}


def test_one_frame_and_very_short_videos_are_detected_in(kit):
    path = kit.folder / "one.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = np.full((48, 64, 3), 99, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    import actline

    timeline = actline.detect(path, actline.load_model(kit.checkpoint, device="cpu"))
    assert timeline.scores is not None
    assert timeline.scores.probabilities.shape == (1, 2)


def test_pickle_is_never_read_from_predictions(tmp_path):
    from actline.errors import PredictionError
    from actline.evaluation.predictions import read_scores

    np.savez(tmp_path / "v.npz", times=np.array([Path("x")], dtype=object))
    with pytest.raises(PredictionError):
        read_scores(tmp_path / "v.npz")
