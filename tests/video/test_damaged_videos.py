"""A video that cannot be read gives one clear line; one that can be read in part is read."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from encode import cut, damage, make_folder, make_sound, make_video, number_of

from actline.cli.main import main
from actline.errors import VideoError
from actline.video.damage import Damage, find_damage
from actline.video.decode import Exact, frame_times, probe, read_clip, read_frames
from actline.video.find import find_video
from actline.video.sampling import AtRate, sample_times

SIZE = Exact(60, 48)
FAST = {"movflags": "faststart"}  # the header first, so that a cut off file can be opened


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    """20 s at 10 frames a second, a key frame every second, the header first."""
    path = tmp_path_factory.mktemp("good") / "good.mp4"
    return make_video(path, seconds=20, rate=10, options={"g": "10"}, container_options=FAST)


@pytest.fixture(autouse=True)
def silent(capfd):
    """FFmpeg writes nothing to standard error, whatever it thinks of a file."""
    yield
    captured = capfd.readouterr()
    assert captured.err == ""
    assert captured.out == ""


def text(path: Path, good: Path) -> None:
    path.write_text("This is not a video.\n" * 50)


def without_index(path: Path, good: Path) -> None:
    moved = make_video(path.with_name("late.mp4"))
    cut(moved, path, part=0.9)


def without_frames(path: Path, good: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        container.start_encoding()


def of_unknown_codec(path: Path, good: Path) -> None:
    path.write_bytes(good.read_bytes().replace(b"avc1", b"zzzz"))


def all_noise(path: Path, good: Path) -> None:
    content = bytearray(good.read_bytes())
    begin = content.index(b"mdat") + 8
    content[begin:] = np.random.default_rng(0).bytes(len(content) - begin)
    path.write_bytes(content)


BAD: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "missing": (lambda path, good: None, r"no video at .*v\.mp4; check the path"),
    "empty": (lambda path, good: path.write_bytes(b""), r"v\.mp4 is empty; copy it again"),
    "text": (text, r"v\.mp4 is not a video that can be read .*; copy it again or re-encode it"),
    "random bytes": (
        lambda path, good: path.write_bytes(np.random.default_rng(0).bytes(10_000)),
        r"v\.mp4 is not a video that can be read .*; copy it again or re-encode it",
    ),
    "audio only": (
        lambda path, good: make_sound(path),
        r"v\.mp4 has no video, only other streams; give a video file",
    ),
    "audio with cover art": (
        lambda path, good: make_sound(path, cover=True),
        r"v\.mp4 has no video, only other streams; give a video file",
    ),
    "without its index": (without_index, r"v\.mp4 is not a video that can be read .*; copy"),
    "without frames": (without_frames, r"v\.mp4 has no "),
    "unknown codec": (of_unknown_codec, r"v\.mp4 has an unknown codec; re-encode it as H\.264"),
    "all noise": (all_noise, r"v\.mp4: no frame can be decoded; copy it again or re-encode"),
    "cut in the middle": (
        lambda path, good: cut(good, path, part=0.5),
        r"v\.mp4 is cut off: its header states 20\.0 s, but it has only (8|9|10|11)\.\d s; copy it",
    ),
    "a folder without frames": (
        lambda path, good: path.mkdir(),
        r"v\.mp4 contains no frames such as v\.mp4-000001\.jpg; extract them",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gives_one_line_that_names_the_file(tmp_path, good, kind):
    spoil, message = BAD[kind]
    path = tmp_path / "v.mp4"
    spoil(path, good)
    reads = [
        lambda path: read_clip(path, np.arange(0, 19.5, 0.5), size=SIZE),
        lambda path: read_clip(path, [18.0], size=SIZE),
    ]
    if "cut" not in kind:  # of that, header and first frames are there
        reads.append(probe)
    for read in reads:
        with pytest.raises(VideoError, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", sorted(set(BAD) - {"all noise"}))
def test_bad_input_is_found_without_decoding(tmp_path, good, kind):
    spoil, message = BAD[kind]
    path = tmp_path / "v.mp4"
    spoil(path, good)
    for read in (frame_times, lambda path: sample_times(path, AtRate(2))):
        with pytest.raises(VideoError, match=message):
            read(path)


@pytest.mark.parametrize(
    ("suffix", "codec", "sound"),
    [
        (".mp4", "libx264", False),
        (".mkv", "libx264", True),
        (".webm", "libvpx", False),
        (".avi", "mpeg4", False),
        (".flv", "libx264", False),
    ],
)
def test_a_cut_off_file_says_how_much_is_there(tmp_path, suffix, codec, sound):
    whole = make_video(
        tmp_path / f"whole{suffix}",
        seconds=20,
        codec=codec,
        sound=sound,
        options={"g": "10"},
        container_options=FAST if suffix == ".mp4" else None,
    )
    part = cut(whole, tmp_path / f"part{suffix}", part=0.6)
    assert probe(whole).duration == pytest.approx(20, abs=0.1)
    with pytest.raises(VideoError, match=r"states (19|20)\.\d s, but it has only 1[0-3]\.\d s"):
        sample_times(part, AtRate(2))


def test_what_is_there_of_a_cut_off_file_can_be_read(tmp_path, good):
    part = cut(good, tmp_path / "part.mp4", part=0.6)
    frames = read_frames(part, [0, 2, 5, 19], size=SIZE)
    assert [number_of(next(frames)) for _ in range(3)] == [0, 20, 50]
    with pytest.raises(VideoError, match="but it has only"):
        next(frames)


def test_a_few_seconds_missing_of_an_hour_are_noticed(tmp_path):
    whole = make_video(
        tmp_path / "whole.mp4", seconds=3600, rate=1, size=(20, 16), container_options=FAST
    )
    part = cut(whole, tmp_path / "part.mp4", part=0.995)
    with pytest.raises(VideoError, match=r"states 3600\.0 s, but it has only 35\d\d\.\d s"):
        frame_times(part)


def test_the_last_second_may_be_missing_and_its_frame_is_held(tmp_path):
    whole = make_video(tmp_path / "w.mp4", seconds=20, rate=10, container_options=FAST)
    path = tmp_path / "v.mp4"
    size = whole.stat().st_size
    with av.open(str(whole)) as container:
        packets = [packet.pos for packet in container.demux() if packet.size]
    path.write_bytes(whole.read_bytes()[: packets[-6]])
    assert path.stat().st_size < size
    last = int(frame_times(path)[-1] * 10 + 0.5)
    assert 190 <= last < 199
    assert probe(path).duration == pytest.approx(20)
    assert number_of(read_clip(path, [19.9], size=SIZE)[0]) in range(190, last + 1)


@pytest.mark.parametrize("part", [(0.45, 0.47), (0.4, 0.6)])
def test_damage_in_the_middle_is_passed_over(tmp_path, good, part):
    path = damage(good, tmp_path / "v.mp4", part=part)
    times = sample_times(path, AtRate(2))
    found = [number_of(frame) for frame in read_frames(path, times, size=SIZE)]
    assert len(found) == 40
    right = np.array(found) == 5 * np.arange(40)
    assert right[:14].all()
    assert right[-12:].all()


def test_an_end_that_cannot_be_decoded_says_where_decoding_ended(tmp_path, good):
    path = damage(good, tmp_path / "v.mp4", part=(0.7, 1.0))
    with pytest.raises(VideoError, match=r"v\.mp4 can be decoded only up to 1\d\.\d s, not to 19"):
        read_clip(path, [0.0, 19.0], size=SIZE)


def test_titles_in_another_encoding_are_no_hindrance(tmp_path, good):
    path = tmp_path / "v.mp4"
    with av.open(str(good)) as source, av.open(str(path), "w") as target:
        target.metadata["title"] = "Caf~ au lait"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux():
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    path.write_bytes(path.read_bytes().replace(b"Caf~", b"Caf\xe9"))
    assert probe(path).duration == pytest.approx(20)


@pytest.mark.parametrize("name", ["a:b.mp4", "100% %03d.mp4", "vidéo 東京 [1].mp4", "-i.mp4"])
def test_odd_names_are_only_names(tmp_path, good, monkeypatch, name):
    (tmp_path / name).write_bytes(good.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert probe(name).duration == pytest.approx(20)
    assert find_video(".", Path(name).stem) == Path(name)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_impossible_names_are_one_line(tmp_path, name):
    for read in (probe, frame_times, lambda path: find_video(path.parent, path.name)):
        with pytest.raises(VideoError, match=r"^(cannot|no video) .*$"):
            read(tmp_path / name)


@pytest.fixture
def open_folder():
    """A temporary folder that others can reach, which `tmp_path` is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("what", ["file", "folder", "parent"])
