"""A tiny data set of real videos and a tiny recipe, for tests that train and detect for real."""

import json
from pathlib import Path

import av
import numpy as np
import yaml

CLASSES = ("brighten", "move")


def write_data(folder: Path, *, videos: int = 6, seconds: float = 4.0, rate: int = 10) -> Path:
    """Videos of a square that moves or brightens for a while, and their annotations."""
    (folder / "videos").mkdir(parents=True)
    database = {}
    for index in range(videos):
        name = f"tiny{index}"
        generator = np.random.default_rng(index)
        first, second = sorted(generator.uniform(0.5, seconds - 0.5, 2).round(2))
        label = CLASSES[index % 2]
        write_video(
            folder / "videos" / f"{name}.mp4", label, (first, second), seconds=seconds, rate=rate
        )
        database[name] = {
            "subset": "testing" if index >= videos - 2 else "training",
            "duration": seconds,
            "annotations": [{"label": label, "segment": [first, second]}],
        }
    (folder / "annotations.json").write_text(json.dumps({"database": database}))
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return folder


def begin_late(source: Path, target: Path, *, seconds: float, gap: float = 0.0) -> Path:
    """A video put that long after the beginning of a sound, with a gap in its middle, if any."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as written:
        given = opened.streams.video[0]
        stream = written.add_stream_from_template(given)
        sound = written.add_stream("aac", rate=44100)
        packets = [packet for packet in opened.demux(given) if packet.size]
        for index, packet in enumerate(packets):
            late = seconds + (gap if index >= len(packets) // 2 else 0.0)
            ticks = round(late / packet.time_base)
            packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
            packet.stream = stream
            written.mux(packet)
        silence = np.zeros((1, 1024), np.float32)
        for index in range(44):
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, index * 1024
            written.mux(sound.encode(frame))
        written.mux(sound.encode())
    return target


def write_video(
    path: Path, label: str, segment: tuple[float, float], *, seconds: float, rate: int
) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(int(seconds * rate)):
            picture = np.full((48, 64, 3), 60, np.uint8)
            inside = segment[0] < number / rate < segment[1]
            left = 10 + (number * 3) % 40 if label == "move" and inside else 20
            picture[16:32, left : left + 12] = 240 if label == "brighten" and inside else 150
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_recipe(path: Path, own_data: Path, /, **changes) -> Path:
    """A recipe that trains in seconds; `changes` replace top-level keys."""
    recipe = {
        "name": "tiny",
        "out": str(path.parent / "run"),
        "data": {
            "annotations": str(own_data),
            "videos": str(own_data / "videos"),
            "workers": 0,
        },
        "clip": {"rate": 5, "frames": 8, "size": 32, "short_sides": [32, 36], "flip": 0.5},
        "network": {
            "widths": [8, 8, 8, 16],
            "depths": [1, 1, 1, 1],
            "head_width": 16,
            "dropout": 0.5,
        },
        "optimizer": {"lr": 0.01},
        "epochs": 3,
        "batch_size": 2,
        "window": 16,
        "overlap": 4,
        **changes,
    }
    path.write_text(yaml.safe_dump(recipe))
    return path
