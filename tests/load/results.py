"""Large annotations and results: `python -m tests.load.results --mib 500 --segments 1000000`.

Results are those of a detector that finds about half of what there is, a hundred segments a video.
"""

import argparse
import json
import tempfile
from pathlib import Path
from random import Random
from typing import TextIO

from tests.load.measure import Row, measured, table

A_VIDEO = 100  # segments that are found in each
LONGEST = 240.0


def classes(count: int) -> list[str]:
    """Names of classes, as long as those of ActivityNet are."""
    return [f"doing something of kind {number}" for number in range(count)]


def annotate(path: Path, *, videos: int, activities: int, names: list[str], random: Random) -> None:
    """ActivityNet-style annotations: so many activities in each video."""
    database = {}
    for number in range(videos):
        duration = round(random.uniform(LONGEST / 4, LONGEST), 2)
        rows = []
        for _ in range(activities):
            start = random.uniform(0, 0.8 * duration)
            segment = [round(start, 2), round(start + random.uniform(1, 0.2 * duration), 2)]
            rows.append({"label": random.choice(names), "segment": segment})
        database[f"video{number:06d}"] = {
            "subset": "validation" if number % 4 else "training",
            "duration": duration,
            "annotations": rows,
        }
    path.write_text(json.dumps({"version": "load", "database": database}))


def detect(annotations: Path, path: Path, *, mib: float, random: Random) -> tuple[int, int]:
    """Results of so many MiB, as JSON or as a table by the ending; their videos and segments."""
    database = json.loads(annotations.read_text())["database"]
    names = sorted({one["label"] for video in database.values() for one in video["annotations"]})
    as_json = path.suffix == ".json"
    count = segments = 0
    with path.open("w") as file:
        file.write('{"results": {' if as_json else "video,label,start,end,confidence\n")
        for video, entry in database.items():
            rows = []
            for number in range(A_VIDEO):
                true = entry["annotations"][number % len(entry["annotations"])]
                label = true["label"] if random.random() < 0.5 else random.choice(names)
                start, end = (time + random.gauss(0, 2) for time in true["segment"])
                rows.append((label, random.random(), start, end))
            _write(file, video, rows, first=count == 0, as_json=as_json)
            count, segments = count + 1, segments + len(rows)
            if file.tell() > mib * 2**20:
                break
        file.write('}, "external_data": {}}' if as_json else "")
    return count, segments


def _write(
    file: TextIO,
    video: str,
    rows: list[tuple[str, float, float, float]],
    *,
    first: bool,
    as_json: bool,
) -> None:
    if as_json:
        entries = [{"label": label, "score": c, "segment": [s, e]} for label, c, s, e in rows]
        file.write(f'{"" if first else ", "}"{video}": {json.dumps(entries)}')
    else:
        file.writelines(f"{video},{label},{s},{e},{c}\n" for label, c, s, e in rows)


def results_rows(folder: Path, *, mib: float, kinds: int, random: Random) -> list[Row]:
    """What scoring and showing of so many MiB of results takes."""
    annotations = folder / "annotations.json"
    videos = 1 + round(mib * 2**20 / A_VIDEO / 100)
    annotate(annotations, videos=videos, activities=3, names=classes(kinds), random=random)
    rows = []
    for name in ("results.json", "results.csv"):
        path = folder / name
        count, segments = detect(annotations, path, mib=mib, random=random)
        size = path.stat().st_size / 2**20
        on = f"{size:.0f} MiB, {segments:,} segments in {count:,} videos, {kinds:,} classes"
        scored = ("evaluate", path, annotations, "--protocol")
        rows += [
            measured(on, *scored, "activitynet"),
            measured(on, *scored, "thumos", "--subset", "validation"),
        ]
        if name == "results.json":
            page = ("--videos", folder, "--out", folder / "report.html")
            rows += [
                measured(on, *scored, "activitynet", "--errors"),
                measured(on, *scored, "proposals"),
                measured(on, "report", path, *page),
                measured(on, "plot", path, "--video", "video000001", "--out", folder / "p.svg"),
            ]
        path.unlink()
    return rows


def annotation_rows(folder: Path, *, segments: int, kinds: int, random: Random) -> list[Row]:
    """What a data set of so many annotated segments takes."""
    path = folder / "many.json"
    each = 20
    names = classes(kinds)
    annotate(path, videos=segments // each, activities=each, names=names, random=random)
    size = path.stat().st_size / 2**20
    on = f"{segments:,} annotated segments of {kinds:,} classes, {size:.0f} MiB"
    found = folder / "found.json"
    count, detected = detect(path, found, mib=size, random=random)
    also = f"{on}; {detected:,} found in {count:,} videos"
    return [
        measured(on, "data", "check", path, statuses=(0, 1)),
        measured(on, "data", "convert", path, folder / "many.csv"),
        measured(on, "data", "check", folder / "many.csv", statuses=(0, 1)),
        measured(also, "evaluate", found, path, "--protocol", "activitynet"),
        measured(also, "evaluate", found, path, "--protocol", "activitynet", "--bootstrap", 20),
    ]


def main(argv: list[str] | None = None) -> int:
    """Make them, measure, print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.load.results",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mib", type=float, default=500.0, help="of results (default: 500)")
    parser.add_argument("--segments", type=int, default=1_000_000, help="annotated ones")
    parser.add_argument("--classes", type=int, default=5000, help="of the annotated segments")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary one)")
    arguments = parser.parse_args(argv)
    random = Random(0)
    with tempfile.TemporaryDirectory(prefix="load-", dir=arguments.folder) as temporary:
        folder = Path(temporary)
        rows = results_rows(folder, mib=arguments.mib, kinds=200, random=random)
        rows += annotation_rows(
            folder, segments=arguments.segments, kinds=arguments.classes, random=random
        )
    print(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