def test_what_may_not_be_read_is_one_line(open_folder, good, what):
    target = open_folder / "held" / "v.mp4"
    target.parent.mkdir()
    if what == "folder":
        target.mkdir(mode=0)
    else:
        target.write_bytes(good.read_bytes())
        (target if what == "file" else target.parent).chmod(0)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from actline.video.decode import probe, read_clip, ShortSide\n"
        "from actline.video.find import find_video\n"
        "from actline.errors import VideoError\n"
        "path = Path(sys.argv[1])\n"
        "os.setuid(65534)\n"
        "for read in (\n"
        "    lambda: probe(path),\n"
        "    lambda: read_clip(path, [0], size=ShortSide(32)),\n"
        "    lambda: probe(find_video(path.parent, 'v')),\n"
        "    lambda: probe(find_video(path.parent, 'v.mp4')),\n"
        "):\n"
        "    try: read()\n"
        "    except VideoError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    assert all("held" in line for line in lines)
    assert sum("Permission denied" in line for line in lines) >= 3


# --- damage inside, found by decoding all ---


def test_damage_that_reading_passes_over_is_counted_by_decoding_all(tmp_path, good):
    assert find_damage(good) == Damage(frames=200, lost=0, first=None)
    path = damage(good, tmp_path / "v.mp4", part=(0.45, 0.47))
    found = find_damage(path)
    assert found.frames == 200
    assert 1 <= found.lost <= 10
    assert found.first == pytest.approx(9, abs=1.5)


