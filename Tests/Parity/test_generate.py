"""Compares `decant generate` with diffusers' pipelines: latents after the last step, and images."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
)
from PIL import Image
from safetensors.torch import load_file, save_file

from conftest import run
from measures import LATENTS, PIXELS, relative_rms, share_within_one_level

SCHEDULERS = {
    "pndm": (PNDMScheduler, {}),
    "ddim": (DDIMScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler-a": (EulerAncestralDiscreteScheduler, {}),
    "dpm++2m": (DPMSolverMultistepScheduler, {}),
    "dpm++2m-karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
}
PROMPT = "a red circle next to a Blue star, on a white background"
NEGATIVE = "a green heart"


def generate(folder, work, *options, count=1):
    latents = work / "latents.safetensors"
    run("generate", folder, "-p", PROMPT, "--save-latents", latents, "-o", work / "out.png",
        "--count", count, "--force", *options)
    names = ["out.png"] if count == 1 else [f"out-{i + 1}.png" for i in range(count)]
    return load_file(latents)["latents"], [np.asarray(Image.open(work / n).convert("RGB")) for n in names]


def compare(pipeline, folder, scheduler, found, pictures, **options):
    # From the file, as decant reads it. A scheduler in memory also records which members were defaults.
    kind, changes = SCHEDULERS[scheduler]
    pipeline.scheduler = kind.from_pretrained(folder, subfolder="scheduler", **changes)
    pipeline.set_progress_bar_config(disable=True)
    options["generator"] = torch.Generator("cpu").manual_seed(options.pop("seed"))
    expected = pipeline(PROMPT, output_type="latent", **options).images
    assert relative_rms(found, expected) <= LATENTS
    decoded = pipeline.vae.decode(expected / pipeline.vae.config.scaling_factor).sample
    images = pipeline.image_processor.postprocess(decoded.detach(), output_type="np")
    for picture, image in zip(pictures, images, strict=True):
        assert share_within_one_level(picture, np.round(image * 255)) >= PIXELS


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@torch.no_grad()
def test_schedulers(pipelines, tmp_path, scheduler):
    pipeline, folder = pipelines["sd1"]
    found, pictures = generate(
        folder, tmp_path, "-n", NEGATIVE, "--steps", 20, "--guidance-scale", 7.5, "--seed", 42,
        "--scheduler", scheduler, "-W", 64, "-H", 64)
    compare(pipeline, folder, scheduler, found, pictures, negative_prompt=NEGATIVE,
            num_inference_steps=20, guidance_scale=7.5, seed=42, width=64, height=64)


@pytest.mark.parametrize("name", ["uneven-layers", "bk-small", "linear-heads-by-level", "plain-mid"])
@torch.no_grad()
def test_shapes_and_several_pictures(pipelines, tmp_path, name):
    pipeline, folder = pipelines[name]
    found, pictures = generate(
        folder, tmp_path, "--steps", 4, "--guidance-scale", 3, "--seed", 1234567890123,
        "--scheduler", "ddim", "-W", 128, "-H", 64, count=3)
    compare(pipeline, folder, "ddim", found, pictures, num_inference_steps=4, guidance_scale=3.0,
            seed=1234567890123, width=128, height=64, num_images_per_prompt=3)


@torch.no_grad()
def test_without_guidance(pipelines, tmp_path):
    pipeline, folder = pipelines["bk-tiny"]
    found, pictures = generate(folder, tmp_path, "--steps", 3, "--guidance-scale", 1, "--seed", 0,
                               "--scheduler", "euler", "-W", 64, "-H", 64)
    compare(pipeline, folder, "euler", found, pictures, num_inference_steps=3, guidance_scale=1.0, seed=0,
            width=64, height=64)


@torch.no_grad()
def test_given_latents(pipelines, tmp_path):
    pipeline, folder = pipelines["sd1"]
    torch.manual_seed(11)
    start = torch.randn(1, 4, 8, 8)
    save_file({"latents": start}, tmp_path / "start.safetensors")
    found, pictures = generate(
        folder, tmp_path, "--steps", 5, "--guidance-scale", 2, "--scheduler", "euler",
        "--latents", tmp_path / "start.safetensors", "-W", 64, "-H", 64)
    compare(pipeline, folder, "euler", found, pictures, num_inference_steps=5, guidance_scale=2.0, seed=0,
            width=64, height=64, latents=start.clone())
