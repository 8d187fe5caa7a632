"""Floating point in the programs of `kernels.torch_fused`: bits to numbers and back, in C++. What CUDA has for this is
named so that nothing is contracted: each operation rounds once."""

from __future__ import annotations

from threshcli.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, DType
from threshcli.kernels.base import Operator

CODE = {1: "signed char", 2: "short", 4: "int", 8: "long long"}
"""What holds the bits of an element, by its bytes."""
UNSIGNED = {1: "unsigned char", 2: "unsigned short", 4: "unsigned int", 8: "unsigned long long"}
KEY = {1: "int", 2: "int", 4: "int", 8: "long long"}
"""What holds its key."""

FUNCTIONS = " ".join(
    line.strip()
    for line in """
    template <typename T> float from_half(T code) {
        const int size = code & 0x7fff;
        const int scaled = __float_as_int(__int_as_float(size << 13) * 5.192296858534827628530496329220096e33f);
        const int found = size >= 0x7c00 ? size << 13 | 0x7f800000 : scaled;
        return __int_as_float(found | (code < 0 ? 1 << 31 : 0));
    }
    template <typename T> int to_half(T value) {
        const int bits = __float_as_int(value);
        const int size = bits & 0x7fffffff;
        const int normal = (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13;
        const int small = __float2int_rn(__int_as_float(size) * 16777216.0f);
        const int found = size >= 0x47800000 ? 0x7c00 : size < 0x38800000 ? small : normal;
        return found | (bits < 0 ? 0x8000 : 0);
    }
    template <typename T> int to_bfloat16(T value) {
        const unsigned int bits = __float_as_int(value);
        return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    }
    """.splitlines()
)
"""Of the 16-bit formats; 2^112 makes up for their smaller exponents, subnormals included. NaN is none of them."""

VALUES: dict[DType, str] = {
    FLOAT64: "__longlong_as_double({})",
    FLOAT32: "__int_as_float({})",
    FLOAT16: "from_half({})",
    BFLOAT16: "__int_as_float((int){} << 16)",
}
"""The numbers that bits stand for, all of them exact, by format."""
_CODES: dict[DType, str] = {
    FLOAT64: "__double_as_longlong({})",
    FLOAT32: "__float_as_int({})",
    FLOAT16: "(short)to_half({})",
    BFLOAT16: "(short)to_bfloat16({})",
}
_FUNCTIONS: dict[Operator, str] = {"+": "add", "-": "sub", "*": "mul", "/": "div"}


def value(bits: str, dtype: DType, to: DType) -> str:
    """The number with these bits: a `double` for float64, else a `float`, rounded if it was a double."""
    found = VALUES[dtype].format(bits)
    if (dtype is FLOAT64) == (to is FLOAT64):
        return found
    return f"({'double' if to is FLOAT64 else 'float'}){found}"


def code(value: str, dtype: DType) -> str:
    """The bits of a number, of the type that `value` gives for this format, rounded once if that is shorter."""
    return _CODES[dtype].format(value)


def calculated(a: str, operator: Operator, b: str, dtype: DType) -> str:
    """`a operator b` of float32 or float64, rounded once."""
    return f"__{'d' if dtype is FLOAT64 else 'f'}{_FUNCTIONS[operator]}_rn({a}, {b})"


def quiet(bits: str, dtype: DType, to: DType) -> str:
    """The quiet NaN of another format with the sign and the leading payload of the NaN with these bits."""
    kind, wide, up = CODE[to.itemsize], f"(long long){bits}", to.mantissa - dtype.mantissa
    payload = f"({wide} & {(1 << dtype.mantissa) - 1}ll)"
    payload = f"{payload} << {up}" if up > 0 else f"{payload} >> {-up}"
    sign = f"({bits} < 0 ? {-(1 << (to.bits - 1)) if to.bits < 64 else '(long long)(1ull << 63)'} : 0)"
    return f"({kind})({payload} | {to.nan}ll | {sign})"
