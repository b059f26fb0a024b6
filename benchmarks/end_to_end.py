"""`actline detect` on a long video against its own parts, and loading against training."""

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch

from actline.annotations.annotations import AnnotatedVideo, Annotations
from actline.datasets.batches import TrainingBatches, load_batches
from actline.datasets.frame_clips import ClipConfig, FrameClips, collate
from actline.detection.frames import FrameDetector, frame_detector
from actline.detection.load import detect
from actline.models.cards import ModelCard
from actline.models.x3d import X3DConfig
from actline.timeline import Activity, Timeline
from actline.training.frame_losses import detection_loss
from actline.video.decode import ShortSide, probe, read_frames
from actline.video.sampling import AtRate, sample_times
from actline.video.transforms import to_clip
from actline.video.windows import window_starts, windows
from benchmarks.decoding import repeat_video, write_video
from benchmarks.measure import Row

SMALL = X3DConfig(widths=(8, 8, 8, 16), depths=(1, 1, 1, 1), head_width=16)


def rows(reference: Path | None, quick: bool) -> list[Row]:
    """Detection end to end, and the loader beside the network."""
    del reference
    with tempfile.TemporaryDirectory() as folder:
        height, seconds, times = (96, 3, 2) if quick else (720, 20, 30)
        short, video = Path(folder) / "short.mp4", Path(folder) / "long.mp4"
        write_video(short, height=height, seconds=seconds)
        repeat_video(short, video, times=times)
        return [detection(video, quick=quick), loading(Path(folder), quick=quick)]


def detection(video: Path, *, quick: bool) -> Row:
    """The whole, against the slower of decoding alone and the network alone."""
    model = small_model() if quick else new_model(X3DConfig(), size=160, window=64, overlap=16)
    card = model.card
    detected: list[Timeline] = []
    total, _ = timed(lambda: detected.append(detect(video, model)))
    (timeline,) = detected
    assert timeline.scores is not None, "detection per frame has scores"
    assert len(timeline.scores.times) == round(5 * probe(video).duration)
    (decoding, decoding_work), (network, network_work) = alone(video, model)
    slowest = max(decoding, network)
    cores = os.cpu_count() or 1
    least = (decoding_work + network_work) / cores
    return Row(
        "actline detect, end to end",
        f"{probe(video).duration:.0f} s of {probe(video).height}p, 5 frames a second, "
        f"{card.size} pixels",
        total,
        slowest,
        f"its slowest part alone ({'decoding' if decoding > network else 'the network'})",
        1 / 1.15,
        note=f"decoding alone {decoding:.1f} s, the network alone {network:.1f} s; together they "
        f"are {decoding_work + network_work:.1f} s of work, no less than {least:.1f} s on "
        f"{cores} cores",
    )


def new_model(network: X3DConfig, *, size: int, window: int, overlap: int) -> FrameDetector:
    """An X3D with random weights, ready for detection at five frames a second."""
    card = ModelCard(
        network=network,
        classes=("a", "b"),
        size=size,
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        rate=5.0,
        window=window,
        overlap=overlap,
    )
    torch.manual_seed(0)
    return frame_detector(network.build(2).eval(), card, device="cpu")


def small_model() -> FrameDetector:
    """One that takes next to no time."""
    return new_model(SMALL, size=32, window=16, overlap=4)


def alone(video: Path, model: FrameDetector) -> tuple[tuple[float, float], tuple[float, float]]:
    """Decoding without a network, and the network without decoding, both as `timed` tells."""
    card = model.card
    times = sample_times(video, AtRate(5.0))
    size = ShortSide(card.size)
    decoding = timed(lambda: deque(read_frames(video, times, size=size), maxlen=0))
    # The network's windows are of the video's first frames, over and over.
    first = list(read_frames(video, times[: card.window], size=size))
    _, frames = next(windows(iter(first), [0], card.window))
    starts = window_starts(len(times), window=card.window, overlap=card.overlap)

    def network() -> None:
        for _ in starts:
            model.window_logits(model.view.transform(to_clip(frames)))

    return decoding, timed(network)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that work takes, and those of all processors' work for it."""
    began, worked = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - worked


def loading(folder: Path, *, quick: bool) -> Row:
    """Clips a second that two workers read, against what a training step takes."""
    size, frames, count = (32, 8, 4) if quick else (160, 16, 8)
    videos = []
    for index in range(count):
        write_video(folder / f"v{index}.mp4", height=96 if quick else 360, seconds=6)
        activity = Activity("a", 1.0, 3.0, 1.0)
        videos.append(AnnotatedVideo(f"v{index}", "training", 6.0, (activity,)))
    clip = ClipConfig(frames=frames, rate=5, size=size, short_sides=(size + 16,))
    clips = FrameClips(Annotations(("a",), tuple(videos)), folder, clip, seed=0)
    batches = 3 if quick else 12
    sampler = TrainingBatches(count, batch_size=2, seed=0, first=0, last=batches)
    network = (SMALL if quick else X3DConfig()).build(1).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    loader = load_batches(clips, sampler, collate, workers=2, pinned=False)
    batch = next(loader)
    began = time.perf_counter()
    for following in loader:
        batch = following
    load = (time.perf_counter() - began) / (batches - 1)
    times = []
    for _ in range(2 if quick else 4):
        began = time.perf_counter()
        logits = network(batch.clip.contiguous(memory_format=torch.channels_last_3d))
        loss = detection_loss(logits, batch.labels, batch.label_mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - began)
    step = sorted(times)[len(times) // 2]
    return Row(
        "loading a batch, two workers",
        f"2 clips of {frames} x {size} x {size} pixels from {96 if quick else 360}p",
        load,
        step,
        "one training step of the network",
        1.0,
        note="above 1, decoding never waits",
    )
