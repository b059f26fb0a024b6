"""Train on a folder of videos and a table of what happens in them, then detect in a new video.

python examples/train_on_own_videos.py my-data new-video.mp4

`my-data` holds `annotations.csv` (columns video, label, start, end; seconds) and `videos/`.
"""

import sys
from pathlib import Path

import actline


def main(data: str, video: str, epochs: str = "30") -> None:
    """Train in `runs/own`, and detect in `video` with the result."""
    annotations = actline.read_annotations(data)
    print(f"{len(annotations.videos)} videos, {len(annotations.classes)} classes")
    trained = actline.train(
        "recipes/generated/fine.yaml",
        {
            "data.annotations": data,
            "data.videos": str(Path(data) / "videos"),
            "out": "runs/own",
            "epochs": int(epochs),
        },
    )
    model = actline.load_model(trained.best)
    for one in model.detect(video).activities:
        print(f"{one.start:7.2f} to {one.end:7.2f} s  {one.label}  {one.confidence:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
