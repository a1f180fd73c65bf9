"""Writes the golden files of this folder with the safetensors package and torch.

    python make.py          (safetensors 0.8.0, torch 2.13.0+cpu made the files that are here)

small.safetensors      a few tensors, for comparing bytes with what Decant writes
kinds.safetensors      a tensor of every kind that torch can write; all 256 codes of 8-bit kinds
widened.safetensors    the same numbers as torch widens them to float32 (complex and sub-byte ones apart)
narrowed.safetensors   float32 numbers, and what torch narrows them to
"""

import torch
from safetensors.torch import save_file

torch.manual_seed(0)


def bits(values, dtype, kind):
    return torch.tensor(values, dtype=dtype).view(kind)


codes = torch.arange(256, dtype=torch.int32).to(torch.uint8)
halves = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0xC000, 0x7BFF, 0x7C00, 0xFC00, 0x7E00]
brains = [0x0000, 0x8000, 0x0001, 0x807F, 0x0080, 0x3F80, 0xC000, 0x7F7F, 0x7F80, 0xFF80, 0x7FC0]
kinds = {
    "bool": torch.tensor([True, False, True]),
    "u8": codes.clone(),
    "i8": codes.view(torch.int8).clone(),
    "f8_e4m3": codes.view(torch.float8_e4m3fn).clone(),
    "f8_e5m2": codes.view(torch.float8_e5m2).clone(),
    "f8_e4m3fnuz": codes.view(torch.float8_e4m3fnuz).clone(),
    "f8_e5m2fnuz": codes.view(torch.float8_e5m2fnuz).clone(),
    "f8_e8m0": codes.view(torch.float8_e8m0fnu).clone(),
    "i16": torch.tensor([0, 1, -1, 32767, -32768], dtype=torch.int16),
    "u16": torch.tensor([0, 1, 65535], dtype=torch.uint16),
    "f16": bits(halves, torch.uint16, torch.float16),
    "bf16": bits(brains, torch.uint16, torch.bfloat16),
    "i32": torch.tensor([0, 16777217, -2147483648, 2147483647], dtype=torch.int32),
    "u32": torch.tensor([0, 16777219, 4294967295], dtype=torch.uint32),
    "f32": bits([0, 1, 0x80000001, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000], torch.uint32, torch.float32),
    "c64": torch.tensor([1 + 2j, -3.5j], dtype=torch.complex64),
    "f64": torch.tensor([0.1, -1e300, 1e-300, 3.0], dtype=torch.float64),
    "i64": torch.tensor([0, 2**53 + 1, -(2**63), 2**63 - 1], dtype=torch.int64),
    "u64": torch.tensor([0, 2**53 + 1, 2**63 - 1], dtype=torch.int64).to(torch.uint64),
    "f4": torch.tensor([[0x10, 0x32], [0x54, 0x76]], dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
    "scalar": torch.tensor(2.5),
    "empty": torch.zeros(0, 3),
    "matrix": torch.arange(6, dtype=torch.float32).reshape(2, 3),
}
save_file(kinds, "kinds.safetensors", metadata={"format": "pt", "note": 'über "quotes"\n'})

unwidened = {"c64", "f4"}
save_file({k: v.to(torch.float32) for k, v in kinds.items() if k not in unwidened}, "widened.safetensors")

patterns = torch.randint(-(2**31), 2**31, (2000,), dtype=torch.int64).to(torch.int32).view(torch.float32)
near = torch.randn(1500) * torch.exp2(torch.randint(-28, 18, (1500,)).float())
ties = bits(
    [s | m for s in (0, 0x80000000) for m in (
        0, 1, 0x007FFFFF, 0x33000000, 0x33000001, 0x33800000, 0x387FC000, 0x387FE000, 0x387FFFFF,
        0x38800000, 0x3F801000, 0x3F803000, 0x3F808000, 0x3F818000, 0x477FE000, 0x477FEFFF,
        0x477FF000, 0x47800000, 0x7F7F7FFF, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000)],
    torch.uint32, torch.float32)
numbers = torch.cat([patterns[torch.isfinite(patterns)], near, ties])
save_file(
    {"f32": numbers, "f16": numbers.to(torch.float16), "bf16": numbers.to(torch.bfloat16)},
    "narrowed.safetensors")

save_file(
    {
        "b.weight": torch.tensor([[1.0, -2.0], [0.5, 65504.0]], dtype=torch.float16),
        "a.weight": torch.tensor([1.0, 2.0, 3.0]),
        "a.bias": torch.tensor([-1.0]),
        "ids": torch.tensor([7, 8], dtype=torch.int64),
        "mask": torch.tensor([True, False, True]),
    },
    "small.safetensors", metadata={"format": "pt"})
