"""The generated set is the same to the last byte, and known by a hash that is checked."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from actline.cli.main import main
from actline.generated.encode import as_yuv, encode, encoder
from actline.generated.fingerprint import published, read_hashes, video_hash
from actline.generated.write import generate
from actline.models.checkpoint import load_checkpoint, weights_hash
from actline.video.decode import ShortSide
from actline.video.decoded import decoded_video

# Draws and encodes videos in a process with a past: memory that was used and given back.
ENCODINGS = """
import hashlib, random, sys, tempfile
from pathlib import Path
import numpy as np
from actline.generated.plan import plan
from actline.generated.profiles import CHARADES, EASY, HARD, KINETICS, NORMAL
from actline.generated.scene import render
from actline.generated.write import write_video

draw = random.Random(int(sys.argv[1]))
for index, (difficulty, size) in enumerate([(EASY, (72, 72)), (HARD, (80, 66)), (HARD, (112, 96))]):
    for _ in range(2):
        sizes = [draw.randrange(16, 300_000) for _ in range(60)]
        past = [np.full(size, draw.randrange(256), np.uint8) for size in sizes]
        del past[:: draw.randrange(1, 4)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{draw.random()}.mp4")
            scenario = plan(KINETICS, difficulty, seed=5, index=index)
            write_video(path, scenario, size, 6.0)
            print(index, hashlib.sha256(path.read_bytes()).hexdigest())
scenario = plan(CHARADES, NORMAL, seed=0, index=0)
drawn = hashlib.sha256(b"".join(p.tobytes() for p in render(scenario, size=(112, 112), rate=8.0)))
print("drawn", drawn.hexdigest())
"""
# The processor's abilities that NumPy and the C library choose their code by.
DISPATCHED = " ".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
MACHINES = [
    {},
    {"NPY_DISABLE_CPU_FEATURES": DISPATCHED},
    {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA", "OMP_NUM_THREADS": "1"},
    {"MALLOC_PERTURB_": "165", "OMP_NUM_THREADS": "7"},
    {"MALLOC_PERTURB_": "90", "MALLOC_ARENA_MAX": "1"},
]


def test_files_are_the_same_bytes_whatever_a_process_did_and_the_processor_can():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ENCODINGS, str(number)],
            env={**os.environ, **machine},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, machine in enumerate(MACHINES)
    ]
    written = [process.communicate()[0].splitlines() for process in running]
    assert all(process.returncode == 0 for process in running)
    assert all(len(lines) == 7 for lines in written)
    # One a video, and one of a video's pictures.
    assert len({line for lines in written for line in lines}) == 4


def test_pictures_become_luminance_and_colour_as_rec_601_has_them():
    corners = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]])
    for rgb, (y, u, v) in zip(
        corners,
        [(16, 128, 128), (235, 128, 128), (82, 90, 240), (144, 54, 34), (41, 240, 110)],
        strict=True,
    ):
        planes = as_yuv(np.full((4, 6, 3), rgb, np.uint8))
        assert planes.shape == (6, 6)
        assert (planes[:4] == y).all()
        assert (planes[4:].ravel()[:6] == u).all()
        assert (planes[4:].ravel()[6:] == v).all()


SMALL = ["--videos", "4", "--difficulty", "easy", "--size", "72x72", "--rate", "10"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small published set, as the command line writes it."""
    out = tmp_path_factory.mktemp("generated") / "small"
    assert main(["data", "generate", "charades", "--out", str(out), *SMALL]) == 0
    return out


def test_a_published_set_is_recognized_when_generated_and_when_checked(small, capsys):
    entry = next(entry for entry in published() if entry["videos"] == 4)
    if entry["encoder"] != encoder():
        pytest.skip(f"published with {entry['encoder']}, here is {encoder()}")
    assert main(["data", "generate", "charades", "--out", str(small), *SMALL]) == 0
    generated = capsys.readouterr().out
    assert main(["data", "check", str(small)]) == 0
    for told in (generated, capsys.readouterr().out):
        assert entry["set"] in told
        assert "it is the published set" in told


def copied(small, folder):
    for path in small.rglob("*"):
        if path.is_file():
            to = folder / path.relative_to(small)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())
    return folder


