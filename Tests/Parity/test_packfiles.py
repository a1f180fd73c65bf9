"""`.decant` files, read by the independent reader `Formats/decant.py`."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import FIXTURES, run
from test_files import WEIGHTS, decant_reader

PACKFILES = FIXTURES / "packfiles"


@pytest.mark.parametrize("name", ["kinds", "blocks", "huffman", "scaled", "codes"])
def test_fixture_matches_its_digests(name):
    found = subprocess.run(
        [sys.executable, PACKFILES / "digests.py", PACKFILES / f"{name}.decant"], capture_output=True, check=True)
    assert json.loads(found.stdout) == json.loads((PACKFILES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ["kinds", "huffman", "scaled", "codes"])
def test_flipped_bits_and_truncations_are_refused(name):
    reader = decant_reader()
    data = (PACKFILES / f"{name}.decant").read_bytes()
    for offset in range(0, len(data), 97 if name == "huffman" else 7):
        damaged = bytearray(data)
        damaged[offset] ^= 1 << offset % 8
        with pytest.raises(reader.DecantError):
            reader.File(bytes(damaged)).check()
    for count in range(0, len(data), 97 if name == "huffman" else 1):
        with pytest.raises(reader.DecantError):
            reader.File(data[:count])


@pytest.mark.parametrize("kind,dtype", [("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)])
def test_converted_weights_round_as_in_torch(tmp_path, kind, dtype):
    reader = decant_reader()
    path = tmp_path / "model.decant"
    run("convert", FIXTURES / "mini-sd", "-o", path, "--type", kind)
    plain = 0
    with reader.open(path) as model:
        for component, weights in WEIGHTS.items():
            source = load_file(FIXTURES / "mini-sd" / weights)
            assert set(model.names(component)) == set(source)
            for name, tensor in source.items():
                narrowed = tensor.to(dtype)
                plain += narrowed.nbytes
                found = model.tensor(component, name)
                assert found.shape == tuple(tensor.shape)
                assert np.array_equal(found, narrowed.float().numpy()), name
    # Smaller than the uncoded numbers, without loss.
    assert path.stat().st_size < plain


def test_float32_weights_are_scales_times_codes(tmp_path):
    reader = decant_reader()
    path = tmp_path / "int8.decant"
    run("quantize", FIXTURES / "mini-sd", "-o", path, "--type", "int8")
    quantized = 0
    with reader.open(path) as model:
        for name, tensor in model.components["unet"].tensors.items():
            if tensor.encoding.kind is None:
                codes, scales = model.parts("unet", name)
                assert codes.dtype == np.int8 and scales.dtype == np.float32 and np.abs(codes).max() <= 127
                weight = (codes.astype(np.float32) * scales).reshape(tensor.shape)
                assert np.array_equal(model.tensor("unet", name), weight), name
                quantized += 1
    assert quantized > 50


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        run("convert", FIXTURES / "mini-sd", "-o", tmp_path / f"{name}.decant")
    assert (tmp_path / "a.decant").read_bytes() == (tmp_path / "b.decant").read_bytes()
