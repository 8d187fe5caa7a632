"""Kernels that write a program instead of calculating: what a rule makes of an element becomes a function in C++, which
torch compiles for the accelerator when it is first needed (its jiterator) and launches once over a whole tensor.

With kernels that calculate, each step of a rule is a pass over memory, and a rule takes six to ten; one launch takes as
long as a copy. A block's data is a `Term`, the name of a variable that holds its bits; a mask is the name of a `bool`.
Numbers are arguments of the function, so that another threshold is not another program. What does not fit in, such as
counts, raises `Unfused`, and who asked takes the other kernels; bytes are the same either way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from threshcli.dtypes import FLOAT32, FLOAT64, DType, Range
from threshcli.kernels import _torch_fused_floats as floats
from threshcli.kernels._torch_convert import BITS, signed
from threshcli.kernels.base import Block, Kernels, MapCompare, Mask, Operator

_SIGNS: dict[MapCompare, str] = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "=="}
_MOST = 8  # tensors that torch's jiterator takes
_MOST_NUMBERS = 64  # that go along with a launch, of the 4 KiB that all arguments together may have


class Unfused(Exception):
    """What is asked for has no place in a program: the other kernels are to do it."""


@dataclass(slots=True)
class Term:
    """The variable that holds the bits of a block's elements."""

    name: str


def serves(tensor: Tensor) -> bool:
    """Whether programs run where a tensor is."""
    return tensor.device.type == "cuda" and _runs()


@lru_cache(maxsize=1)
def _runs() -> bool:
    """Whether this torch compiles programs: it needs libraries that do not come with each build."""
    try:
        compiled("template <typename T> T thresh_probe(T x) { return x; }", 0)(torch.zeros(1, device="cuda"))
    except (AttributeError, RuntimeError, AssertionError):
        return False
    return True


@lru_cache(maxsize=1024)
def compiled(source: str, numbers: int) -> Callable[..., Tensor]:
    """The function with this source: of tensors, which are of one integer dtype, and numbers called n0, n1, ..."""
    names = (f"n{place}" for place in range(numbers))
    made: Callable[..., Tensor] = torch.cuda.jiterator._create_jit_fn(source, **dict.fromkeys(names, 0))
    return made


class Program(NamedTuple):
    """What was written: the function, the numbers that it is called with, and the bytes of an element of the result."""

    function: Callable[..., Tensor]
    numbers: Mapping[str, int]
    itemsize: int

    def launch(self, tensors: Sequence[Tensor]) -> Tensor:
        """The bits of the result, as signed integers; of tensors of one shape, each of the dtype that was said."""
        made = self.function(*(tensor.view(BITS[tensor.itemsize]) for tensor in tensors), **self.numbers)
        return made if made.itemsize == self.itemsize else made.to(BITS[self.itemsize])


