"""The files that the docs' pages name: a small place in which their commands run as they stand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from fuzz.kit import Kit
from tiny import CLASSES, write_video


def write_world(folder: Path, page: str, kit: Kit) -> None:
    """Everything that `page` and the README name, in `folder`."""
    _write_common(folder, kit)
    _OWN.get(page, lambda _folder, _kit: None)(folder, kit)


def _write_common(folder: Path, kit: Kit) -> None:
    for name in ("video.mp4", "new-video.mp4", "run.mp4", "jump.mp4"):
        shutil.copyfile(kit.videos / "tiny0.mp4", folder / name)
    shutil.copytree(kit.videos, folder / "folder-of-videos")
    shutil.copyfile(kit.fine, folder / "model.safetensors")
    _write_table(folder / "annotations.csv", subsets=False)
    fine = folder / "runs" / "fine"
    fine.mkdir(parents=True)
    shutil.copyfile(kit.fine, fine / "best.safetensors")
    _write_own_data(folder / "my-data", subsets=False)


def _write_own_data(folder: Path, *, subsets: bool) -> None:
    """Seven videos, and a table of them as a person writes one."""
    (folder / "videos").mkdir(parents=True)
    for index in range(7):
        label, start = CLASSES[index % 2], 0.5 + 0.1 * index
        path = folder / "videos" / f"v{index}.mp4"
        write_video(path, label, (start, 2.5), seconds=4.0, rate=10)
    _write_table(folder / "annotations.csv", subsets=subsets)


def _write_table(path: Path, *, subsets: bool) -> None:
    rows = ["video,label,start,end" + (",subset" if subsets else "")]
    for index in range(7):
        subset = "" if not subsets else ",validation" if index > 4 else ",training"
        rows.append(f"v{index},{CLASSES[index % 2]},{0.5 + 0.1 * index:.1f},2.5{subset}")
    path.write_text("\n".join(rows) + "\n")


def _write_segments_page(folder: Path, _: Kit) -> None:
    shutil.rmtree(folder / "my-data")
    _write_own_data(folder / "my-data", subsets=True)


def _write_evaluate_page(folder: Path, kit: Kit) -> None:
    (folder / "data").mkdir()
    shutil.copytree(kit.data, folder / "data" / "generated")
    shutil.copytree(kit.found, folder / "detections")
    charades = folder / "Charades"
    charades.mkdir()
    names = [f"c{index:03d} {name}" for index, name in enumerate(CLASSES)]
    (charades / "Charades_v1_classes.txt").write_text("\n".join(names) + "\n")
    header = (
        "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    )
    rows = [f"tiny{i},H,K,6,7,Yes,a,b,c,c00{i % 2} 0.50 2.00,4.00" for i in range(4)]
    for name, part in (("train", rows[:2]), ("test", rows[2:])):
        (charades / f"Charades_v1_{name}.csv").write_text("\n".join([header, *part]) + "\n")
    _write_segment_results(folder)


def _write_segment_results(folder: Path) -> None:
    """Results of ActivityNet's and THUMOS-14's videos in one folder, and their annotations."""
    ids = {"v_a": "Diving", "v_b": "Billiards", "video_test_0000001": "Diving"}
    results = {
        name: [{"label": label, "score": 0.9, "segment": [1.0, 5.0]}] for name, label in ids.items()
    }
    (folder / "found").mkdir()
    (folder / "found" / "results.json").write_text(json.dumps({"results": results}))
    (folder / "proposals.json").write_text(json.dumps({"results": results}))
    database = {
        name: {
            "subset": "validation",
            "duration": 10.0,
            "annotations": [{"label": label, "segment": [1.0, 4.5]}],
        }
        for name, label in (("a", "Diving"), ("b", "Billiards"), ("c", "Diving"))
    }
    for name in ("activity_net.v1-3.min.json", "HACS_segments_v1.1.1.json"):
        (folder / name).write_text(json.dumps({"version": "1.3", "database": database}))
    (folder / "blocked.json").write_text(json.dumps(["v_c"]))
    thumos = folder / "thumos14"
    thumos.mkdir()
    (thumos / "Diving_test.txt").write_text("video_test_0000001  1.0 4.0\n")
    (thumos / "Billiards_test.txt").write_text("video_test_0000002  2.0 4.0\n")


_OWN: dict[str, Callable[[Path, Kit], None]] = {
    "segments.md": _write_segments_page,
    "evaluate.md": _write_evaluate_page,
}
