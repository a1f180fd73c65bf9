#!/usr/bin/env python3
"""Reads `.decant` files: an independent reader, written from decant.md with numpy and zlib alone.

    python decant.py FILE                          a summary of the file
    python decant.py FILE --list                   every tensor with its shape, encoding and bytes
    python decant.py FILE --check                  checks every byte of the file
    python decant.py FILE --to-safetensors FOLDER  a .safetensors file for each component, float32

    import decant
    with decant.open("model.decant") as model:
        weight = model.tensor("unet", "conv_in.weight")   # float32
        codes, scales = model.parts("unet", "mid_block.attentions.0.proj_in.weight")
"""

import argparse
import hashlib
import json
import math
import mmap
import re
import struct
import sys
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

VERSION, MANIFEST_LIMIT, BLOCK, EXPANSION = 1, 16 << 20, 1 << 18, 16
HEADER_MAGIC, FOOTER_MAGIC, HEADER_SIZE, FOOTER_SIZE = b"\x89DCNT\r\n\x1a", b"DCNTend\n", 64, 96

# Bits of one number of each plain kind, and its numpy type where numpy has one.
KINDS: dict[str, tuple[int, str | None]] = {
    "bool": (8, "?"), "f4": (4, None), "f6_e2m3": (6, None), "f6_e3m2": (6, None), "bf16": (16, None),
    **{f"f8_{form}": (8, None) for form in ("e5m2", "e4m3", "e8m0", "e4m3fnuz", "e5m2fnuz")},
    **{f"{sign}{bits}": (bits, f"<{sign}{bits // 8}") for sign in "iu" for bits in (8, 16, 32, 64)},
    "f16": (16, "<f2"), "f32": (32, "<f4"), "f64": (64, "<f8"), "c64": (64, "<c8"),
}
# Of K-quants, the parts after the codes: numpy type, and how many weights of a row share a number.
K_QUANTS = {f"q{bits}_k": (("<f2", 256), ("u1", 32)) * 2 for bits in (4, 5)} | {"q6_k": (("<f2", 256), ("i1", 16))}


class DecantError(Exception):
    """A fault of a file, described in one sentence."""


class Region(NamedTuple):
    """The stored form of one part of a tensor, or of one file."""
    place: str
    offset: int
    length: int
    decoded: int
    crc32: int
    planes: int | None = None
    table: int | None = None
    end = property(lambda self: self.offset + self.length)


