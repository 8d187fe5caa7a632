"""Tensor files that come and go through pipes, standard streams and descriptors, with the shell that users have."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import threshcli
from tests.harness import listed, refused, thresh
from tests.shells import Shell, shell_in
from threshcli.errors import OutputError


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs a line of bash beside `x.npy` (0, 0.25, 0.5, 0.75), `w.safetensors` and `big.npy` (8 MB), with the `thresh`
    that is tested."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.arange(4, dtype=np.float32) / 4)
    np.save("big.npy", np.arange(2_000_000, dtype=np.float32))
    assert thresh("hard", "x.npy", "-t", 0, "-o", "w.safetensors", "-q").status == 0
    return shell_in(tmp_path, tmp_path / "bin")


def test_a_mask_goes_on_to_the_next_command_and_its_report_to_standard_error(shell: Shell) -> None:
    done = shell("thresh binary x.npy -t 0.5 -o - | thresh stats - --json")
    assert done.returncode == 0, done.stderr
    assert '"zeros": 3' in done.stdout
    assert "FILE / TENSOR" in done.stderr
    assert "(stdout)" in done.stderr


@pytest.mark.parametrize("output", ["-o - > y.npy", "-o /dev/stdout > y.npy", "-o /dev/fd/3 3> y.npy",
                                    "-o >(cat > y.npy); wait $!", "-o - | cat > y.npy", "-o - >> y.npy",
                                    "-o pipe & cat pipe > y.npy; wait $!"])  # fmt: skip
@pytest.mark.parametrize("given", ["x.npy", "- <x.npy", "<(cat x.npy)", "/dev/stdin <x.npy", "/dev/fd/4 4<x.npy"])
def test_every_way_in_and_out_gives_the_bytes_of_a_file(given: str, output: str, shell: Shell) -> None:
    os.mkfifo("pipe")
    assert thresh("binary", "x.npy", "-t", 0.5, "-o", "wanted.npy", "-q").status == 0
    done = shell(f"thresh binary {given} -t 0.5 -q {output}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Path("y.npy").read_bytes() == Path("wanted.npy").read_bytes()
    assert [name for name in listed(".") if "thresh" in name] == []


def test_a_pipe_is_recognised_by_its_bytes_and_goes_on_in_its_format_or_another(shell: Shell) -> None:
    done = shell("cat w.safetensors | thresh hard - -t 0.5 -o - -q | thresh info - --json")
    assert '"format": "safetensors"' in done.stdout
    done = shell(
        "cat w.safetensors | thresh hard - -t 0.5 --to npy -o - -q | cmp - <(thresh hard x.npy -t 0.5 -o - -q)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = shell("cat x.npy | thresh hard - -t 0.5 --to pt -o - -q | thresh info - --json")
    assert '"format": "pt"' in done.stdout
    assert '"stdin"' in done.stdout


@pytest.mark.parametrize(("given", "more", "made"), [
    ("x.npy", "", "stdin.npy"),
    ("w.safetensors", "", "stdin.safetensors"),
    ("w.safetensors", "--keep-tree", "stdin.safetensors"),
    ("x.npy", "--to pt", "stdin.pt"),
])  # fmt: skip
def test_in_a_folder_the_output_of_standard_input_has_the_extension_of_its_format(
    given: str, more: str, made: str, shell: Shell
) -> None:
    line = f"thresh hard - -t 0.5 -O out {more}"
    assert made in shell(f"cat {given} | {line} -n").stdout
    done = shell(f"cat {given} | {line} --report ndjson")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"out/{made}" in done.stdout
    assert listed("out") == [made]
    refused_twice = shell(f"cat {given} | {line}")
    assert (refused_twice.returncode, f"out/{made}: exists already" in refused_twice.stderr) == (5, True)
    assert '"skipped"' in shell(f"cat {given} | {line} --skip-existing --json").stdout
    assert shell(f"echo nothing | {line} --overwrite").returncode == 4
    assert listed("out") == [made]


def test_what_is_unpacked_from_standard_input_has_it_too(shell: Shell) -> None:
    done = shell("thresh binary x.npy -t 0.5 --pack bits --to safetensors -o - -q | thresh unpack - -O out -q")
    assert (done.returncode, done.stderr) == (0, "")
    assert listed("out") == ["stdin.safetensors"]


def test_what_standard_input_may_be_called_is_no_other_output(shell: Shell) -> None:
    np.save("stdin.npy", np.ones(3))
    done = shell("cat w.safetensors | thresh hard - stdin.npy -t 0.5 -O out --overwrite")
    assert done.returncode == 2
    assert "- and stdin.npy would both be written to out/stdin.npy" in done.stderr


def test_names_from_another_program_and_outputs_that_are_there(shell: Shell) -> None:
    """A line of shell as it is documented, run twice."""
    Path("data/sub").mkdir(parents=True)
    for name in ("data/a b.npy", "data/sub/c\nd.npy"):
        np.save(name, np.arange(4.0))
    line = (
        "find data -name '*.npy' -print0 | thresh clamp --files-from - -0 --low -1 --high 1 -O out --skip-existing -j 8"
    )
    done = shell(line)
    assert (done.returncode, done.stderr) == (0, "")
    assert listed("out") == ["a b.npy", "c\nd.npy"]
    assert shell(f"{line} --report ndjson").stdout.count('"skipped"') == 2


def test_a_list_comes_through_a_pipe(shell: Shell) -> None:
    assert "x.npy" in shell("thresh info --files-from <(echo x.npy)").stdout


def test_a_residual_may_be_what_goes_on(shell: Shell) -> None:
    done = shell("thresh gradient x.npy -t 0.5 -o y.npy --residual - -q | thresh stats - --json")
    assert '"zeros": 2' in done.stdout
    done = shell("thresh gradient x.npy -t 0.5 -q -o >(cat > y2.npy) --residual >(cat > r.npy); sleep 0.3")
    assert (done.returncode, done.stderr) == (0, "")
    assert np.load("y2.npy").tolist() == [0, 0, 0, 0.75]
    assert np.load("r.npy").tolist() == [0, 0.25, 0.5, 0]


def test_a_map_comes_through_a_pipe(shell: Shell) -> None:
    np.save("map.npy", np.array([1, 0, 1, 0], np.float32))
    assert thresh("variable", "x.npy", "-t", "@map.npy", "-o", "wanted.npy", "-q").status == 0
    for line in (
        "thresh variable x.npy -q -t @<(cat map.npy) -o -",
        "cat map.npy | thresh variable x.npy -q -t @- -o -",
    ):
        done = shell(f"{line} | cmp - wanted.npy")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("spec", ["local-mean:3", "otsu"])
def test_thresholds_from_the_data_work_on_what_goes_through(spec: str, shell: Shell) -> None:
    np.save("page.npy", np.random.default_rng(0).random((20, 20)))
    done = shell(
        f"cat page.npy | thresh binary - -t {spec} -o - -q | cmp - <(thresh binary page.npy -t {spec} -o - -q)"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_thresholds_are_told_beside_their_map(shell: Shell) -> None:
    done = shell("thresh solve x.npy -t local-mean:3 -o - | thresh info -")
    assert done.returncode == 0, done.stderr
    assert "float64" in done.stdout
    assert "local-mean:3 of x" in done.stderr


def test_a_large_file_goes_through_a_narrow_pipe_without_buffers(shell: Shell) -> None:
    line = "thresh hard big.npy -t 5 -o - -q"
    done = shell(f"PYTHONUNBUFFERED=1 {line} | (sleep 0.2; cat) | cmp - <({line})")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("output", ["- | head -c 0", "/dev/stdout | head -c 0", "pipe & head -c 0 pipe; wait $!"])
def test_a_reader_that_goes_away_ends_the_command_without_noise(output: str, shell: Shell) -> None:
    os.mkfifo("pipe")
    done = shell(f"thresh hard big.npy -t 5 -q -o {output}")
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("output", ["-o - > /dev/full", "-o /dev/full", "-o /dev/stdout > /dev/full", "-o - >&-",
                                    "-o /dev/fd/9", "-o y.npy --residual /dev/full"])  # fmt: skip
def test_what_cannot_be_written_is_no_success(output: str, shell: Shell) -> None:
    done = shell(f"thresh gradient x.npy -t 0.5 -q {output}")
    assert done.returncode == 5
    assert "cannot be written: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("y.npy").exists()


def test_a_disk_without_room_for_what_comes_out_of_a_pipe_is_told_as_such(shell: Shell) -> None:
    done = shell("cat big.npy | (ulimit -f 100; thresh stats -)")
    assert done.returncode == 5
    assert "has no room for a copy of what comes out of the pipe: " in done.stderr
    assert "TMPDIR" in done.stderr


@pytest.mark.parametrize(("line", "status", "said"), [
    ("thresh stats - <&-", 4, "-: cannot be read: Bad file descriptor"),
    ("thresh info --files-from - <&-", 4, "standard input cannot be read: Bad file descriptor"),
    ("thresh stats - < /dev/null", 4, "is empty"),
    ("thresh info x.npy >&-", 5, "standard output cannot be written: Bad file descriptor"),
])  # fmt: skip
def test_streams_that_are_closed_or_empty(line: str, status: int, said: str, shell: Shell) -> None:
    done = shell(line)
    assert done.returncode == status
    assert said in done.stderr
    assert "fault" not in done.stderr


def test_without_standard_error_the_work_is_done(shell: Shell) -> None:
    assert shell("thresh hard x.npy -t 0.5 -o y.npy 2>&-").returncode == 0
    assert shell("thresh hard nowhere.npy -t 0.5 -o z.npy 2>&-").returncode == 4
    assert np.load("y.npy").tolist() == [0, 0, 0.5, 0.75]


@pytest.mark.parametrize(("words", "status", "said"), [
    ("binary v.npy m.npy -t 1 -o -", 2, "-o names one file, and there are 2 inputs"),
    ("gradient v.npy -t 1 -o - --residual /dev/stdout", 2, "output and residual of v.npy would both be -"),
    ("binary - -t 1 --in-place", 2, "standard input cannot be replaced"),
    ("binary pipe -t 1 --in-place", 5, "is not a regular file"),
])  # fmt: skip
def test_what_no_stream_can_do_is_refused(words: str, status: int, said: str, folder: Path) -> None:
    os.mkfifo("pipe")
    content = Path("v.npy").read_bytes()
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(content))
    if "pipe" in words:
        writer.start()
    ran = thresh(*words.split())
    if "pipe" in words:
        writer.join()
    refused(ran, status, said)
    assert ran.out == ""


def test_a_terminal_gets_no_tensor_file(folder: Path) -> None:
    keyboard, screen = pty.openpty()
    try:
        name = os.ttyname(screen)
        refused(thresh("binary", "v.npy", "-t", 1, "-o", name), 2, f"{name} is a terminal")
        refused(thresh("binary", "v.npy", "-t", 1, "-o", f"/dev/fd/{screen}"), 2, "is a terminal")
        done = subprocess.run(
            [sys.executable, "-m", "threshcli", "binary", "v.npy", "-t", "1", "-o", "-"],
            stdout=screen, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "standard output is a terminal" in done.stderr
        done = subprocess.run(
            [sys.executable, "-m", "threshcli", "info", "-"],
            stdin=screen, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 4
        assert "standard input is a terminal" in done.stderr
    finally:
        os.close(keyboard)
        os.close(screen)


def test_a_dry_run_writes_its_report_where_it_always_does(folder: Path) -> None:
    ran = thresh("binary", "v.npy", "-t", 1, "-o", "-", "-n")
    assert (ran.status, ran.err) == (0, "")
    assert "(stdout)" in ran.out


def test_options_for_files_that_exist_leave_streams_alone(folder: Path) -> None:
    Path("-").write_text("a file of this name is another matter")
    for option in ("--skip-existing", "--overwrite", "--fsync"):
        ran = thresh("binary", "v.npy", "-t", 1, "-o", "/dev/null", option, "--json")
        assert (ran.status, ran.json["files"][0]["status"]) == (0, "written")
    assert Path("-").read_text().startswith("a file")


def test_a_program_keeps_its_standard_output_to_itself(folder: Path) -> None:
    with pytest.raises(OutputError, match="standard output belongs to the program"):
        threshcli.apply("hard", "v.npy", threshold=1, output="-")


def test_in_process_the_file_goes_where_the_outside_says(folder: Path) -> None:
    from threshcli.cli.app import run
    from threshcli.cli.outside import Outside

    raw, err = io.BytesIO(), io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    out = io.TextIOWrapper(raw, encoding="utf-8", newline="\r\n")
    assert run(["hard", "v.npy", "-t", "2", "-o", "-"], Outside(out, err, {})) == 0
    raw.seek(0)
    assert np.load(raw).tolist() == [0, 0, 0, 2, 3]


def test_a_signal_ends_what_waits_for_a_slow_reader(shell: Shell) -> None:
    """With nothing left behind."""
    os.mkfifo("pipe")
    before = listed(".")
    reading = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen([sys.executable, "-m", "threshcli", "hard", "big.npy", "-t", "5", "-o", "pipe", "-q"])
    os.set_blocking(reading, True)
    while not os.read(reading, 1):  # the end of the file, as long as nobody writes
        time.sleep(0.01)
    process.terminate()
    assert process.wait(timeout=60) == 143
    os.close(reading)
    assert listed(".") == before
