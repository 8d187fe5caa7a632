"""Streams in process: what they are, in which order they are written, what goes wrong with them."""

from __future__ import annotations

import io
import os
import pty
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.harness import refused, thresh
from threshcli.errors import InputError, UsageError
from threshcli.storage import spool, streams
from threshcli.storage.local import Source
from threshcli.storage.streams import Stream, is_stream


def test_only_what_is_written_from_end_to_end_is_a_stream(folder: Path) -> None:
    os.mkfifo("pipe")
    for path in (*streams.STDOUT, "/dev/fd/63", "/proc/self/fd/5", "pipe", "/dev/null"):
        assert is_stream(path)
    for path in ("v.npy", "new.npy", ".", "/dev/fd/x", "a\0b", "./-"):
        assert not is_stream(path)


def test_a_stream_is_written_in_any_order_and_sent_in_one() -> None:
    sent: list[bytes] = []
    stream = Stream("-", 3 << 20, lambda data: sent.append(bytes(data)))
    stream.write((3 << 20) - 3, b"end")
    stream.write(0, memoryview(b"begin"))
    assert stream.read(0, 5) == b"begin"
    assert sent == []
    stream.commit()
    stream.discard()
    whole = b"".join(sent)
    assert (whole[:6], whole[-3:], len(whole), max(map(len, sent))) == (b"begin\0", b"end", 3 << 20, 1 << 20)


@contextmanager
def standard_input(fd: int) -> Iterator[None]:
    """Standard input of this process from another descriptor, which is closed."""
    kept = os.dup(0)
    os.dup2(fd, 0)
    os.close(fd)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_standard_input_is_taken_as_it_is_from_a_file_and_copied_from_where_it_stands_else(folder: Path) -> None:
    found = Path("v.npy").stat()
    here, fd = (found.st_dev, found.st_ino), os.open("v.npy", os.O_RDONLY)
    with standard_input(os.dup(fd)), Source("-") as source:
        assert source.identity == here
        assert source.read(1, 5) == b"NUMPY"
        refused(thresh("hard", "-", "-t", 1, "-o", "v.npy", "--overwrite"), 5, "is the input itself")
    os.lseek(fd, 6, os.SEEK_SET)
    with standard_input(fd), Source("-") as source:
        assert source.identity != here
        assert source.size == Path("v.npy").stat().st_size - 6
    keyboard, screen = pty.openpty()
    with standard_input(screen), pytest.raises(InputError, match="standard input is a terminal"):
        Source("-")
    os.close(keyboard)


def test_a_reader_that_went_away_and_a_full_device_are_told_apart(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        thresh("hard", "v.npy", "-t", 1, "-o", f"/dev/fd/{writing}", "-q")
    os.close(writing)
    refused(
        thresh("hard", "v.npy", "-t", 1, "-o", "/dev/full", "-q"),
        5,
        "/dev/full: cannot be written: No space",
        hint=False,
    )


def test_a_list_whose_stream_fails_is_told(folder: Path) -> None:
    from threshcli.cli.app import run
    from threshcli.cli.outside import Outside

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with Path("v.npy").open("ab") as unreadable:
        status = run(["info", "--files-from", "-"], Outside(out, err, {}, input=unreadable))
    assert status == 4
    assert b"standard input cannot be read: " in err.buffer.getvalue()


def test_descriptors_that_do_not_wait_are_waited_for(folder: Path) -> None:
    """Both ends of a pipe that another program has made non-blocking."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    data = np.arange(1_000_000, dtype=np.float32)
    np.save("big.npy", data)
    copies: list[tuple[int, str]] = []
    reader = threading.Thread(target=lambda: copies.append(spool.spooled(reading)))
    reader.start()
    ran = thresh("hard", "big.npy", "-t", 0, "-o", f"/dev/fd/{writing}", "-q")
    os.close(writing)
    reader.join()
    os.close(reading)
    (fd, path) = copies[0]
    assert (ran.status, ran.err) == (0, "")
    assert np.load(path).tolist() == data.tolist()
    os.close(fd)


def test_what_fails_while_a_pipe_is_read_is_told_of_the_pipe(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory"):
        spool.spooled(os.open(tmp_path, os.O_RDONLY))
    with pytest.raises(InputError, match="cannot be read"):
        Source(f"{tmp_path}/{'n' * 300}")
    assert issubclass(UsageError, ValueError)
