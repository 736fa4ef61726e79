"""What the file sink writes to, and what it must not."""

from __future__ import annotations

import fcntl
import os
import socket
from typing import TYPE_CHECKING

import pytest

from extension.sinks import BadSetting, Refused
from extension.sinks.file import is_shared
from tests.support.batches import batch, line, open_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SENT = batch(line(1))


def fifo(folder: Path) -> str:
    os.mkfifo(folder / "fifo")
    return str(folder / "fifo")


def unix_socket(folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    return str(folder / "socket")


def link_to_stderr(folder: Path) -> str:
    (folder / "link").symlink_to("/dev/stderr")
    return str(folder / "link")


def exact(path: str) -> Callable[[Path], str]:
    return lambda _folder: path


@pytest.fixture
def terminal() -> Iterator[str]:
    """The path of a terminal."""
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    "make",
    [
        fifo,
        unix_socket,
        link_to_stderr,
        str,  # a folder
        *map(exact, ["/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/tty", "/dev/zero", "/dev/full"]),
        *map(exact, ["/proc/self/fd/2", "/proc/self/fd/77", "/proc/self/comm", "/dev/../proc/1/fd/1", "/sys/x"]),
    ],
)
def test_what_is_no_file_is_refused(make: Callable[[Path], str], tmp_path: Path) -> None:
    """A folder, a device, a pipe, a socket, and what leads to the forwarder's own output are refused at start."""
    with pytest.raises(ValueError, match="expected the path of a plain file"):
        open_sink(f"file://{make(tmp_path)}")


def test_a_terminal_is_refused(terminal: str) -> None:
    """A terminal by its own name is refused as well."""
    with pytest.raises(ValueError, match="expected the path of a plain file"):
        open_sink(f"file://{terminal}")


def test_nothing_is_a_place_to_write_to() -> None:
    """/dev/null takes everything, and stays what it is."""
    assert open_sink("file:///dev/null").send(SENT, 5.0) == ()


def test_a_path_that_becomes_a_pipe_gets_nothing(tmp_path: Path) -> None:
    """What was swapped after the start is noticed when it is opened, reader or not, and nothing is written to it."""
    sink = open_sink(f"file://{tmp_path}/fifo")
    sink.send(SENT, 5.0)
    (tmp_path / "fifo").unlink()
    reader = os.open(fifo(tmp_path), os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(Refused, match="not a plain file"):
            sink.send(SENT, 5.0)
        assert os.read(reader, 10) == b""
    finally:
        os.close(reader)


@pytest.mark.timeout(5, func_only=True, method="signal")
def test_a_pipe_without_a_reader_does_not_block(tmp_path: Path) -> None:
    """Nobody waits in open(2) for a reader that never comes."""
    sink = open_sink(f"file://{tmp_path}/fifo")
    fifo(tmp_path)
    with pytest.raises(Refused, match="not a plain file"):
        sink.send(SENT, 5.0)


def test_our_own_output_gets_nothing_where_it_is_a_file(tmp_path: Path) -> None:
    """Where stderr was sent to a file, as by a shell, that file under its own name is refused at each send."""
    path = tmp_path / "log"
    sink = open_sink(f"file://{path}")
    kept, log = os.dup(2), os.open(path, os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 2)
    try:
        with pytest.raises(Refused, match="not a plain file"):
            sink.send(SENT, 5.0)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(log)
    assert path.read_bytes() == b""


def test_a_file_under_tmp_is_exactly_that_file(tmp_path: Path) -> None:
    """On a file system of this environment alone, the file is called as the URL says."""
    open_sink(f"file://{tmp_path}/out.ndjson").send(SENT, 5.0)
    assert [path.name for path in tmp_path.iterdir()] == ["out.ndjson"]


MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 0:40 / /mnt/efs rw,relatime shared:7 master:1 - nfs4 127.0.0.1:/ rw,vers=4.1
41 40 0:41 / /mnt/efs/local rw - tmpfs tmpfs rw
42 27 0:42 / /mnt/a\\040blank rw - fuse.s3 bucket rw
43 27 0:43 / /mnt/over rw - nfs4 127.0.0.1:/ rw
44 27 0:44 / /mnt/over rw - ext4 /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("path", "shared"),
    [
        ("/mnt/efs/out", True),
        ("/mnt/efs/local/out", False),
        ("/mnt/efsx/out", False),
        ("/mnt/a blank/out", True),
        ("/mnt/over/out", False),
        ("/tmp/out", False),  # noqa: S108 - what Lambda calls it
    ],
)
def test_what_is_shared(path: str, shared: bool) -> None:
    """The innermost mount that holds the path tells, and the last one where several are on one point."""
    assert is_shared(path, MOUNTS) is shared


def test_where_tmp_is_nothing_is_shared() -> None:
    """A container whose root, /tmp with it, is on a networked file system has it for itself."""
    mounts = MOUNTS.replace("- ext4 /dev/vda", "- fuse.overlay overlay")
    assert [is_shared(path, mounts) for path in ("/var/out", "/mnt/efs/out")] == [False, True]


def test_a_lock_that_another_holds_ends_the_send(tmp_path: Path) -> None:
    """A file that another process keeps locked is waited for as long as a send may take."""
    with (tmp_path / "out").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="locked"):
            open_sink(f"file://{tmp_path}/out").send(SENT, 0.05)
    assert (tmp_path / "out").read_bytes() == b""


def test_two_writers_lose_no_line(tmp_path: Path) -> None:
    """Two processes, as two layers with the same settings, may write the same file."""
    one, two = open_sink(f"file://{tmp_path}/out"), open_sink(f"file://{tmp_path}/out")
    one.send(SENT, 5.0)
    two.send(SENT, 5.0)
    assert (tmp_path / "out").read_bytes() == SENT.ndjson() * 2


@pytest.mark.parametrize("url", ["file:out.ndjson", "file:tmp/out.ndjson", "file:./out.ndjson", "file:", "file://"])
def test_a_path_that_is_relative(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is absolute: relative to what is nobody's to guess."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSetting, match=r"file:///path\.ndjson"):
        open_sink(url)
