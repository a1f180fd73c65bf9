"""Writes `codes.decant`: integer codes of every width, and ggml's K-quants, uncoded. The file follows
Formats/decant.md, not the writer of Decant: `python codes.py codes.decant`.
"""

import math
import sys
from pathlib import Path

import numpy as np

from scaled import write


def packed(codes: np.ndarray, bits: int) -> bytes:
    """Packs the low `bits` bits of each code of a row, from the lowest bit of each byte on."""
    each = np.unpackbits(codes.astype(np.uint8)[..., None], axis=-1, bitorder="little")[..., :bits]
    return np.packbits(each.reshape(codes.shape[0], codes.shape[1] * bits), axis=1, bitorder="little").tobytes()


def parts_of_codes(codes: np.ndarray, bits: int) -> list[bytes]:
    if bits == 16:
        return [(codes + 128).astype("<u2").tobytes()]
    if bits in (4, 8):
        return [packed(codes, bits)]
    return [packed(codes >> bits - 4, 4), packed(codes, bits - 4)]


def tensors() -> dict[str, tuple[str, list[int], list[bytes]]]:
    """Encoding, shape and parts by name."""
    numbers = np.random.default_rng(11)
    found = {}

    def codes(shape: list[int], bits: int) -> np.ndarray:
        rows = shape[0] if shape else 1
        most = 1 << bits - 1
        drawn = numbers.integers(-most, most, (rows, math.prod(shape[1:])))
        drawn.flat[:2] = [-most, most - 1][: drawn.size]
        return drawn

    for bits, group, shape in [
        (16, None, [3, 5]), (16, 4, [2, 9]), (16, None, []), (16, None, [0, 3]), (16, None, [2, 130, 3, 3]),
        (6, None, [3, 7]), (6, 4, [2, 9]), (6, None, [1, 8]), (6, None, [3, 0]), (6, None, [2, 130, 3, 3]),
        (5, None, [3, 11]), (5, 32, [2, 65]), (5, None, [1, 16]), (5, None, [2]), (5, None, [2, 130, 3, 3]),
        (4, None, [3, 7]), (8, 3, [3, 7]),
    ]:
        rows, length = shape[0] if shape else 1, math.prod(shape[1:]) if shape[:1] != [0] else 0
        runs = -(-length // (group or length or 1))
        scales = numbers.uniform(0.001, 0.1, rows * runs).astype("<f2" if group else "<f4").tobytes()
        name = f"int{bits}" + (f"-g{group}" if group else "")
        parts = parts_of_codes(codes(shape, bits), bits) + [scales]
        found[f"{name}.{'x'.join(map(str, shape))}"] = (name, shape, parts)
    for bits, shape in [(4, [2, 512]), (5, [3, 256]), (6, [2, 512]), (4, [4, 256, 1, 1]), (6, [0, 256]), (5, [2, 0])]:
        count = math.prod(shape)

        def halves() -> bytes:
            return numbers.uniform(-0.01, 0.01, count // 256).astype("<f2").tobytes()

        factors = [halves(), numbers.integers(-128, 128, count // 16, np.int8).tobytes()]
        if bits < 6:
            small = [numbers.integers(0, 64, count // 32, np.uint8).tobytes() for _ in range(2)]
            factors = [halves(), small[0], halves(), small[1]]
        parts = parts_of_codes(codes(shape, bits), bits) + factors
        found[f"q{bits}_k.{'x'.join(map(str, shape))}"] = (f"q{bits}_k", shape, parts)
    return found


if __name__ == "__main__":
    write(Path(sys.argv[1]), tensors())
