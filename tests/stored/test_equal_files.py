"""Equal content is an equal file, in whatever process it is written."""

import subprocess
import sys
from pathlib import Path

from safetensors import safe_open

from actline.errors import FeatureError
from actline.stored.safetensors_files import open_tensors

PROGRAM = """
import sys, torch
from pathlib import Path
from actline.stored.safetensors_files import save_tensors
tensors = {"b": torch.ones(3), "a": torch.zeros(2, 2).half()}
about = {name: {"x": "\\u6253 \\x7f \\n"} for name in ("e", "a", "d", "c", "b", "f")}
save_tensors(Path(sys.argv[1]), tensors, about)
"""


def test_equal_content_is_an_equal_file_in_every_process(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one", "two", "three")]
    for path in paths:
        subprocess.run([sys.executable, "-c", PROGRAM, str(path)], check=True)
    assert len({path.read_bytes() for path in paths}) == 1
    with open_tensors(paths[0], error=FeatureError, otherwise="") as found:
        assert found.json("d") == {"x": "\u6253 \x7f \n"}
        assert found.whole(known="abcdef").keys() == {"a", "b"}
    with safe_open(paths[0], framework="pt") as stored:
        assert set(stored.metadata()) >= set("abcdef")
        assert stored.get_tensor("b").tolist() == [1, 1, 1]
        assert stored.get_tensor("a").shape == (2, 2)
