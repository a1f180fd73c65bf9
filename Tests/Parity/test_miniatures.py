"""Compares the trained miniatures with diffusers: components, and 20 steps with their own schedulers."""

import pytest
import torch
from diffusers import DiffusionPipeline

from conftest import FIXTURES
from measures import COMPONENT, relative_rms
from test_families import check_components, compare_images
from test_forward import forward

SIDES = {"mini-sd": 64, "mini-sdxl": 128}
PROMPT = "a red circle next to a blue star on a white background"


@pytest.fixture(scope="module", params=SIDES)
def miniature(request):
    """Returns (pipeline, folder, side of the images in pixels)."""
    folder = FIXTURES / request.param
    pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, folder, SIDES[request.param]


@torch.no_grad()
def test_components(miniature, tmp_path):
    pipeline, folder, side = miniature
    check_components(pipeline, folder, tmp_path, latents=(side // 8, side // 8))


@torch.no_grad()
def test_vae(miniature, tmp_path):
    pipeline, folder, side = miniature
    torch.manual_seed(7)
    latent = torch.randn(1, 4, side // 8, side // 8) / pipeline.vae.config.scaling_factor
    found = forward(folder, "vae-decoder", dict(latent=latent), tmp_path)
    assert relative_rms(found["image"], pipeline.vae.decode(latent).sample) <= COMPONENT
    image = torch.rand(1, 3, side, side) * 2 - 1
    found = forward(folder, "vae-encoder", dict(image=image), tmp_path)
    posterior = pipeline.vae.encode(image).latent_dist
    assert relative_rms(found["mean"], posterior.mean) <= COMPONENT
    assert relative_rms(found["logvar"], posterior.logvar) <= COMPONENT


def test_twenty_steps(miniature, tmp_path):
    pipeline, folder, _ = miniature
    compare_images(pipeline, folder, tmp_path, ["--guidance-scale", 4], prompt=PROMPT, steps=20, guidance_scale=4.0)


def test_negative_prompt(miniature, tmp_path):
    pipeline, folder, _ = miniature
    compare_images(
        pipeline, folder, tmp_path, ["--guidance-scale", 4, "-n", "a green heart"], prompt=PROMPT,
        steps=20, guidance_scale=4.0, negative_prompt="a green heart")


def test_crop_and_original_size(miniature, tmp_path):
    pipeline, folder, side = miniature
    if pipeline.unet.config.addition_embed_type is None:
        pytest.skip("no size conditioning")
    compare_images(
        pipeline, folder, tmp_path,
        ["--guidance-scale", 4, "--original-size", "64x64", "--crop", "32,0"], prompt=PROMPT, steps=20,
        guidance_scale=4.0, original_size=(64, 64), crops_coords_top_left=(0, 32), target_size=(side, side))
