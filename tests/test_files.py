"""Files appear whole or not at all, whatever happens to their writer."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from actline.errors import OutputError
from actline.files import Claims, identity, reserve, sweep, write_text, written_whole

HOLDS = """
    import sys, time
    from actline.files import written_whole
    with written_whole(sys.argv[1]) as aside:
        aside.write_text("half")
        print("writing", flush=True)
        time.sleep(600)
"""


def start_writer(target: Path, program: str = HOLDS) -> subprocess.Popen[str]:
    writer = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(target)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, end: int) -> None:
    target = tmp_path / "a.json"
    target.write_text("before")
    writer = start_writer(target)
    writer.send_signal(end)
    writer.wait()

    assert target.read_text() == "before"
    assert not list(tmp_path.glob("*.json")) or list(tmp_path.glob("*.json")) == [target]
    assert len(list(tmp_path.iterdir())) == 2  # the file, and the dead writer's folder
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [target]


def test_what_a_living_writer_writes_stays(tmp_path: Path) -> None:
    writer = start_writer(tmp_path / "a.json")
    try:
        sweep(tmp_path)
        write_text(tmp_path / "b.json", "b")
        (left,) = (child for child in tmp_path.iterdir() if child.name != "b.json")
        assert (left / "a.json").read_text() == "half"
    finally:
        writer.kill()
        writer.wait()


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_text(target, "before")

    class BrokenError(Exception):
        pass

    with pytest.raises(BrokenError), written_whole(target) as aside:
        aside.write_text("half")
        raise BrokenError
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


STOPPED = """
    import signal, sys
    from actline.files import written_whole

    class Stopped({base}):
        pass

    def stop(number, frame):
        raise Stopped

    def hook(event, given, come=[]):
        ours = ".actline-" in str(given) or event == "fcntl.flock"
        if event == "{event}" and ours and not come:
            come.append(event)
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    sys.addaudithook(hook)
    try:
        with written_whole(sys.argv[1]) as aside:
            aside.write_text("whole")
            {within}
    except Stopped:
        print("stopped")
"""


# Audit events: the folder is about to be made, locked, the file opened, renamed, all removed.
@pytest.mark.skipif(sys.platform == "win32", reason="signals end a process there")
@pytest.mark.parametrize("base", ["KeyboardInterrupt", "BaseException"])
@pytest.mark.parametrize(
    ("event", "within"),
    [
        ("os.mkdir", "pass"),
        ("fcntl.flock", "pass"),
        ("open", "pass"),
        ("os.rename", "pass"),
        ("shutil.rmtree", "pass"),
        ("shutil.rmtree", "raise ValueError"),
    ],
)
def test_a_signal_at_any_moment_of_a_write_leaves_nothing(
    tmp_path: Path, base: str, event: str, within: str
) -> None:
    target = tmp_path / "a.json"
    target.write_text("before")
    program = textwrap.dedent(STOPPED.format(base=base, event=event, within=within))
    ended = subprocess.run(
        [sys.executable, "-c", program, str(target)], capture_output=True, text=True, check=False
    )
    assert (ended.stdout, ended.stderr) == ("stopped\n", "")
    whole = (event, within) == ("shutil.rmtree", "pass")
    assert target.read_text() == ("whole" if whole else "before")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform != "linux", reason="mounts nothing here")
def test_a_disk_with_room_for_a_folder_and_no_file_is_left_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    options = ["-t", "tmpfs", "-o", "nr_inodes=2", "tmpfs", str(tmp_path)]  # one is the disk itself
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(OutputError, match=r"cannot write .*a\.json: No space left on device"):
            write_text(target, "never")
        assert list(tmp_path.iterdir()) == []
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_name_with_a_nul_is_one_clear_line(tmp_path: Path) -> None:
    for target in (tmp_path / "a\0.json", tmp_path / "a\0" / "b.json"):
        with pytest.raises(OutputError, match="cannot write"):
            write_text(target, "never")
    assert not list(tmp_path.iterdir())


def test_the_longest_name_that_the_disk_takes_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".json")
    write_text(target, "whole")
    assert target.read_text() == "whole"


def test_a_name_too_long_for_the_disk_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File name too long"):
        write_text(tmp_path / ("n" * 300), "never")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_the_files_name_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OutputError, match=r"a\.json: a folder has that name"):
        write_text(tmp_path / "a.json", "never")


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    plain, whole = tmp_path / "plain", tmp_path / "whole"
    plain.write_text("x")
    write_text(whole, "x")
    assert plain.stat().st_mode == whole.stat().st_mode


def test_reserved_bytes_are_the_files_own(tmp_path: Path) -> None:
    path = tmp_path / "mapped"
    path.touch()
    reserve(path, 1 << 16)
    assert path.stat().st_size == 1 << 16
    assert path.stat().st_blocks * 512 >= 1 << 16 or os.name == "nt"


CLAIMS = """
    import sys, time
    from pathlib import Path
    from actline.files import Claims
    with Claims(Path(sys.argv[1])) as claims:
        claims.take("a")
        print("writing", flush=True)
        time.sleep(600)
"""


def test_a_claim_is_one_processes_own_and_vanishes_with_it(tmp_path: Path) -> None:
    other = start_writer(tmp_path, CLAIMS)
    try:
        with Claims(tmp_path) as claims:
            assert not claims.take("a")
            assert claims.take("b")
            other.kill()
            assert claims.take("a", wait=True)
    finally:
        other.kill()
        other.wait()


def test_a_released_claim_is_free_for_others(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        claims.take("a")
        claims.release("a")
        other = start_writer(tmp_path, CLAIMS)
        try:
            assert not claims.take("a")
        finally:
            other.kill()
            other.wait()


def test_a_file_in_the_way_of_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in ("file", "file/below", "a\0b", "n" * 300):
        with pytest.raises(OutputError, match="cannot write"):
            Claims(tmp_path / folder)
        with pytest.raises(OutputError, match="cannot write"):
            write_text(tmp_path / folder / "a.json", "never")
    assert (tmp_path / "file").read_text() == "x"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_file_is_told_by_its_content_where_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "video"
    found = []
    # Told apart at the beginning, at the end, and where both are one.
    for content in (b"a" * 200_000, b"b" + b"a" * 199_999, b"a" * 199_999 + b"b", b"", b"x"):
        path.write_bytes(content)
        os.utime(path, ns=(1, 1))
        found.append(identity(path))
    assert len({str(one) for one in found}) == 5
    assert found[-1] == identity(path)