@pytest.mark.parametrize(("name", "codec"), [("v.mkv", "libx264"), ("v.mov", "mjpeg")])
def test_a_frame_that_the_decoder_rejects_is_counted(tmp_path, name, codec):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_video(tmp_path / name, seconds=4, codec=codec, pixels=pixels)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
        begin, size, stamp = packets[20].pos, packets[20].size, packets[20].pts
        wanted = float((stamp - (packets[0].pts or 0)) * packets[20].time_base)
    content = bytearray(path.read_bytes())
    # The container's own words before the picture, 8 bytes at most, stay as they are.
    content[begin + 8 : begin + size] = bytes(size - 8)
    path.write_bytes(content)
    found = find_damage(path)
    assert (found.frames, found.lost >= 1) == (40, True)
    assert found.first == pytest.approx(wanted, abs=0.4)


def test_a_transport_stream_that_lost_packets_is_counted(tmp_path):
    path = make_video(tmp_path / "v.ts", seconds=10, codec="mpeg2video")
    content = path.read_bytes()
    middle = len(content) // 188 // 2 * 188
    path.write_bytes(content[:middle] + content[middle + 5 * 188 :])
    found = find_damage(path)
    assert found.lost >= 1
    assert found.first == pytest.approx(5, abs=1)


def test_a_header_that_leads_to_no_place_in_the_file_is_one_line(tmp_path, capfd):
    found = Path(__file__).parents[1] / "fuzz" / "found" / "other-containers" / "seek--x.wmv"
    path = tmp_path / "x.wmv"
    path.write_bytes(found.read_bytes())
    with pytest.raises(VideoError, match=r"x\.wmv is not a video that can be read"):
        probe(path)
    assert capfd.readouterr().err == ""


