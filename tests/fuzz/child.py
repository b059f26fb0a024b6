"""A process that reads mutants, one after another, and tells how each ended.

It is apart from the one that makes them, since a mutant may crash it, hang it or fill its memory.
"""

import contextlib
import io
import json
import os
import resource
import sys
import traceback
import warnings
from pathlib import Path

LONGEST_LINE = 2000
# Of a mutant that several commands read: one that any of them accepts has to be sound.
WORST = ("error", "accepted", "traceback", "memory")


def main() -> None:
    """Read lines of JSON on standard input; answer each with a line of JSON."""
    kit_folder, megabytes = Path(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    warnings.simplefilter("ignore")

    import torch

    from tests.fuzz.inputs import INPUTS, accepted_is_sound
    from tests.fuzz.kit import Kit

    torch.set_num_threads(1)
    kit = Kit(kit_folder)
    inputs = {one.name: one for one in INPUTS}
    bound_memory(megabytes)
    answers.write("ready\n")
    for line in sys.stdin:
        asked = json.loads(line)
        one = inputs[asked["input"]]
        path, out = Path(asked["path"]), Path(asked["out"])
        ends = [run([str(part) for part in command]) for command in one.commands(kit, path, out)]
        outcome, told = max(ends, key=lambda end: WORST.index(end[0]))
        if outcome == "accepted":
            unsound = accepted_is_sound(one, kit, path, out)
            if unsound is not None:
                outcome, told = "silent", unsound
        answers.write(json.dumps({"outcome": outcome, "told": told}) + "\n")


def bound_memory(megabytes: int) -> None:
    """Let this process take so much more memory than it has now."""
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    bound = used + (megabytes << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))


def run(argv: list[str]) -> tuple[str, str]:
    """How a command ends: accepted, error (one clear line), traceback or memory; and its words."""
    from actline.cli.main import main as actline
    from actline.plain import fit_to_show

    printed, said = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
            status = actline(argv)
    except SystemExit as stop:
        return "traceback", f"SystemExit {stop.code}: {said.getvalue()[-300:]}"
    except MemoryError:
        return "memory", "".join(traceback.format_exc()[-800:])
    except BaseException:
        return "traceback", traceback.format_exc()[-3000:]
    for name, text in (("output", printed.getvalue()), ("errors", said.getvalue())):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "traceback", f"{name} cannot be written: {text[-300:]!r}"
        odd = next((line for line in text.split("\n") if not fit_to_show(line)), None)
        if odd is not None:
            return "traceback", f"{name} hold what a terminal does not show: {odd[-300:]!r}"
    lines = said.getvalue().splitlines()
    if status == 0:
        return "accepted", ""
    if argv[:2] == ["data", "check"] and printed.getvalue() and not lines:
        return "error", printed.getvalue().splitlines()[-1]  # what it found stands in its table
    mistakes = [line for line in lines if "a mistake in actline" in line]
    if mistakes:
        log = Path(mistakes[0].rpartition(" ")[2].rstrip(")"))
        return "traceback", log.read_text(encoding="utf-8", errors="replace")[-3000:]
    if "Traceback" in said.getvalue() or not lines or not lines[-1].startswith("actline: "):
        return "traceback", f"status {status} without a clear line: {said.getvalue()[-500:]}"
    if max(map(len, lines)) > LONGEST_LINE:
        return "traceback", f"a line of {max(map(len, lines))} characters"
    return "error", lines[-1]


if __name__ == "__main__":
    main()
