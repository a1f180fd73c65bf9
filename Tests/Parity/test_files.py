"""Files of decant, loaded by diffusers, transformers and safetensors."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.numpy import load_file

from conftest import FIXTURES, TOP, facts, run
from random_models import FAMILIES, make_family

WEIGHTS = {
    "unet": "unet/diffusion_pytorch_model.safetensors",
    "vae": "vae/diffusion_pytorch_model.safetensors",
    "text_encoder": "text_encoder/model.safetensors",
}


def decant_reader():
    spec = importlib.util.spec_from_file_location("decant_reader", TOP / "Formats" / "decant.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def same_tensors(a, b):
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype and np.array_equal(tensor, b[name]), name


@pytest.mark.parametrize("name", ["sd1", "bk-small", "linear-heads-by-level"])
def test_folder_to_packfile_to_folder_keeps_every_bit(pipelines, tmp_path, name):
    _, folder = pipelines[name]
    run("convert", folder, "-o", tmp_path / "model.decant")
    run("convert", tmp_path / "model.decant", "-o", tmp_path / "back")
    run("inspect", tmp_path / "model.decant", "--check")
    StableDiffusionPipeline.from_pretrained(tmp_path / "back")
    for path in WEIGHTS.values():
        before, after = load_file(folder / path), load_file(tmp_path / "back" / path)
        if path.startswith("text_encoder"):  # transformers 5 omits the prefix that version 4 needs
            before = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in before.items()}
        same_tensors(before, after)


@pytest.mark.parametrize("kind,dtype", [("f16", torch.float16), ("bf16", torch.bfloat16)])
def test_narrowed_folder_rounds_as_torch_does(pipelines, tmp_path, kind, dtype):
    pipeline, folder = pipelines["sd1"]
    run("convert", folder, "-o", tmp_path / "out", "--type", kind)
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "out", dtype=dtype)
    expected = pipeline.unet.state_dict()
    found = loaded.unet.state_dict()
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(found[key], tensor.to(dtype)), key


def test_python_reader_agrees_bit_for_bit(tmp_path):
    reader = decant_reader()
    run("quantize", FIXTURES / "mini-sd", "-o", tmp_path / "int8.decant", "--type", "int8")
    run("convert", tmp_path / "int8.decant", "-o", tmp_path / "folder", "--type", "f32")
    with reader.open(tmp_path / "int8.decant") as model:
        model.check()
        for component, path in WEIGHTS.items():
            widened = load_file(tmp_path / "folder" / path)
            assert set(model.names(component)) == set(widened)
            for name, expected in widened.items():
                assert np.array_equal(model.tensor(component, name).astype(np.float32), expected), name


def test_quantized_folder_gives_the_same_numbers_in_diffusers(pipelines, tmp_path):
    """int8 weights widened to a float32 folder give the same results in diffusers and decant."""
    from safetensors.torch import load_file as load_torch, save_file

    from measures import COMPONENT, relative_rms

    _, folder = pipelines["sd1"]
    run("quantize", folder, "-o", tmp_path / "int8.decant", "--type", "int8")
    run("convert", tmp_path / "int8.decant", "-o", tmp_path / "wide", "--type", "f32")
    loaded = StableDiffusionPipeline.from_pretrained(tmp_path / "wide")
    torch.manual_seed(3)
    inputs = dict(sample=torch.randn(1, 4, 8, 8), timestep=torch.tensor(321),
                  encoder_hidden_states=torch.randn(1, 77, 32))
    save_file(inputs, tmp_path / "in.safetensors")
    run("forward", tmp_path / "int8.decant", "--component", "unet", "--inputs",
        tmp_path / "in.safetensors", "-o", tmp_path / "out.safetensors")
    with torch.no_grad():
        expected = loaded.unet(**inputs).sample
    assert relative_rms(load_torch(tmp_path / "out.safetensors")["sample"], expected) <= COMPONENT


def test_inspect_counts_what_diffusers_counts(pipelines):
    pipeline, folder = pipelines["uneven-layers"]
    components = {c["name"]: c for c in facts("inspect", folder)["components"]}
    for name in ("unet", "vae", "text_encoder"):
        expected = sum(p.numel() for p in getattr(pipeline, name).parameters())
        assert components[name]["parameters"] == expected


@pytest.mark.parametrize("options", [[], ["--output-variant", "fp16", "--max-shard-size", "50KB"]], ids=["plain", "shards"])
@pytest.mark.parametrize("name", FAMILIES)
def test_folders_of_every_family(tmp_path, name, options):
    """The index keeps its pipeline's own members, and diffusers loads a bit-identical copy."""
    pipeline = make_family(name)
    pipeline.save_pretrained(tmp_path / "in")
    run("convert", tmp_path / "in", "-o", tmp_path / "out", *options)
    before, after = (json.loads((tmp_path / place / "model_index.json").read_text()) for place in ("in", "out"))
    assert before.keys() == after.keys()
    assert {k: v for k, v in before.items() if v != after[k]} in ({}, {"requires_safety_checker": True})
    loaded = type(pipeline).from_pretrained(tmp_path / "out", variant="fp16" if options else None)
    for component in ("unet", "vae", "text_encoder", "text_encoder_2"):
        module = getattr(pipeline, component, None)
        if module is None:
            continue
        expected, found = module.state_dict(), getattr(loaded, component).state_dict()
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            assert torch.equal(tensor, found[key]), key
