"""Writes types.gguf, a tensor of every supported type, and types.safetensors, the same dequantized by gguf-py.

    python Fixtures/gguf/make.py        (gguf 0.19.0, numpy, safetensors)
"""

from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file

HERE = Path(__file__).parent
rng = np.random.default_rng(1)
writer = gguf.GGUFWriter(HERE / "types.gguf", "sd1")
expected = {}
for kind in [T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1]:
    values = rng.standard_normal((3, 64)).astype(np.float32)
    data = quantize(values, kind)
    writer.add_tensor(kind.name, data, raw_dtype=kind)
    expected[kind.name] = dequantize(data, kind)
# gguf-py cannot quantize to K-quants: random codes with finite scales.
for kind, halves in {T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}.items():
    data = rng.integers(0, 256, (2, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for at in halves:
        data[:, at + 1] %= 64
    writer.add_tensor(kind.name, data, raw_dtype=kind)
    expected[kind.name] = dequantize(data, kind)
# A kernel as ComfyUI-GGUF stores it: rows of 256, with the original shape in the metadata.
kernel = rng.standard_normal((8, 32, 3, 3)).astype(np.float32)
data = quantize(kernel.reshape(-1, 256), T.Q8_0)
writer.add_array("comfy.gguf.orig_shape.kernel", list(kernel.shape))
writer.add_tensor("kernel", data, raw_dtype=T.Q8_0)
expected["kernel"] = dequantize(data, T.Q8_0).reshape(kernel.shape)
# Blocks of a vector, and of rows that are not whole blocks in the original shape.
vector = rng.standard_normal(64).astype(np.float32)
data = quantize(vector, T.Q8_0)
writer.add_tensor("vector", data, raw_dtype=T.Q8_0)
expected["vector"] = dequantize(data, T.Q8_0)
odd = rng.standard_normal((64, 4, 3, 3)).astype(np.float32)
data = quantize(odd.reshape(-1, 256), T.Q4_0)
writer.add_array("comfy.gguf.orig_shape.odd", list(odd.shape))
writer.add_tensor("odd", data, raw_dtype=T.Q4_0)
expected["odd"] = dequantize(data, T.Q4_0).reshape(odd.shape)
writer.add_uint8("a.u8", 200)
writer.add_int16("a.i16", -300)
writer.add_float64("a.f64", 0.5)
writer.add_bool("a.bool", True)
writer.add_array("a.words", [f"word {i}" for i in range(100)])
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, HERE / "types.safetensors")
