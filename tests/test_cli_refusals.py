"""What the command line refuses: one line, a hint, the right exit status, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.harness import listed, refused, thresh


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("variable m.npy -t @v.npy -o o.npy", 2, "shape"),
        ("binary m.npy -t 1 -k nope -o o.npy", 2, "'m'"),
        ("binary m.npy -t 1 -o v.npy", 5, "--overwrite"),
        ("binary m.npy -t 1 -o m.npy --overwrite", 5, "--in-place"),
        ("binary m.npy -t 1 -d cuda:99 -o o.npy", 6, "cuda:99"),
        ("binary m.npy -t 1 -d tpu -o o.npy", 6, "tpu"),
        ("binary m.npy -t nan -o o.npy", 2, "NaN"),
        ("variable m.npy -t @nan.npy --broadcast -o o.npy", 2, "NaN at [0, 1]"),
        ("variable m.npy -t @nowhere.npy -o o.npy", 4, "nowhere.npy"),
        ("variable m.npy -t @ -o o.npy", 2, "names no map"),
        ("variable m.npy -t @m.npy::x -o o.npy", 2, "'x'"),
        ("variable m.npy -t @z.npy --broadcast -o o.npy", 2, "complex128"),
        ("binary i.npy -t 1 --above 0.5 -o o.npy", 2, "0.5"),
        ("binary i.npy -t 1 --above nan -o o.npy", 2, "nan"),
        ("binary m.npy -t 1 --above 300 --out-dtype int8 -o o.npy", 2, "int8"),
        ("binary m.npy -t 1 --above 1000 --out-dtype float8_e4m3fn -o o.pt", 2, "float8_e4m3fn"),
        ("binary m.npy -t 1 --above x -o o.npy", 2, "--above"),
        ("binary m.npy -t x9 -o o.npy", 2, "'x9'"),
        ("binary m.npy -t 1 --axes 0 -o o.npy", 2, "--axes"),
        ("binary m.npy -t 1 --axes x -o o.npy", 2, "--axes 'x'"),
        ("binary m.npy -o o.npy", 2, "--threshold"),
        ("binary m.npy -t 1", 2, "nowhere to write"),
        ("binary m.npy -t 1 -o o.npy -O out", 2, "exclude"),
        ("hard z.npy -t 1 --out-dtype float32 -o o.npy", 2, "complex128"),
        ("binary m.npy v.npy -t 1 -o o.npy", 2, "2 inputs"),
        ("binary m.npy m.npy -t 1 -O out", 2, "same file"),
        ("binary m.npy -t 1 -o {what}.npy", 2, "{what}"),
        ("binary m.npy -t 1 -o o.csv", 2, ".csv"),
        ("binary m.npy -t 1 -o gone/o.npy", 5, "folder"),
        ("binary m.npy -t 1 -O v.npy", 5, "folder"),
        ("binary m.npy -t 1 --in-place --to pt", 2, "--in-place"),
        ("binary m.npy -t 1 --out-dtype float99 -o o.npy", 2, "float99"),
        ("binary m.npy -t 1 --nan below=3 -o o.npy", 2, "below=3"),
        ("binary nan.npy -t 1 --nan keep --out-dtype uint8 -o o.npy", 2, "keep"),
        ("binary m.npy -t 1 --max-memory lots -o o.npy", 2, "lots"),
        ("binary m.npy -t 1 -j 0 -o o.npy", 2, "--jobs"),
        ("binary z.npy -t 1 -o o.npy", 2, "complex128"),
        ("variable m.npy -t 1 --nan above -o o.npy", 2, "decides"),
        ("variable m.npy -t 1 --out-dtype uint8 -o o.npy", 2, "uint8"),
        ("replace m.npy -t 1 -o o.npy", 2, "--value"),
        ("gradient m.npy -t -1 -o o.npy", 2, "negative"),
        ("band m.npy --low 1 -o o.npy", 2, "--high"),
        ("band m.npy --low 2 --high 1 -o o.npy", 2, "above"),
        ("band m.npy --low 1 --high 2 --fill 3 --binary -o o.npy", 2, "--fill"),
        ("band m.npy --low 1 --high 2 --above 3 -o o.npy", 2, "--binary"),
        ("clamp m.npy -o o.npy", 2, "--low"),
        ("clamp i.npy --low 0.2 --high 0.8 -o o.npy", 2, "no int32 lies between --low and --high"),
        ("clamp i.npy --low 3e9 -o o.npy", 2, "no int32 is as high as --low"),
        ("clamp i.npy --high -3e9 -o o.npy", 2, "no int32 is as low as --high"),
        ("gone m.npy", 2, "gone"),
        ("binary m.npy -t 1 --nope", 2, "--nope"),
        ("binary", 2, "FILE"),
        ("binary nowhere.npy -t 1 -o o.npy", 4, "no such file"),
        ("binary /dev/null -t 1 -o o.npy", 4, "regular"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_with_a_hint(words: str, status: int, said: str, folder: Path) -> None:
    """The right exit status, no output, no traceback, nothing left behind."""
    before = listed(folder)
    ran = thresh(*words.split())
    refused(ran, status, said, hint="hint:" in ran.err)
    assert ran.out == ""
    left = set(listed(folder)) - set(before)
    assert left <= {"out"}


def test_maps_that_are_negative_or_crossed_are_refused_with_the_first_position(folder: Path) -> None:
    """Positions are indices into the tensor, in either memory order."""
    limits = np.ones((3, 3))
    limits[2, 1] = -1
    for laid in (limits, np.asfortranarray(limits)):
        np.save("t.npy", laid)
        refused(thresh("hard", "m.npy", "-t", "@t.npy", "-o", "o.npy"), 2, "negative at [2, 1]")
        refused(thresh("clamp", "m.npy", "--low", "0", "--high", "@t.npy", "-o", "o.npy"), 2, "above --high at [2, 1]")
        refused(thresh("band", "m.npy", "--low", "@m.npy", "--high", "@t.npy", "-o", "o.npy"), 2, "at [0, 1]")
    assert not Path("o.npy").exists()


def test_a_message_is_a_line_that_can_be_read_however_long_the_names_in_it_are(folder: Path) -> None:
    """Of a long one its beginning and its end."""
    ran = thresh("binary", "v.npy", "-t", "x" * 50_000, "-n")
    refused(ran, 2, "xxx")
    assert max(map(len, ran.lines)) < 2000
    (folder / "i.json").write_text('{"weight_map": {"a": "' + "/" * 30_000 + '"}}')
    ran = thresh("info", "i.json")
    refused(ran, 4, "i.json: names a shard '///", " ... ", "no plain name of a tensor file beside it")
    assert max(map(len, ran.lines)) < 2000
