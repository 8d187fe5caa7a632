"""`.pt`: what cannot be trusted is refused, quickly, in one line, and with nothing in it run."""

from __future__ import annotations

import os
import pickle
import struct
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._weights_only_unpickler import _get_allowed_globals

from tests.pt_files import again, archive, plain, read, saved, written
from threshcli.containers import _vocabulary as vocabulary
from threshcli.containers._pickle import Global
from threshcli.errors import InputError

PROTOCOL, STOP = b"\x80\x02", b"."
TORCH = b"ctorch._utils\n_rebuild_tensor_v2\n"
GOOD = saved({"w": torch.arange(6.0), "n": [1, "two"]})


def integer(value: int) -> bytes:
    encoded = pickle.encode_long(value)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def tensor(
    shape: tuple[int, ...] = (1,),
    strides: tuple[int, ...] = (1,),
    offset: int = 0,
    elements: int = 1,
    tail: bytes = b"",
) -> bytes:
    """The instructions that rebuild a float32 tensor over the storage `s0`."""
    sizes = (b"(" + b"".join(map(integer, group)) + b"t" for group in (shape, strides))
    storage = b"(U\x07storagectorch\nFloatStorage\nU\x02s0U\x03cpu" + integer(elements) + b"tQ"
    return (
        TORCH + b"(" + storage + integer(offset) + b"".join(sizes) + b"\x89ccollections\nOrderedDict\n)R" + tail + b"tR"
    )


def one(instructions: bytes, storage: bytes = bytes(4)) -> bytes:
    return archive(PROTOCOL + instructions + STOP, s0=storage)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_in_a_pickle_is_run(protocol: int, tmp_path: Path) -> None:
    """What it wanted to run is named where the protocol is torch's."""
    data = saved({"w": torch.ones(1), "x": Evil(tmp_path / "ran")}, pickle_protocol=protocol)
    with pytest.raises(InputError, match="mkdir" if protocol == 2 else "instruction") as caught:
        read(data)
    assert "nothing in it was run" in caught.value.what
    assert caught.value.hint
    assert not (tmp_path / "ran").exists()


def test_the_words_of_a_pickle_are_those_of_weights_only() -> None:
    """Nothing more is let in than torch itself would call; what is missing is types of old formats."""
    theirs = set(_get_allowed_globals())
    ours = vocabulary._NAMED | vocabulary._DTYPES
    assert {name for name in theirs if vocabulary.allowed(Global(*name.rsplit(".", 1)))} == ours
    missing = {name for name in theirs - ours if not name.endswith("Tensor") and ".cuda." not in name}
    assert missing == {"torch.storage.TypedStorage"}


@pytest.mark.parametrize(
    ("instructions", "said"),
    [
        (b"]" * 60_000 + b"a" * 59_999, "deeper than 100"),
        (b")" + b"\x85" * 60_000, "deeper than 100"),
        (b"]q\x00h\x00a", "contains itself"),
        (b"}q\x00U\x01ah\x00s", "contains itself"),
        (tensor((1 << 40,), (0,)), "claim"),
        (tensor((1 << 40,), (1,)), "elements over the 4 bytes"),
        (tensor((2,), (1,)), "claims 2 elements over the 4 bytes"),
        (tensor((1,), (1,), 1), "claims 1 elements over the 4 bytes"),
        (tensor((1,), (1,), 0, 2), "missing or cut"),
        (tensor((1 << 2000,) * 8, (0,) * 8), "described in a way"),
        (tensor((1,), (1,), 1 << 63), "described in a way"),
        (tensor((-1,), (1,)), "described in a way"),
        (tensor((1,), (-1,)), "described in a way"),
        (tensor((1, 1), (1,)), "described in a way"),
        (tensor((1,) * 65, (1,) * 65), "65 dimensions"),
        (tensor(tail=b"}U\x04conj\x88s"), "conjugate"),
        (tensor(tail=b"}" * 3), "described in a way"),
        (TORCH + b"(K\x00K\x01K\x02K\x03K\x04K\x05tR", "described in a way"),
        (TORCH + b"(K\x00K\x01tR", "described in a way"),
        (TORCH + b"]R", "damaged"),
        (TORCH.replace(b"_v2", b"_v3") + b"(K\x00K\x01K\x02K\x03K\x04K\x05tR", "described in a way"),
        (TORCH + b"(U\x07storageQK\x00))\x89NtR", "described in a way"),
        (tensor().replace(b"FloatStorage", b"QInt8Storage"), "of a type that thresh does not know: torch.QInt8Storage"),
        (tensor(tail=b"ctorch\nqint8\n").replace(b"_v2", b"_v3"), "of a type that thresh does not know: qint8"),
        (tensor(tail=b"N").replace(b"_v2", b"_v3"), "of a type that thresh does not know: torch.FloatStorage"),
        (b"}" + tensor() + b"K\x01s", "a key of a dict"),
        (b"}" + tensor() + b"\x85K\x01s", "a key of a dict"),
        (b"c__builtin__\nset\n]" + tensor() + b"a\x85R", "a set"),
        (b"ccollections\nOrderedDict\n)R}U\x01a" + tensor() + b"sb", "an attribute"),
        (b"ctorch._utils\n_rebuild_parameter\n(" + tensor() + b"K\x01K\x02tR", "not a plain tensor"),
        (b"U\x07storage\x85Q", "bare storage"),
        (b"U\x07storage" + b"\x85Q" * 60_000, "bare storage"),
        (b"}" + b"X" + struct.pack("<I", 2000) + b"k" * 2000 + tensor() + b"s", "more than 1,024 characters"),
        (b"ctorch\nTensor\n)R", "not a plain tensor"),
        (b"ctorch\nFloatTensor\n" + integer(1 << 40) + b"\x85R", "torch.FloatTensor"),
        (b"cos\nsystem\nU\x04true\x85R", "'os.system'"),
        (b"ctorch\nTensor\n)\x81", "instruction 0x81"),
        (b"K\x01]a", "damaged"),
        (b"]K\x01K\x02s", "damaged"),
        (b"(K\x01K\x02u", "damaged"),
        (b"}(K\x01u", "damaged"),
        (b"]}b", "damaged"),
        (b"h\x07", "damaged"),
        (b"t", "damaged"),
        (b"\x87", "damaged"),
        (b"q\x00", "damaged"),
        (b"X\xff\xff\xff\xff", "damaged"),
        (b"U\x01\xff", "damaged"),
        (b"ctorch", "damaged"),
        (b"", "damaged"),
    ],
)
def test_structures_that_torch_would_not_write_are_refused(instructions: bytes, said: str) -> None:
    """Whoever walks them needs bounds; none of these may take memory, time or the stack."""
    start = time.perf_counter()
    with pytest.raises(InputError, match=said) as caught:
        read(one(instructions))
    assert "\n" not in caught.value.what
    assert len(caught.value.what) < 300
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("one_key", "other", "value"),
    [
        ("a", "a", "'a'"),
        (1, True, "True"),
        (0, 0.0, "0.0"),
        (0.5, 0.5, "0.5"),
        (None, None, "None"),
        (("a", 1), ("a", 1.0), "a"),
        (float("inf"), float("inf"), "inf"),
    ],
)
def test_a_key_that_stands_twice_is_refused(one_key: Any, other: Any, value: str) -> None:
    """A dict keeps the last of the values; the first is a tensor that is not there once it is loaded."""
    keys = [pickle.dumps(key, 2)[2:-1] for key in (one_key, other)]
    for target in (b"}", b"ccollections\nOrderedDict\n)R"):
        instructions = target + b"(" + keys[0] + tensor() + keys[1] + tensor() + b"u"
        with pytest.raises(InputError, match=r"holds a dict in which .* stands twice") as caught:
            read(one(instructions))
        assert value in caught.value.what