class Encoding(NamedTuple):
    """The encoding of the numbers of a tensor."""
    name: str
    bits: int
    kind: str | None = None  # plain encodings
    factors: tuple[tuple[str, int | None], ...] = ()  # integer codes: scales, then minimums

    @staticmethod
    def named(name: str, place: str) -> "Encoding":
        if name in KINDS:
            return Encoding(name, KINDS[name][0], kind=name)
        if name in K_QUANTS:
            return Encoding(name, int(name[1]), factors=K_QUANTS[name])
        match = re.fullmatch(r"int(4|5|6|8|16)(?:-g([1-9][0-9]{0,18}))?|fp(8)|int(8)-convrot", name, re.ASCII)
        _require(match is not None, f"{place} is encoded as {name!r}, which this reader does not know")
        scale = ("<f2", int(match[2])) if match[2] else ("<f4", None)
        return Encoding(name, int(match[1] or match[3] or match[4]), factors=(scale,))

    # Bits of a code in each part that holds codes: all, or the high and the low ones.
    widths = property(lambda self: (4, self.bits - 4) if self.bits in (5, 6) else (self.bits,))

    def sizes(self, shape: tuple[int, ...], place: str) -> list[int]:
        """Bytes of each part."""
        rows, length = matrix(shape)
        if self.kind is not None:
            bits = rows * length * self.bits
            _require(bits % 8 == 0, f"{place}: {self.name} numbers of shape {shape} fill no whole bytes")
            return [bits // 8]
        if self.name == "fp8":
            return [rows * length, 4]
        multiple = 256 if self.name in K_QUANTS else 16 if self.name == "int8-convrot" else 1
        _require(length % multiple == 0, f"{place}: rows of {length} have no groups")
        codes = [rows * -(-length * bits // 8) for bits in self.widths]
        return codes + [rows * -(-length // (run or length or 1)) * np.dtype(t).itemsize for t, run in self.factors]


Tensor = NamedTuple(
    "Tensor", [("name", str), ("shape", tuple[int, ...]), ("encoding", Encoding), ("regions", tuple[Region, ...])])
Component = NamedTuple(
    "Component", [("name", str), ("class_name", str), ("config", dict[str, Any]), ("tensors", dict[str, Tensor])])


def matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """The shape as rows and the length of a row."""
    rows = shape[0] if shape else 1
    return rows, math.prod(shape[1:]) if rows else 0


def align(offset: int) -> int:
    return -(-offset // 64) * 64


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DecantError(message)


def _parse_json(data: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        _require(len(result) == len(pairs), "the manifest names a member twice in one object")
        return result

    def number(text: str) -> float:
        _require(math.isfinite(float(text)), f"the manifest holds {text}, which is not a finite number")
        return float(text)

    def levels(value: Any) -> int:  # below the root
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return max((1 + levels(item) for item in inner), default=0)

    _require(not data.startswith(b"\xef\xbb\xbf"), "the manifest begins with a byte order mark")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=number, parse_float=number)
        depth = levels(value)
    except (ValueError, RecursionError) as error:
        raise DecantError(f"the manifest is not valid JSON: {error}") from None
    _require(depth <= 64, f"the manifest is nested {depth} levels deep, at most 64 are allowed")
    return value


def _members(value: Any, place: str, names: list[str]) -> list[Any]:
    """Returns the values of an object that must have exactly these members."""
    _require(type(value) is dict, f"{place} is not an object")
    for name in names:
        _require(name in value, f"{place} lacks the member {name!r}")
    for name in value:
        _require(name in names, f"{place} has the unknown member {name!r}")
    return [value[name] for name in names]


def _integer(value: Any, place: str, below: int = 1 << 53) -> int:
    _require(type(value) is int and 0 <= value < below, f"{place} is {value!r}, not a whole number below {below}")
    return value


def _typed(value: Any, kind: Any, place: str) -> Any:
    _require(isinstance(value, kind), f"{place} is {type(value).__name__}, not {kind}")
    return value


def _text(value: Any, pattern: str, place: str) -> str:
    _require(type(value) is str and re.fullmatch(pattern, value) is not None, f"{place} is {value!r}")
    return value


class File(AbstractContextManager):
    """An open file. Header, footer and manifest are checked; nothing else is read yet."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self.data, self._next = data, HEADER_SIZE
        self._limit, manifest = self._frame()
        model, scheduler, components, files, codecs, provenance, parity = _members(
            _parse_json(manifest), "the manifest",
            ["model", "scheduler", "components", "files", "codecs", "provenance", "parity"])
        self.model_index: dict[str, Any] = _typed(model, dict, "'model'")
        self.scheduler: dict[str, Any] | None = _typed(scheduler, dict | None, "'scheduler'")
        self.provenance: dict[str, Any] = _typed(provenance, dict, "'provenance'")
        self.parity: dict[str, Any] | None = _typed(parity, dict | None, "'parity'")
        self.codecs = [_integer(codec, "a codec") for codec in _typed(codecs, list, "'codecs'")]
        _require(self.codecs == sorted(set(self.codecs)), "'codecs' is not ascending")
        for codec in self.codecs:
            _require(codec in CODECS, f"the file uses codec {codec}, which this reader does not know")
        self.components: dict[str, Component] = {}
        for value in _typed(components, list, "'components'"):
            component = self._component(value)
            _require(component.name not in self.components, f"component {component.name!r} occurs twice")
            self.components[component.name] = component
        self.files: dict[str, Region] = {}
        for value in _typed(files, list, "'files'"):
            path, size, part = _members(value, "a file", ["path", "size", "data"])
            _text(path, r"[ -\[\]-~]{1,255}", "a file's path")
            pieces = path.split("/")
            _require(not {"", ".", ".."} & set(pieces), f"the path {path!r} is outside of the model's folder")
            _require(path not in self.files, f"file {path!r} occurs twice")
            self.files[path] = self._region(part, f"file {path!r}", _integer(size, "a file's size"))
        _require(self._next == self._limit, f"regions end at {self._next}, the manifest begins at {self._limit}")

    def __exit__(self, *_: object) -> None:
        if isinstance(self.data, mmap.mmap):
            self.data.close()

    def _frame(self) -> tuple[int, bytes]:
        data, size = self.data, len(self.data)
        _require(data[:8] == HEADER_MAGIC, "this is not a .decant file, or its header is damaged")
        _require(size >= HEADER_SIZE + FOOTER_SIZE, f"the file has {size} bytes: it is truncated")
        self._block(data[:HEADER_SIZE], "header", [(12, 60)])
        footer = data[size - FOOTER_SIZE : size]
        _require(footer[:8] == FOOTER_MAGIC, "the footer is missing: the file is truncated or damaged")
        self._block(footer, "footer", [(12, 16), (72, 92)])
        offset, length, total = struct.unpack_from("<QQQ", footer, 16)
        _require(total == size, f"the file has {size} bytes, its footer says {total}")
        _require(length <= MANIFEST_LIMIT, f"the manifest has {length} bytes, at most {MANIFEST_LIMIT} are allowed")
        fits = offset >= HEADER_SIZE and offset % 64 == 0 and offset + length == size - FOOTER_SIZE
        _require(fits, f"the manifest does not fit at offset {offset} with {length} bytes")
        manifest = data[offset : offset + length]
        _require(hashlib.sha256(manifest).digest() == footer[40:72], "the manifest is damaged")
        return offset, manifest

    @staticmethod
    def _block(block: bytes, name: str, zeros: list[tuple[int, int]]) -> None:
        _require(struct.pack("<I", zlib.crc32(block[:-4])) == block[-4:], f"the {name} is damaged")
        (version,) = struct.unpack_from("<I", block, 8)
        _require(version == VERSION, f"the {name} is of version {version}, this reader knows {VERSION}")
        for start, end in zeros:
            _require(not any(block[start:end]), f"bytes {start}-{end - 1} of the {name} are not zero")

    def _component(self, value: Any) -> Component:
        name, class_name, config, tensors = _members(value, "a component", ["name", "class", "config", "tensors"])
        _text(name, r"[A-Za-z0-9_-]{1,64}", "a component's name")
        result = Component(
            name, _typed(class_name, str, f"the class of {name}"), _typed(config, dict, f"the config of {name}"), {})
        for item in _typed(tensors, list, f"the tensors of {name}"):
            tensor = self._tensor(item, name)
            _require(tensor.name not in result.tensors, f"{name} tensor {tensor.name!r} occurs twice")
            result.tensors[tensor.name] = tensor
        return result

    def _tensor(self, value: Any, component: str) -> Tensor:
        name, extents, encoding_name, parts = _members(
            value, f"a tensor of {component}", ["name", "shape", "encoding", "parts"])
        place = f"{component} tensor {_text(name, r'[!-~]{1,512}', 'the name of a tensor')!r}"
        shape = tuple(_integer(extent, f"an extent of {place}", 1 << 31) for extent in _typed(extents, list, place))
        product = math.prod(extent or 1 for extent in shape)
        _require(len(shape) <= 8 and product < 1 << 63, f"{place} has an impossible shape {shape}")
        encoding = Encoding.named(_typed(encoding_name, str, f"the encoding of {place}"), place)
        sizes = encoding.sizes(shape, place)
        _require(sum(sizes) < 1 << 63, f"{place} is too large")
        _require(len(_typed(parts, list, place)) == len(sizes), f"{place} has {len(parts)} parts, {len(sizes)} expected")
        regions = tuple(
            self._region(part, f"{place} (part {index})", size) for index, (part, size) in enumerate(zip(parts, sizes)))
        return Tensor(name, shape, encoding, regions)

    def _region(self, value: Any, place: str, decoded: int) -> Region:
        coded = type(value) is dict and ("planes" in value or "table" in value)
        names = ["offset", "length", "crc32"] + (["planes", "table"] if coded else [])
        offset, length, crc, *coding = _members(value, place, names)
        offset, length = _integer(offset, f"the offset of {place}"), _integer(length, f"the length of {place}")
        crc = int(_text(crc, "[0-9a-f]{8}", f"the checksum of {place}"), 16)
        _require(offset == self._next, f"{place} lies at offset {offset}, {self._next} is expected")
        _require(offset + length <= self._limit, f"{place} ends at {offset + length}, beyond the last one")
        self._next = align(offset + length)
        _require(coded or length == decoded, f"{place} has {length} bytes, {decoded} are expected")
        if not coded:
            return Region(place, offset, length, decoded, crc)
        planes = _integer(coding[0], f"the planes of {place}")
        fits = planes in (1, 2, 4, 8) and decoded > 0 and decoded % planes == 0
        _require(fits, f"{place} has {planes} planes for {decoded} bytes")
        stored = length - 12 * planes * -(-decoded // (planes * BLOCK))
        _require(0 < stored <= decoded <= EXPANSION * stored, f"{place} holds {decoded} bytes in {length}")
        table = int(_text(coding[1], "[0-9a-f]{8}", f"the table of {place}"), 16)
        return Region(place, offset, length, decoded, crc, planes, table)

    def read(self, region: Region) -> bytes:
        """Returns the contents of a region, checked."""
        data = self._decode(region) if region.planes else self.data[region.offset : region.end]
        _require(zlib.crc32(data) == region.crc32, f"{region.place} does not agree with its checksum")
        padding = self.data[region.end : align(region.end)]
        _require(not any(padding), f"the bytes after {region.place} are not zero")
        return data

    def _decode(self, region: Region) -> bytes:
        planes, elements = region.planes or 1, region.decoded // (region.planes or 1)
        blocks = [min(BLOCK, elements - start) for start in range(0, elements, BLOCK)]
        table_start = region.end - 12 * planes * len(blocks)
        table = self.data[table_start : region.end]
        _require(zlib.crc32(table) == region.table, f"the chunk table of {region.place} is damaged")
        entries, result, start = struct.iter_unpack("<III", table), [], region.offset
        for index, count in enumerate(blocks):
            block = np.empty((count, planes), np.uint8)
            for plane in range(planes):
                stored, crc, codec = next(entries)
                place = f"chunk {index * planes + plane} of {region.place}"
                _require(codec in self.codecs, f"{place} uses codec {codec}, which the manifest does not list")
                _require(stored <= count <= EXPANSION * stored, f"{place} holds {count} bytes in {stored}")
                _require(start + stored <= table_start, f"{place} reaches into the chunk table")
                chunk = self.data[start : start + stored]
                _require(zlib.crc32(chunk) == crc, f"{place} is damaged")
                decoded = CODECS[codec](chunk, count, place)
                _require(len(decoded) == count, f"{place} decodes to {len(decoded)} bytes, {count} are expected")
                block[:, plane] = np.frombuffer(decoded, np.uint8)
                start += stored
            result.append(block.tobytes())
        _require(start == table_start, f"the chunks of {region.place} end at {start}, not at the table")
        return b"".join(result)

    def file(self, path: str) -> bytes:  # the path in a diffusers folder
        return self.read(self.files[path])

    def names(self, component: str) -> list[str]:  # in the order of the file
        return list(self.components[component].tensors)

    def parts(self, component: str, name: str) -> tuple[np.ndarray, ...]:
        """Returns the stored form of a tensor: its numbers, or codes [rows, length], scales and minimums.

        These are [rows, groups], or one number for float8 codes, which are bytes. Kinds that numpy lacks
        are unsigned integers of their width, or bytes below 8 bits.
        """
        tensor = self.components[component].tensors[name]
        raw, encoding = [self.read(region) for region in tensor.regions], tensor.encoding
        if encoding.kind is not None:
            dtype = KINDS[encoding.kind][1] or {8: "u1", 16: "<u2"}.get(encoding.bits, "u1")
            numbers = np.frombuffer(raw[0], dtype)
            return (numbers.reshape(tensor.shape) if encoding.bits >= 8 else numbers,)
        rows, length = matrix(tensor.shape)
        if encoding.name == "fp8":
            return np.frombuffer(raw[0], np.uint8).reshape(rows, length), np.frombuffer(raw[1], "<f4").reshape(())
        rest = [np.frombuffer(part, kind) for part, (kind, _) in zip(raw[len(encoding.widths) :], encoding.factors)]
        rest = [part.reshape(rows, part.size // (rows or 1)) for part in rest]
        return _codes(raw, rows, length, encoding.bits), *rest

    def tensor(self, component: str, name: str) -> np.ndarray:
        """Returns a tensor widened to float32."""
        tensor = self.components[component].tensors[name]
        parts, encoding = self.parts(component, name), tensor.encoding
        if encoding.kind is not None:
            return _widen(parts[0], encoding.kind)
        codes, length = parts[0], parts[0].shape[1]
        if encoding.name == "fp8":
            return (_float8(codes) * parts[1]).reshape(tensor.shape)
        each = [
            np.repeat(part.astype(np.float32), run or max(1, length), axis=1)[:, :length]
            for part, (_, run) in zip(parts[1:], encoding.factors)]
        counts = codes.astype(np.float32) + np.float32(1 << encoding.bits - 1 if len(each) == 4 else 0)
        weights = (each[0] * each[1] if len(each) > 1 else each[0]) * counts
        weights = weights - each[2] * each[3] if len(each) == 4 else weights
        return (_rotate(weights) if encoding.name == "int8-convrot" else weights).reshape(tensor.shape)

    def check(self) -> int:
        """Checks every region and returns their number."""
        tensors = [tensor for component in self.components.values() for tensor in component.tensors.values()]
        regions = [region for tensor in tensors for region in tensor.regions] + list(self.files.values())
        return sum(1 for region in regions if self.read(region) is not None)


def _codes(parts: list[bytes], rows: int, length: int, bits: int) -> np.ndarray:
    """Returns codes of `bits` bits from the parts that hold them."""
    if bits == 8:
        return np.frombuffer(parts[0], np.int8).reshape(rows, length)
    if bits == 16:
        return (np.frombuffer(parts[0], "<u2") - np.uint16(128)).astype(np.uint16).view(np.int16).reshape(rows, length)
    # Two's complement: the highest bit of a code counts as negative.
    high = _unpack(parts[0], rows, length, [1, 2, 4, -8])
    return high if bits == 4 else high * np.int8(1 << bits - 4) + _unpack(parts[1], rows, length, [1, 2][: bits - 4])


def _unpack(data: bytes, rows: int, length: int, places: list[int]) -> np.ndarray:
    """Returns sums of bits times `places`. Each row begins at a byte, with its first number in the lowest bits."""
    packed = np.frombuffer(data, np.uint8).reshape(rows, -(-length * len(places) // 8))
    stream = np.unpackbits(packed, axis=1, bitorder="little")[:, : length * len(places)]
    return stream.reshape(rows, length, len(places)).view(np.int8) @ np.array(places, np.int8)


def _float8(codes: np.ndarray) -> np.ndarray:
    """Widens float8_e4m3fn: float16 with fewer bits and another bias of the exponent, and without infinities."""
    bits = codes.astype(np.uint16)
    numbers = ((bits & 128) << 8 | (bits & 127) << 7).view(np.float16).astype(np.float32) * np.float32(256)
    return np.where(bits & 127 == 127, np.float32(np.nan), numbers)


def _rotate(weights: np.ndarray) -> np.ndarray:
    """Rotates groups of each row, with the sums of decant.md."""
    size, step, numbers = next(size for size in (256, 64, 16) if weights.shape[1] % size == 0), 1, weights
    while step < size:
        a, b, c, d = np.moveaxis(numbers.reshape(-1, 4, step), 1, 0)
        half = (a + b + c + d) / np.float32(2)
        numbers, step = np.stack([half - d, half - c, half - b, half - a], axis=1), step * 4
    return numbers.reshape(weights.shape)


def _deflate(chunk: bytes, count: int, place: str) -> bytes:
    decoder = zlib.decompressobj(-15)
    try:
        data = decoder.decompress(chunk, count + 1)
    except zlib.error as error:
        raise DecantError(f"{place} is not valid deflate data: {error}") from None
    whole = decoder.eof and not decoder.unused_data and not decoder.unconsumed_tail
    _require(whole, f"{place} does not decode to exactly {count} bytes")
    return data


def _huffman(chunk: bytes, count: int, place: str) -> bytes:
    _require(len(chunk) >= 140, f"{place} has {len(chunk)} bytes, too few for its codes")
    lengths = np.array([byte >> shift & 15 for byte in chunk[:128] for shift in (0, 4)])
    complete = lengths.max() <= 12 and (4096 >> lengths[lengths > 0]).sum() == 4096
    _require(complete, f"the codes of {place} are not complete, or longer than 12 bits")
    # Indexed by the next 12 bits: the value whose code starts there, and the length of that code.
    values, bits, code = np.zeros(4096, np.uint8), np.zeros(4096, np.int64), 0
    for length in range(1, 13):
        for value in np.flatnonzero(lengths == length):
            first = int(f"{code:0{length}b}"[::-1], 2)
            values[first :: 1 << length], bits[first :: 1 << length] = value, length
            code += 1
        code <<= 1
    sizes = struct.unpack_from("<III", chunk, 128)
    sizes += (len(chunk) - 140 - sum(sizes),)
    _require(sizes[3] >= 0, f"the streams of {place} are longer than it")
    start, left, output = 140, count, []
    for number, size in enumerate(sizes):
        stream = np.unpackbits(np.frombuffer(chunk, np.uint8, size, start), bitorder="little")
        stream = np.append(stream, np.zeros(12, np.uint8))
        # For each bit of the stream: the next 12 bits, and the end of a code that starts there.
        window = sum(stream[bit : bit + 8 * size].astype(np.int64) << bit for bit in range(12))
        ends = (np.arange(8 * size) + (bits[window] if size else 0)).tolist()
        places, at = [], 0
        for _ in range(min(left, -(-count // 4))):
            _require(at < 8 * size, f"stream {number} of {place} ends before its codes")
            places.append(at)
            at = ends[at]
        _require(-(-at // 8) == size and not stream[at:].any(), f"stream {number} of {place} continues after its codes")
        output.append(values[window[places]].tobytes() if places else b"")
        start, left = start + size, left - len(places)
    return b"".join(output)


CODECS = {0: lambda chunk, count, place: chunk, 1: _deflate, 2: _huffman}


def _widen(numbers: np.ndarray, kind: str) -> np.ndarray:
    if kind == "bf16":
        return (numbers.astype(np.uint32) << 16).view(np.float32).reshape(numbers.shape)
    if kind == "f8_e5m2":
        return (numbers.astype(np.uint16) << 8).view(np.float16).astype(np.float32)
    if KINDS[kind][1] is None or kind == "c64":
        raise DecantError(f"this reader does not widen {kind} to float32; parts() gives its bits")
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def open(path: str | Path) -> File:  # noqa: A001 - the module is used as `decant.open`
    """Opens the file at `path`, in time that depends on its manifest alone."""
    with Path(path).open("rb") as file:
        _require(file.seek(0, 2) > 0, "the file is empty")
        return File(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def write_safetensors(model: File, folder: Path) -> None:
    """Writes each component as float32 to `folder`/COMPONENT.safetensors, a tensor at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    for component in model.components.values():
        header, end = {}, 0
        for tensor in component.tensors.values():
            start, end = end, end + 4 * math.prod(tensor.shape)
            header[tensor.name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
        text = (plain := json.dumps(header).encode()).ljust(align(len(plain)))
        with (folder / f"{component.name}.safetensors").open("wb") as output:
            output.write(struct.pack("<Q", len(text)) + text)
            for name in component.tensors:
                output.write(model.tensor(component.name, name).astype("<f4").tobytes())


def main() -> int:
    parser = argparse.ArgumentParser(description="Reads .decant files.")
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--list", action="store_true", help="every tensor")
    parser.add_argument("--check", action="store_true", help="check every byte")
    parser.add_argument("--to-safetensors", metavar="FOLDER", type=Path, help="write float32 weights")
    arguments = parser.parse_args()
    try:
        with open(arguments.file) as model:
            print(f"{arguments.file}: {len(model.data)} bytes")
            for component in model.components.values():
                stored = sum(region.length for tensor in component.tensors.values() for region in tensor.regions)
                print(f"{component.name} ({component.class_name}): {len(component.tensors)} tensors, {stored} bytes")
                for tensor in component.tensors.values() if arguments.list else ():
                    sizes = "+".join(f"{region.length}/{region.decoded}" for region in tensor.regions)
                    print(f"  {tensor.name} {list(tensor.shape)} {tensor.encoding.name} {sizes}")
            for region in model.files.values():
                print(f"{region.place}: {region.decoded} bytes in {region.length}")
            if arguments.check:
                print(f"all {model.check()} regions agree with their checksums")
            if arguments.to_safetensors:
                write_safetensors(model, arguments.to_safetensors)
    except (DecantError, OSError) as error:
        print(f"{arguments.file}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
