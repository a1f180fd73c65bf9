"""Stripped models load in unmodified diffusers and give the same numbers as in decant."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from conftest import FIXTURES, run
from measures import COMPONENT, relative_rms

CUTS = {
    "bk-sdm-base": ["--recipe", "bk-sdm-base"],
    "bk-sdm-small": ["--recipe", "bk-sdm-small"],
    "bk-sdm-tiny": ["--recipe", "bk-sdm-tiny"],
    "a pair": ["--drop", "down_blocks.1.resnets.1"],
    "an attention": ["--drop", "up_blocks.2.attentions.1"],
    "the mid block": ["--drop", "mid_block"],
    "transformer block": ["--drop", "down_blocks.0.attentions.0.transformer_blocks.0"],
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("model", ["sd1", "mini-sd"])
def test_stripped_model_is_the_same_in_diffusers(pipelines, tmp_path, model, cut):
    folder = FIXTURES / "mini-sd" if model == "mini-sd" else pipelines[model][1]
    run("strip", folder, "-o", tmp_path / "cut", *CUTS[cut])
    check(tmp_path)


@pytest.mark.parametrize("limit", [["--max-error", "3%"], ["--to-size", "60%"]])
@pytest.mark.parametrize("model", ["mini-sd", "mini-sdxl"])
def test_measured_selection_is_the_same_in_diffusers(tmp_path, model, limit):
    run("calibrate", FIXTURES / model, "-o", tmp_path / "c", "--effort", "quick")
    run("strip", FIXTURES / model, "-o", tmp_path / "cut", "--calibration", tmp_path / "c", *limit)
    check(tmp_path)


@torch.no_grad()
def check(tmp_path):
    """The U-Net of the folder `cut` loads in diffusers and gives the same numbers as in decant."""
    unet, report = UNet2DConditionModel.from_pretrained(
        tmp_path / "cut", subfolder="unet", output_loading_info=True, dtype=torch.float32)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], kind
    torch.manual_seed(9)
    width = unet.config.cross_attention_dim
    inputs = dict(sample=torch.randn(1, 4, 8, 8), timestep=torch.tensor(401),
                  encoder_hidden_states=torch.randn(1, 77, width))
    added = {}
    if unet.config.addition_embed_type == "text_time":
        identifiers = 6 * unet.config.addition_time_embed_dim
        pooled = unet.config.projection_class_embeddings_input_dim - identifiers
        added = dict(text_embeds=torch.randn(1, pooled), time_ids=torch.rand(1, 6) * 64)
    inputs |= added
    save_file(inputs, tmp_path / "in.safetensors")
    run("forward", tmp_path / "cut", "--component", "unet", "--inputs", tmp_path / "in.safetensors",
        "-o", tmp_path / "out.safetensors")
    found = load_file(tmp_path / "out.safetensors")["sample"]
    expected = unet(inputs["sample"], inputs["timestep"], inputs["encoder_hidden_states"],
                    added_cond_kwargs=added or None).sample
    assert relative_rms(found, expected) <= COMPONENT