def test_keys_that_only_look_alike_are_several() -> None:
    keys: list[Any] = [
        1,
        "1",
        None,
        "None",
        (1, "a"),
        ("1", "a"),
        1.5,
        "1.5",
        float("nan"),
        float("nan"),
        -1,
        ((1,), 2),
    ]
    value = dict.fromkeys(keys, torch.ones(1))
    assert len(read(saved({key: item.clone() for key, item in value.items()})).tensors) == len(keys)


def test_calls_that_would_take_the_machine_are_carried_along_unmade() -> None:
    """A bytearray of a terabyte, a list doubled forty times: as small as they are written."""
    doubled = b"]q\x00" + b"".join(b"](h%ch%ce" % (index, index) + b"q" + bytes([index + 1]) for index in range(40))
    data = one(b"](c__builtin__\nbytearray\n" + integer(1 << 40) + b"\x85R" + doubled + tensor() + b"e")
    contents = read(data)
    assert [item.shape for item in contents.tensors] == [(1,)]
    assert len(written(data, contents, plain(contents))) < 5000


def test_lists_within_lists_are_visited_once_each() -> None:
    """[a, a] forty times over has two to the forty paths to one tensor."""
    value: Any = [torch.ones(2)]
    for _ in range(40):
        value = [value, value]
    start = time.perf_counter()
    out = again(value)
    assert time.perf_counter() - start < 5
    while isinstance(out, list):
        assert out[0] is out[-1]
        out = out[0]
    assert out.tolist() == [1, 1]


def test_what_is_nested_a_hundred_deep_is_still_read() -> None:
    """The bound is far from what people write."""
    value: Any = torch.ones(1)
    for _ in range(48):
        value = OrderedDict(a=[value])
    assert len(read(saved(value)).tensors[0].name.split(".")) == 96
    assert again(value, copied=False)


def special() -> dict[str, Callable[[], object]]:
    matrix = torch.eye(2)
    return {
        "is sparse": matrix.to_sparse,
        "is quantized": lambda: torch.quantize_per_tensor(matrix, 0.1, 0, torch.qint8),
        "is on the meta device": lambda: matrix.to("meta"),
        "is a conjugate": lambda: torch.ones(2, dtype=torch.complex64).conj(),
        "bare storage at 'w.1'": matrix.untyped_storage,
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("said", special())
def test_tensors_that_are_no_plain_array_are_named(said: str) -> None:
    """With what to do instead, where there is something."""
    with pytest.raises(InputError, match=f"'w.1'.*{said}|{said}"):
        read(saved({"w": [1, special()[said]()]}))


@pytest.mark.filterwarnings("ignore")
def test_nested_tensors_are_refused() -> None:
    """Ragged ones of both kinds that torch has had."""
    for layout in (torch.strided, torch.jagged):
        with pytest.raises(InputError, match="nested"):
            read(saved(torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)))


def test_packed_elements_that_are_not_contiguous_are_refused() -> None:
    """Only whole stretches of bytes can be carried along."""
    packed = torch.empty(4, 4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    with pytest.raises(InputError, match="not contiguous"):
        read(saved(packed[:, 1:3]))
