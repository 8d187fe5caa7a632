"""The programs of fused kernels on the CPU: compiled by a C++ compiler, where there is one."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

COMPILER = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
_NEEDED = """
template <typename A, typename B> static A as(B x) { A y; __builtin_memcpy(&y, &x, sizeof y); return y; }
static float __int_as_float(int x) { return as<float>(x); }
static int __float_as_int(float x) { return as<int>(x); }
static double __longlong_as_double(long long x) { return as<double>(x); }
static long long __double_as_longlong(double x) { return as<long long>(x); }
static int __float2int_rn(float x) { return (int)__builtin_rintf(x); }
static float __fadd_rn(float a, float b) { return a + b; }
static float __fsub_rn(float a, float b) { return a - b; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fdiv_rn(float a, float b) { return a / b; }
static double __dadd_rn(double a, double b) { return a + b; }
static double __dsub_rn(double a, double b) { return a - b; }
static double __dmul_rn(double a, double b) { return a * b; }
static double __ddiv_rn(double a, double b) { return a / b; }
static double fabs(double x) { return __builtin_fabs(x); }
"""
"""What CUDA has."""


@cache
def compiled(source: str, numbers: int) -> Callable[..., Tensor]:
    """As `kernels.torch_fused.compiled`, for tensors of the CPU."""
    name = source[: source.rindex("(T x0")].rsplit(" ", 1)[1]
    tensors = source.count("T x")
    arguments = [f"((const T*)x[{place}])[i]" for place in range(tensors)] + [f"n[{place}]" for place in range(numbers)]
    loop = f"for (long i = 0; i < size; i++) out[i] = {name}<T>({', '.join(arguments)});"
    kinds = {1: "signed char", 2: "short", 4: "int", 8: "long long"}
    given = "const void** x, long long* n, long size"
    entries = "".join(
        f'extern "C" void run{width}({kind}* out, {given}) {{ typedef {kind} T; {loop} }}\n'
        for width, kind in kinds.items()
    )
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "program.so"
        flags = ["-O0", "-fwrapv", "-ffp-contract=off", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
        subprocess.run([str(COMPILER), *flags], input=f"{_NEEDED}{source}\n{entries}".encode(), check=True)
        loaded = ctypes.CDLL(str(library))

    def launch(*given: Tensor, **values: int) -> Tensor:
        width = max(tensor.itemsize for tensor in given)
        kind = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[width]
        shape = torch.broadcast_shapes(*(tensor.shape for tensor in given))  # type: ignore[no-untyped-call]
        rows = [tensor.to(kind).expand(shape).contiguous() for tensor in given]
        out = torch.empty(rows[0].shape, dtype=kind)
        places = (ctypes.c_void_p * len(rows))(*(row.data_ptr() for row in rows))
        several = (ctypes.c_longlong * max(1, numbers))(*(values[f"n{place}"] for place in range(numbers)))
        getattr(loaded, f"run{width}")(ctypes.c_void_p(out.data_ptr()), places, several, ctypes.c_long(out.numel()))
        return out

    return launch
