"""Writes `scaled.decant`: scaled float8 and rotated int8 tensors of fixed numbers, uncoded. The file follows
Formats/decant.md, not the writer of Decant: `python scaled.py scaled.decant`.
"""

import hashlib
import json
import struct
import sys
import zlib
from pathlib import Path

import numpy as np


def crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def tensors() -> dict[str, tuple[str, list[int], list[bytes]]]:
    """Encoding, shape and parts by name."""
    numbers = np.random.default_rng(7)
    every = np.array([code for code in range(256) if code & 127 != 127], np.uint8)  # without NaN
    scale = np.array([0.0371], "<f4").tobytes()
    found = {
        "float8.every": ("fp8", [2, 127], [every.tobytes(), scale]),
        "float8.scalar": ("fp8", [], [b"\x38", scale]),
        "float8.empty": ("fp8", [0, 3], [b"", scale]),
        "rotated.empty": ("int8-convrot", [3, 0], [b"", b""]),
    }
    for shape in ([3, 16], [2, 192], [2, 512], [4, 16, 3, 3]):
        rows = shape[0]
        codes = numbers.integers(-127, 128, shape, np.int8).tobytes()
        scales = numbers.uniform(0.001, 0.1, rows).astype("<f4").tobytes()
        found[f"rotated.{'x'.join(map(str, shape))}"] = ("int8-convrot", shape, [codes, scales])
    return found


def write(path: Path, contents: dict[str, tuple[str, list[int], list[bytes]]]) -> None:
    """Writes a file of one component with these tensors."""
    magic, end = b"\x89DCNT\r\n\x1a", b"DCNTend\n"
    header = magic + struct.pack("<I", 1) + bytes(48)
    data = bytearray(header + crc(header))

    def region(part: bytes) -> dict[str, int | str]:
        entry = {"offset": len(data), "length": len(part), "crc32": f"{zlib.crc32(part):08x}"}
        data.extend(part + bytes(-len(part) % 64))
        return entry

    listed = [
        {"name": name, "shape": shape, "encoding": encoding, "parts": [region(part) for part in parts]}
        for name, (encoding, shape, parts) in contents.items()
    ]
    manifest = json.dumps({
        "model": {}, "scheduler": None,
        "components": [{"name": "unet", "class": "UNet2DConditionModel", "config": {}, "tensors": listed}],
        "files": [], "codecs": [], "provenance": {}, "parity": None,
    }).encode()
    footer = end + struct.pack("<IIQQQ", 1, 0, len(data), len(manifest), len(data) + len(manifest) + 96)
    footer += hashlib.sha256(manifest).digest() + bytes(20)
    path.write_bytes(bytes(data) + manifest + footer + crc(footer))


if __name__ == "__main__":
    write(Path(sys.argv[1]), tensors())