def test_decoding_a_stream_that_lost_packets_may_end_anywhere(tmp_path):
    """Packets that are marked as damaged are in no memory that waits for Python's lock."""
    path = make_video(tmp_path / "v.ts", seconds=4)
    content = path.read_bytes()
    kept = [content[at : at + 188] for at in range(0, len(content), 188)]
    path.write_bytes(b"".join(packet for n, packet in enumerate(kept) if n % 5 != 4))
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from actline.video.container import opened, video_packets\n"
        "from actline.video.frames import attempted\n"
        "for end in range(300):\n"
        "    with opened(Path(sys.argv[1])) as (container, stream):\n"
        "        stream.codec_context.thread_count = 8\n"
        "        packets = video_packets(container, stream)\n"
        "        frames = attempted(Path('v.ts'), packets, stream.codec_context)\n"
        "        for _ in zip(range(1 + end % 20), frames): pass\n"
        "    del packets, frames, stream, container\n"
    )
    # As it was, the decoder's end waited for its threads, and one of these for it: for ever.
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=300)


def test_an_end_that_cannot_be_decoded_is_an_error_when_decoding_all(tmp_path, good):
    path = damage(good, tmp_path / "v.mp4", part=(0.7, 1.0))
    with pytest.raises(VideoError, match=r"v\.mp4 can be decoded only up to 1\d\.\d s, not to 19"):
        find_damage(path)
    all_noise(path, good)
    with pytest.raises(VideoError, match="no frame can be decoded"):
        find_damage(path)


def test_a_cut_off_file_is_an_error_when_decoding_all(tmp_path, good):
    with pytest.raises(VideoError, match="is cut off"):
        find_damage(cut(good, tmp_path / "v.mp4", part=0.5))


def test_damage_of_a_bare_stream_does_not_shift_what_follows(tmp_path):
    path = make_video(tmp_path / "v.h264", seconds=8, rate=25, options={"g": "10"})
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux() if packet.size]
    begin, size = sum(sizes[:30]), sizes[30]
    content = bytearray(path.read_bytes())
    content[begin + size // 2 : begin + size] = bytes([0xAA]) * (size - size // 2)
    path.write_bytes(content)
    hurt = find_damage(path)
    assert hurt.lost >= 1
    assert hurt.first == pytest.approx(30 / 25, abs=0.1)
    found = [number_of(frame) for frame in read_frames(path, [1, 3, 6], size=SIZE)]
    assert found == [25, 75, 150]


def write_set(folder: Path) -> None:
    lines = "".join(f"{path.stem},walk,0,2\n" for path in sorted((folder / "videos").iterdir()))
    (folder / "annotations.csv").write_text("video,label,start,end\n" + lines)


def test_data_check_decodes_on_demand_and_names_what_is_damaged(tmp_path, good, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # so that no line is broken
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "whole.MP4").write_bytes(good.read_bytes())
    damage(good, videos / "hurt.mp4", part=(0.45, 0.47))
    write_set(tmp_path)
    assert main(["data", "check", str(tmp_path)]) == 0
    assert "damage" not in capfd.readouterr().out
    assert main(["data", "check", str(tmp_path), "--decode"]) == 0
    told = capfd.readouterr().out
    assert "videos with damage inside" in told
    assert "of 200 frames are damaged, the first at" in told
    assert "hurt:" in told
    assert "whole" not in told


def test_data_check_decodes_the_pictures_of_folders(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    folder = make_folder(tmp_path / "videos" / "ID", frames=48)
    write_set(tmp_path)
    assert main(["data", "check", str(tmp_path), "--decode"]) == 0
    picture = folder / "ID-000003.jpg"
    cut(picture, picture, part=0.5)
    assert main(["data", "check", str(tmp_path)]) == 0
    capfd.readouterr()
    assert main(["data", "check", str(tmp_path), "--decode"]) == 1
    assert "ID-000003.jpg is damaged; extract it again" in capfd.readouterr().out
