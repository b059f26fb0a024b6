"""The table of all rows, as Markdown and as JSON, with the machine and the versions."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import ENVIRONMENT
from benchmarks.measure import Row

HEADS = ("what", "sizes", "ours", "other", "ratio", "target", "memory", "its memory", "note")


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """Rows with their ratios, and what they were measured on."""
    return {
        "machine": machine(devices_of(rows)),
        "rows": [asdict(row) | {"ratio": ratio(row), "memory_ratio": less(row)} for row in rows],
    }


def as_markdown(rows: Sequence[Row]) -> str:
    """The same for reading, a table a device; `ratio` is how many times ours the other takes."""
    parts = []
    for device in devices_of(rows):
        parts += [f"On {described(device)}:", table_of(row for row in rows if row.device == device)]
    facts = ", ".join(f"{name} {value}" for name, value in machine(devices_of(rows)).items())
    return "\n\n".join([*parts, facts, ""])


def table_of(rows: Iterable[Row]) -> str:
    """One table of Markdown."""
    lines = [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    for row in rows:
        other = "" if row.other is None else f"{duration(row.other)} ({row.other_name})"
        cells = (
            row.what,
            row.sizes,
            duration(row.ours),
            other,
            times(ratio(row)),
            times(row.target),
            size(row.ours_memory),
            size(row.other_memory),
            row.note,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def devices_of(rows: Sequence[Row]) -> list[str]:
    """Types of the devices that rows were measured on, each once."""
    return list(dict.fromkeys(row.device for row in rows))


def described(device: str) -> str:
    """A device by type and name."""
    if device == "cpu":
        return f"a CPU, {processor()}"
    import torch

    return f"a GPU, {torch.cuda.get_device_name()}"


def ratio(row: Row) -> float | None:
    """How many times as long as ours the other takes."""
    return None if row.other is None else row.other / row.ours


def less(row: Row) -> float | None:
    """How many times as much memory as ours the other takes."""
    if row.other_memory is None or not row.ours_memory:
        return None
    return row.other_memory / row.ours_memory


def duration(seconds: float) -> str:
    """Three digits, in a unit that fits."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1e3:.3g} ms"


def times(factor: float | None) -> str:
    return "" if factor is None else f"{factor:.3g}x"


def size(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f} MiB"


def machine(devices: Sequence[str] = ("cpu",)) -> dict[str, str]:
    """Versions, devices, and what was set for ours and for published code."""
    import torch

    facts = {
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": _version("numpy"),
        "pandas": _version("pandas"),
        "actline": _version("actline"),
        "system": platform.system(),
        "processor": processor(),
        "threads": str(torch.get_num_threads()),
        "OMP_WAIT_POLICY": f"{_wait_policy(os.environ)} (published networks: "
        f"{_wait_policy(ENVIRONMENT)})",
        "devices": " and ".join(devices),
    }
    if "cuda" in devices:
        facts["GPU"] = f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda}, TF32 off)"
    return facts


def _wait_policy(environment: Mapping[str, str]) -> str:
    return environment.get("OMP_WAIT_POLICY", "as set by default")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, as the system tells it."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
