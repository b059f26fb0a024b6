"""A timeline, its truth and a real video, for the tests of reports and plots."""

from pathlib import Path

import av
import numpy as np

from actline.timeline import Activity, FrameScores, Timeline

CLASSES = ("open door", "close door", "wave at <b>somebody</b> & co.", "never")


def sample_timeline(video: str = "kitchen", *, duration: float = 8.0, seed: int = 0) -> Timeline:
    random = np.random.default_rng(seed)
    times = np.arange(0, duration, 0.25)
    activities, columns = [], []
    for label in CLASSES[:3]:
        start = random.uniform(0, duration / 2)
        end = start + random.uniform(1, duration / 2)
        activities.append(Activity(label, start, end, random.uniform(0.5, 1)))
        columns.append(np.where((times >= start) & (times <= end), 0.9, 0.05))
    columns.append(np.full(len(times), 0.01))
    activities.sort(key=lambda activity: activity.start)
    return Timeline(
        video,
        duration,
        tuple(activities),
        FrameScores(CLASSES, times, np.stack(columns, axis=1).astype(np.float32)),
        np.sort(random.uniform(0, duration, 24)),
    )


def sample_truth(timeline: Timeline) -> tuple[Activity, ...]:
    return tuple(
        Activity(activity.label, activity.start + 0.1, activity.end - 0.2)
        for activity in timeline.activities
    )


def encode_video(path: Path, *, seconds: float = 8.0, codec: str = "libx264") -> Path:
    """A real video, 96 x 64 pixels at 10 frames a second: a bright bar moves from left to right."""
    count = round(seconds * 10)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(count):
            picture = np.full((64, 96, 3), 30, np.uint8)
            left = number * 88 // count
            picture[:, left : left + 8] = 230
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