def test_other_pixels_labels_and_encoders_are_found(small, tmp_path, capsys):
    data = copied(small, tmp_path / "pixels")
    changed = data / "videos" / "charades-00002.mp4"
    changed.write_bytes((data / "videos" / "charades-00001.mp4").read_bytes())
    assert main(["data", "check", str(data)]) == 1
    told = capsys.readouterr().out
    assert "pixels are not those that were generated" in told
    assert "charades-00002" in told
    assert main(["data", "generate", "charades", "--out", str(data), *SMALL]) == 1
    assert "charades-00002.mp4 is not what was generated" in capsys.readouterr().err
    changed.unlink()
    assert main(["data", "generate", "charades", "--out", str(data), *SMALL]) == 0
    assert read_hashes(data) == read_hashes(small)

    data = copied(small, tmp_path / "labels")
    labels = (data / "annotations.json").read_text()
    (data / "annotations.json").write_text(labels.replace('"nod"', '"shake"'))
    capsys.readouterr()
    assert main(["data", "check", str(data)]) == 1
    assert "labels that are not those that were generated" in capsys.readouterr().out

    # Another encoder's pixels, in a set that agrees with itself.
    data = copied(small, tmp_path / "encoder")
    changed = data / "videos" / "charades-00002.mp4"
    changed.write_bytes((data / "videos" / "charades-00001.mp4").read_bytes())
    hashes = json.loads((data / "hashes.json").read_text())
    hashes["videos"]["charades-00002"] = video_hash(changed)
    for name, status, said in (
        ("x264 core 1", 0, "x264 core 1 this one"),
        (hashes["encoder"], int(hashes["encoder"] == published()[0]["encoder"]), "not the publ"),
    ):
        (data / "hashes.json").write_text(json.dumps({**hashes, "encoder": name}))
        capsys.readouterr()
        assert main(["data", "check", str(data)]) == status
        assert said in capsys.readouterr().out.replace("NOT", "not")


@pytest.mark.parametrize("name", ["hashes.json", "generated.json"])
@pytest.mark.parametrize(
    "content", ["", "[]", '{"videos"', "[" * 100_000, '{"a": ' + "[" * 500 + "]" * 500 + "}"]
)
def test_a_damaged_note_is_reported_in_one_line(small, tmp_path, name, content, capsys):
    data = copied(small, tmp_path / "set")
    (data / name).write_text(content)
    assert main(["data", "check", str(data)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name in error


def test_a_damaged_note_is_that_of_another_set_to_those_who_generate(tmp_path, capsys):
    (tmp_path / "generated.json").write_text("[" * 100_000)
    assert main(["data", "generate", "charades", "--out", str(tmp_path), "--videos", "1"]) == 1
    assert "generated with other settings" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "C:\\x", ""])
def test_a_note_names_no_video_outside_of_its_folder(small, tmp_path, name, capsys):
    data = copied(small, tmp_path / "set")
    hashes = json.loads((data / "hashes.json").read_text())
    (data / "hashes.json").write_text(json.dumps({**hashes, "videos": {name: "0" * 64}}))
    assert main(["data", "check", str(data)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "hashes.json" in error


def test_pixels_are_known_by_their_planes_and_times(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    hashes = set()
    for name, (frames, rate) in {
        "one": (pictures, 5.0),
        "again": (pictures, 5.0),
        "slower": (pictures, 4.0),
        "shorter": (pictures[:-1], 5.0),
        "other": (pictures[::-1], 5.0),
    }.items():
        encode(tmp_path / f"{name}.mp4", frames, (32, 32), rate)
        hashes.add(video_hash(tmp_path / f"{name}.mp4"))
    assert len(hashes) == 4


def test_decoded_videos_of_two_runs_are_the_same_bytes(small, tmp_path):
    other = tmp_path / "other"
    generate("charades", other, videos=2, difficulty="easy", size=(72, 72), rate=10.0, workers=1)
    kept = []
    for folder in (small, other):
        video = folder / "videos" / "charades-00001.mp4"
        decoded = tmp_path / f"decoded-{folder.name}"
        decoded_video(decoded, "charades-00001", video, size=ShortSide(36))
        kept.append([path.read_bytes() for path in decoded.iterdir()])
    assert kept[0] == kept[1]


def test_training_from_the_same_files_is_exact_beside_a_busy_process(tmp_path):
    data = tiny.write_data(tmp_path / "data", videos=4)
    hashes = []
    for name in ("alone", "beside"):
        recipe = tiny.write_recipe(
            tmp_path / f"{name}.yaml", data, out=str(tmp_path / name), epochs=2, ema=0.9
        )
        busy = [sys.executable, "-c", "while True: pass"]
        load = [subprocess.Popen(busy)] if name == "beside" else []
        try:
            assert main(["train", str(recipe), "--device", "cpu"]) == 0
        finally:
            for process in load:
                process.kill()
                process.wait()
        hashes.append(weights_hash(load_checkpoint(tmp_path / name / "last.safetensors")[0]))
    assert hashes[0] == hashes[1]
