"""Long videos and many of them: `python -m tests.load.videos --hours 2 6 --small 10000`.

Long ones are a minute of encoded video, repeated without encoding it again; small ones are hard
links of a few files. The network is a tiny one that was trained for a step, so that the package's
own work is measured: reading, sampling, writing and keeping account.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

import av
from tiny import write_data, write_recipe, write_video

from actline.cli.main import main as actline
from tests.load.measure import Row, measured, table

MINUTE = 60.0
RATE = 25
ON_CPU = ("--device", "cpu")


def repeat(source: Path, target: Path, seconds: float) -> Path:
    """The packets of a video, again and again, until it is as long as that."""
    with av.open(str(source)) as opened, av.open(str(target), "w") as written:
        stream = opened.streams.video[0]
        copy = written.add_stream_from_template(stream)
        packets = [
            (bytes(packet), packet.pts, packet.dts, packet.is_keyframe)
            for packet in opened.demux(stream)
            if packet.size and packet.pts is not None and packet.dts is not None
        ]
        assert stream.time_base is not None
        length = round(len(packets) / RATE / stream.time_base)
        for turn in range(max(1, round(seconds * RATE / len(packets)))):
            for content, pts, dts, key in packets:
                packet = av.Packet(content)
                packet.stream, packet.time_base = copy, stream.time_base
                packet.pts, packet.dts = pts + turn * length, dts + turn * length
                packet.is_keyframe = key
                written.mux(packet)
    return target


def many(folder: Path, count: int) -> Path:
    """A data set of so many videos of four seconds, hard links of four files."""
    data = write_data(folder, videos=4)
    about = json.loads((data / "annotations.json").read_text())
    few = dict(about["database"])
    videos = {}
    for number in range(count):
        name = f"small{number:05d}"
        os.link(data / "videos" / f"tiny{number % 4}.mp4", data / "videos" / f"{name}.mp4")
        videos[name] = few[f"tiny{number % 4}"]
    for name in few:
        (data / "videos" / f"{name}.mp4").unlink()
    about["database"] = videos
    (data / "annotations.json").write_text(json.dumps(about))
    return data


def model(folder: Path) -> Path:
    """A tiny X3D."""
    data = write_data(folder / "for-training", videos=4)
    recipe = write_recipe(folder / "x3d.yaml", data, epochs=1)
    if actline(["train", str(recipe), f"out={folder / 'run'}", *ON_CPU]):
        raise RuntimeError("training the tiny network failed")
    return folder / "run" / "best.safetensors"


def long_rows(folder: Path, checkpoint: Path, hours: float) -> list[Row]:
    """What a long video takes."""
    place = folder / f"{hours:g}h" / "videos"
    place.mkdir(parents=True)
    minute = folder / "minute.mp4"
    if not minute.exists():
        write_video(minute, "move", (10.0, 40.0), seconds=MINUTE, rate=RATE)
    video = repeat(minute, place / "long.mp4", hours * 3600)
    size = video.stat().st_size / 2**20
    on = f"{hours:g} hours, {round(hours * 3600 * RATE)} frames, {size:.0f} MiB"
    activity = {"label": "move", "segment": [10.0, 40.0]}
    entry = {"subset": "training", "duration": hours * 3600, "annotations": [activity]}
    (place.parent / "annotations.json").write_text(json.dumps({"database": {"long": entry}}))
    use = ("--checkpoint", checkpoint, *ON_CPU, "--out")
    return [
        measured(on, "data", "check", place.parent, statuses=(0, 1)),
        measured(on, "detect", video, *use, place.parent / "found"),
        measured(on, "extract", video, "--snippets", 1, *use, place.parent / "snippets"),
    ]


def many_rows(folder: Path, checkpoint: Path, count: int, share: int) -> list[Row]:
    """What many small videos take."""
    data = many(folder / "many", count)
    on = f"{count} videos of 4 s"
    use = ("--checkpoint", checkpoint, *ON_CPU, "--out", folder / "many-found")
    part = ("--share", f"0/{share}")
    return [
        measured(on, "data", "check", data, "--quick", statuses=(0, 1)),
        measured(on, "data", "check", data, statuses=(0, 1)),
        measured(f"{on}, one {share}th of them", "detect", data / "videos", *part, *use),
        measured(f"{on}, that part again", "detect", data / "videos", *part, *use),
    ]


def main(argv: list[str] | None = None) -> int:
    """Make them, measure, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.load.videos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--hours", type=float, nargs="*", default=[2.0, 6.0])
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--share", type=int, default=20, help="detect one part of so many")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary one)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="load-", dir=arguments.folder) as temporary:
        folder = Path(temporary)
        checkpoint = model(folder)
        rows = []
        for hours in arguments.hours:
            rows += long_rows(folder, checkpoint, hours)
        if arguments.small:
            rows += many_rows(folder, checkpoint, arguments.small, arguments.share)
    print(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