class FusedKernels(Kernels):
    """Kernels that write one program; see the top of this module."""

    def __init__(self) -> None:
        self._widths: list[int] = []
        self._numbers: list[int] = []
        self._lines: list[str] = []
        self._known: dict[tuple[str, str], str] = {}

    def given(self, dtype: DType) -> Block:
        """The block of the next tensor that the program will get."""
        self._widths.append(dtype.itemsize)
        kind = floats.CODE[dtype.itemsize]
        return Block(Term(self._let(kind, f"({kind})x{len(self._widths) - 1}")), dtype)

    def given_mask(self) -> Mask:
        """The mask of the next tensor, which will be one of bool."""
        self._widths.append(1)
        return self._let("bool", f"x{len(self._widths) - 1} != 0")

    def program(self, block: Block) -> Program:
        """What makes the elements of a block."""
        if block.dtype.itemsize > max(self._widths):
            raise Unfused
        if len(self._widths) > _MOST or len(self._numbers) > _MOST_NUMBERS:
            raise Unfused
        tensors = ", ".join(f"T x{place}" for place in range(len(self._widths)))
        numbers = "".join(f", long long n{place}" for place in range(len(self._numbers)))
        body = f"({tensors}{numbers}) {{ {' '.join(self._lines)} return (T){block.data.name}; }}"
        name = f"thresh_{hashlib.sha256(body.encode()).hexdigest()[:16]}"
        source = f"{floats.FUNCTIONS} template <typename T> T {name}{body}"
        values = {f"n{place}": value for place, value in enumerate(self._numbers)}
        return Program(compiled(source, len(values)), values, block.dtype.itemsize)

    def reset(self) -> None:
        """There is nothing to forget: these kernels serve one call."""

    def within(self, x: Block, keys: Range, *, magnitude: bool = False) -> Mask:
        bounds = x.dtype.magnitude_keys if magnitude else x.dtype.keys
        low, high = max(keys.low, bounds.low), min(keys.high, bounds.high)
        if low > high:
            return "false"
        key, bias = self._key(x, magnitude), _bias(x.dtype, magnitude)
        found = []
        if low > bounds.low or x.dtype.is_float:  # what lies past the bounds is NaN
            found.append(f"{key} >= {self._number(low - bias, x.dtype)}")
        if high < bounds.high or x.dtype.is_float:
            found.append(f"{key} <= {self._number(high - bias, x.dtype)}")
        if x.dtype.is_float and x.dtype.signed and not x.dtype.negative_zero and low <= 0 <= high:
            found.append(f"!{self.isnan(x)}")
        return self._let("bool", " && ".join(found)) if found else "true"

    def against(self, x: Block, compare: MapCompare, other: Block, *, magnitude: bool = False) -> Mask:
        sign = _SIGNS[compare]
        if x.dtype is other.dtype and (x.dtype.is_float or not magnitude):
            mask = self._let("bool", f"{self._key(x, magnitude)} {sign} {self._key(other)}")
            if x.dtype.is_float:
                mask = self.both(mask, self.invert(self._let("bool", f"{self.isnan(x)} || {self.isnan(other)}")))
            return mask
        if not {x.dtype, other.dtype} <= floats.VALUES.keys():
            raise Unfused
        left, right = (floats.value(block.data.name, block.dtype, FLOAT64) for block in (x, other))
        return self._let("bool", f"{f'fabs({left})' if magnitude else left} {sign} {right}")

    def isnan(self, x: Block) -> Mask:
        if not x.dtype.is_float:
            return "false"
        if not x.dtype.negative_zero:
            return self._let("bool", f"{x.data.name} == {_literal(signed(x.dtype.nan, x.dtype), x.dtype)}")
        return self._let("bool", f"{self._key(x, True)} > {_literal(x.dtype.top, x.dtype)}")

    def invert(self, mask: Mask) -> Mask:
        return self._let("bool", f"!{mask}")

    def both(self, a: Mask, b: Mask) -> Mask:
        return self._let("bool", f"{a} && {b}")

    def everywhere(self, mask: Mask) -> bool:
        return bool(mask == "true")

    def select(self, mask: Mask, a: Block | int, b: Block | int, dtype: DType) -> Block:
        return self._block(f"{mask} ? {self._code(a, dtype)} : {self._code(b, dtype)}", dtype)

    def put(self, block: Block, mask: Mask, code: int) -> None:
        block.data.name = self.select(mask, code, block, block.dtype).data.name

    def cast(self, x: Block, dtype: DType) -> Block:
        if x.dtype is dtype:
            return x
        if not {x.dtype, dtype} <= floats.VALUES.keys() or (x.dtype is FLOAT64 and dtype is not FLOAT32):
            raise Unfused
        number = self._block(floats.code(floats.value(x.data.name, x.dtype, dtype), dtype), dtype)
        quiet = self._block(floats.quiet(x.data.name, x.dtype, dtype), dtype)
        return self.select(self.isnan(x), quiet, number, dtype)

    def limit(self, cut: Block, dtype: DType, *, up: bool) -> Block:
        return self.cast(cut, dtype)

    def calculate(self, a: Block | int, operator: Operator, b: Block | int, *, into: Block | None = None) -> Block:
        dtype = a.dtype if isinstance(a, Block) else b.dtype if isinstance(b, Block) else FLOAT64
        left, right = (floats.value(self._code(one, dtype), dtype, dtype) for one in (a, b))
        return self._block(floats.code(floats.calculated(left, operator, right, dtype), dtype), dtype)

    def clip(self, x: Block, limit: Block | int) -> Block:
        value, end = (floats.value(self._code(one, x.dtype), x.dtype, x.dtype) for one in (x, limit))
        return self._block(
            floats.code(f"{value} < -{end} ? -{end} : {value} > {end} ? {end} : {value}", x.dtype), x.dtype
        )

    def _key(self, x: Block, magnitude: bool = False) -> str:
        """The key of an element, or of its magnitude, less `_bias`; that of NaN lies past the bounds, except where NaN
        is coded as the negative zero."""
        dtype, bits = x.dtype, x.data.name
        kind = floats.KEY[dtype.itemsize]
        whole = floats.UNSIGNED[max(dtype.itemsize, 4)]
        if dtype.is_float and dtype.signed:
            size = self._let(kind, f"{bits} & {_literal(dtype.sign - 1, dtype)}")
            return size if magnitude else self._let(kind, f"{bits} < 0 ? -{size} : {size}")
        found = f"({floats.UNSIGNED[dtype.itemsize]}){bits}" if dtype.kind != "int" else bits
        if magnitude and dtype.kind == "int":  # abs(-128) is 128 once it is read as unsigned
            found = f"{bits} < 0 ? -({whole}){bits} : ({whole}){bits}"
        bias = _bias(dtype, magnitude)
        return self._let(kind, f"({kind})(({whole})({found}) ^ (({whole})1 << {dtype.bits - 1}))" if bias else found)

    def _number(self, value: int, dtype: DType) -> str:
        """A number that the program is called with."""
        self._numbers.append(value)
        return f"({floats.KEY[dtype.itemsize]})n{len(self._numbers) - 1}"

    def _code(self, value: Block | int, dtype: DType) -> str:
        if isinstance(value, Block):
            return str(value.data.name)
        code = signed(value, dtype)
        kind = floats.CODE[dtype.itemsize]
        return f"({kind}){code}" if code in (0, 1) else f"({kind}){self._number(code, dtype)}"

    def _block(self, expression: str, dtype: DType) -> Block:
        return Block(Term(self._let(floats.CODE[dtype.itemsize], expression)), dtype)

    def _let(self, kind: str, expression: str) -> str:
        """The variable that holds what an expression gives; worked out once."""
        found = self._known.get((kind, expression))
        if found is None:
            found = self._known[kind, expression] = f"v{len(self._known)}"
            self._lines.append(f"const {kind} {found} = {expression};")
        return found

    def _refuse(self, *given: object, **more: object) -> NoReturn:
        """What has no place in a program."""
        raise Unfused

    buffer = load = store = count = first = measure = elements = magnitudes = split = join = choose = _refuse


def _bias(dtype: DType, magnitude: bool) -> int:
    """What `_key` is less than the key of `dtypes`, so that it fits into a signed integer; smaller ones have room."""
    unsigned = dtype.kind == "uint" or (magnitude and dtype.kind == "int")
    return 1 << (dtype.bits - 1) if unsigned and dtype.itemsize >= 4 else 0


def _literal(value: int, dtype: DType) -> str:
    """A number that is the same for all elements of a dtype."""
    return f"{value}{'ll' if dtype.itemsize == 8 else ''}"
