"""Random Stable Diffusion 1 pipelines of many shapes, small enough to run in a second."""

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from conftest import FIXTURES

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
UP = {CROSS: "CrossAttnUpBlock2D", PLAIN: "UpBlock2D"}

# What differs from the topology of SD 1: widths, depths, head counts, block types, the mid block.
SHAPES = {
    "sd1": dict(channels=(16, 32, 48, 48), down=(CROSS, CROSS, CROSS, PLAIN)),
    "uneven-layers": dict(
        channels=(16, 24, 32, 32), down=(CROSS, CROSS, CROSS, PLAIN), layers_per_block=[1, 3, 2, 1]
    ),
    "bk-small": dict(
        channels=(16, 32, 32, 32),
        down=(CROSS, CROSS, CROSS, PLAIN),
        layers_per_block=1,
        mid_block_type=None,
    ),
    "bk-tiny": dict(
        channels=(24, 48, 48), down=(CROSS,) * 3, layers_per_block=1, mid_block_type=None
    ),
    "linear-heads-by-level": dict(
        channels=(16, 32, 64),
        down=(CROSS, CROSS, PLAIN),
        attention_head_dim=[1, 2, 8],
        use_linear_projection=True,
        upcast_attention=True,
    ),
    "deep-transformers": dict(
        channels=(16, 32), down=(PLAIN, CROSS), transformer_layers_per_block=[1, 3]
    ),
    "plain-mid": dict(
        channels=(16, 32, 32), down=(CROSS, PLAIN, CROSS), mid_block_type="UNetMidBlock2D"
    ),
}


def perturb(module):
    """Moves norms off one and biases off zero, so that one that is dropped is seen."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def make_unet(name, width=32):
    shape = dict(SHAPES[name])
    channels, down = shape.pop("channels"), shape.pop("down")
    options = dict(attention_head_dim=4, layers_per_block=2, norm_num_groups=8) | shape
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=channels,
        down_block_types=down,
        up_block_types=tuple(UP[kind] for kind in reversed(down)),
        cross_attention_dim=width,
        **options,
    )
    return perturb(unet)


def make_pipeline(name, seed):
    torch.manual_seed(seed)
    tokenizer = CLIPTokenizer.from_pretrained(FIXTURES / "mini-sd" / "tokenizer")
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2 + seed % 2,
            num_attention_heads=2 + 2 * (seed % 2),
            hidden_act="quick_gelu" if seed % 2 == 0 else "gelu",
            projection_dim=32,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1 + seed % 2,
        norm_num_groups=4,
        sample_size=64,
    )
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        steps_offset=1,
        set_alpha_to_one=False,
    )
    return StableDiffusionPipeline(
        vae=perturb(vae),
        text_encoder=perturb(text),
        tokenizer=tokenizer,
        unet=make_unet(name),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
