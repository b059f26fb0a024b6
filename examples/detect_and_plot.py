"""Detect activities in a video, print them, and draw the timeline.

python examples/detect_and_plot.py video.mp4 model.safetensors timeline.png
"""

import sys
from pathlib import Path

import actline
from actline.reporting.plots import plot_timeline


def main(video: str, checkpoint: str, picture: str) -> None:
    """Detect in `video`; write the picture, and subtitles beside it."""
    model = actline.load_model(checkpoint)
    timeline = model.detect(video)
    for one in timeline.activities:
        print(f"{one.start:7.2f} to {one.end:7.2f} s  {one.label}  {one.confidence:.2f}")
    plot_timeline(timeline, Path(picture))
    timeline.save(Path(picture).with_suffix(".vtt"))


if __name__ == "__main__":
    main(*sys.argv[1:])
