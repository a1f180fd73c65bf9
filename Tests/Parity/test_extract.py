"""Components that `decant extract` writes, as diffusers and transformers have them."""

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from conftest import FIXTURES, run


def extract(model, part, work):
    path = work / f"{part}.safetensors"
    run("extract", FIXTURES / model, "--component", part, "-o", path, "--quiet")
    return path


@pytest.mark.parametrize("part, component", [("clip-l", "text_encoder"), ("clip-g", "text_encoder_2")])
def test_text_encoders_have_transformers_names(tmp_path, part, component):
    found = load_file(extract("mini-sdxl", part, tmp_path))
    expected = load_file(FIXTURES / "mini-sdxl" / component / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


def test_diffusers_loads_the_vae(tmp_path):
    path = extract("mini-sd", "vae", tmp_path)
    found = AutoencoderKL.from_single_file(path, config=str(FIXTURES / "mini-sd"), subfolder="vae").state_dict()
    expected = AutoencoderKL.from_pretrained(FIXTURES / "mini-sd" / "vae").state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
