"""Compares `decant forward` with diffusers and transformers, component by component, in float32 on the CPU."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import run
from measures import COMPONENT, relative_rms
from random_models import SHAPES

NAMES = list(SHAPES)


def forward(folder, component, inputs, work):
    save_file({k: v.contiguous() for k, v in inputs.items()}, work / "in.safetensors")
    run("forward", folder, "--component", component, "--inputs", work / "in.safetensors",
        "-o", work / "out.safetensors", "--force")
    return load_file(work / "out.safetensors")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(8, 8), (16, 8), (12, 20)])
@torch.no_grad()
def test_unet(pipelines, tmp_path, name, size):
    pipeline, folder = pipelines[name]
    torch.manual_seed(5)
    inputs = dict(
        sample=torch.randn(2, 4, *size),
        timestep=torch.tensor([981, 21]),
        encoder_hidden_states=torch.randn(2, 77, 32),
    )
    found = forward(folder, "unet", inputs, tmp_path)
    expected = pipeline.unet(**inputs).sample
    assert relative_rms(found["sample"], expected) <= COMPONENT


@pytest.mark.parametrize("name", NAMES[:2])
@torch.no_grad()
def test_unet_takes_one_timestep_for_all(pipelines, tmp_path, name):
    pipeline, folder = pipelines[name]
    torch.manual_seed(6)
    inputs = dict(
        sample=torch.randn(3, 4, 8, 8),
        timestep=torch.tensor(501),
        encoder_hidden_states=torch.randn(3, 77, 32),
    )
    found = forward(folder, "unet", inputs, tmp_path)
    assert relative_rms(found["sample"], pipeline.unet(**inputs).sample) <= COMPONENT


@pytest.mark.parametrize("name", NAMES[:4])
@torch.no_grad()
def test_vae(pipelines, tmp_path, name):
    pipeline, folder = pipelines[name]
    torch.manual_seed(7)
    latent = torch.randn(2, 4, 8, 6)
    found = forward(folder, "vae-decoder", dict(latent=latent), tmp_path)
    assert relative_rms(found["image"], pipeline.vae.decode(latent).sample) <= COMPONENT
    image = torch.rand(2, 3, 64, 48) * 2 - 1
    found = forward(folder, "vae-encoder", dict(image=image), tmp_path)
    posterior = pipeline.vae.encode(image).latent_dist
    assert relative_rms(found["mean"], posterior.mean) <= COMPONENT
    assert relative_rms(found["logvar"], posterior.logvar) <= COMPONENT


@pytest.mark.parametrize("name", NAMES[:4])
@torch.no_grad()
def test_text_encoder(pipelines, tmp_path, name):
    pipeline, folder = pipelines[name]
    ids = pipeline.tokenizer(
        ["a red circle on a blue background", ""], padding="max_length", max_length=77,
        truncation=True, return_tensors="pt",
    ).input_ids
    found = forward(folder, "text-encoder", dict(input_ids=ids), tmp_path)
    expected = pipeline.text_encoder(ids, output_hidden_states=True)
    assert relative_rms(found["last_hidden_state"], expected.last_hidden_state) <= COMPONENT
    assert relative_rms(found["pooler_output"], expected.pooler_output) <= COMPONENT
    for k, hidden in enumerate(expected.hidden_states):
        assert relative_rms(found[f"hidden_states.{k}"], hidden) <= COMPONENT, k
