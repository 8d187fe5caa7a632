"""The names that a checkpoint may hold: those of `torch.load(weights_only=True)`, less the ones of old formats.

None of them is ever looked up; they say what a call in a pickle would make. `tests/test_container_pt.py` compares them
with torch's own list.
"""

from __future__ import annotations

from threshcli.containers._pickle import ORDERED_DICT, Global
from threshcli.dtypes import DTYPES

STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
    "torch.ComplexDoubleStorage": "complex128",
    "torch.ComplexFloatStorage": "complex64",
}
"""Storages of one element type; tensors of the other types lie in an UntypedStorage."""
UNTYPED = "torch.storage.UntypedStorage"
PACKED = {"float4_e2m1fn_x2": 1, "bits8": 1, "bits1x8": 1, "bits2x4": 1, "bits4x2": 1, "bits16": 2}
"""Element types whose bytes are only carried along, and their sizes."""
PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
WITH_ATTRIBUTES = "torch._tensor._rebuild_from_type_v2"
TENSORS = {
    "torch._utils._rebuild_tensor": 4,
    "torch._utils._rebuild_tensor_v2": 6,
    "torch._utils._rebuild_tensor_v3": 7,
}
"""What rebuilds a strided tensor, and how many arguments that takes at least; one more is metadata."""
REFUSED = {
    "torch._utils._rebuild_sparse_tensor": ("is sparse", "save it dense, with .to_dense()"),
    "torch._utils._rebuild_qtensor": ("is quantized", "save it with .dequantize() or .int_repr()"),
    "torch._utils._rebuild_nested_tensor": ("is nested", "save its parts, with .unbind()"),
    "torch._utils._rebuild_meta_tensor_no_storage": ("is on the meta device and has no elements", None),
    "torch._utils._rebuild_wrapper_subclass": ("is of a subclass of Tensor", "save a plain tensor"),
    "torch._utils._rebuild_device_tensor_from_numpy": ("is not a plain tensor", "save it from the CPU, with .cpu()"),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": ("is not a plain tensor", "save it with .cpu()"),
}
VALUES = {
    ORDERED_DICT,
    "collections.Counter",
    "builtins.set",
    "builtins.complex",
    "builtins.bytearray",
    "_codecs.encode",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
}
_TYPES = {"torch.Tensor", "torch.nn.parameter.Parameter"}
_QUANTIZED = {f"torch.{name}Storage" for name in ("QInt8", "QInt32", "QUInt8", "QUInt2x4", "QUInt4x2")}
_NAMED = {*VALUES, *_TYPES, *TENSORS, *REFUSED, *PARAMETERS, WITH_ATTRIBUTES, UNTYPED, *STORAGES, *_QUANTIZED}
_SCHEMES = {f"per_{of}_{how}" for of in ("tensor", "channel") for how in ("affine", "symmetric")}
_DTYPES = {f"torch.{name}" for name in (*DTYPES, *PACKED, *_SCHEMES, "per_channel_affine_float_qparams")}
_DTYPES |= {f"torch.{name}" for name in ("qint8", "qint32", "quint8", "quint2x4", "quint4x2")}
_DTYPES |= {f"torch.{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)}


def allowed(name: Global) -> bool:
    """Whether a checkpoint may refer to this."""
    return name.path in _NAMED or name.path in _DTYPES
