"""mini-sd: Stable Diffusion 1, scaled down.

A CLIP text encoder of 3 layers and a U-Net of the SD 1.x topology (four levels, cross attention
in three), for pictures of 64 x 64 pixels.
"""

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from miniature import BETAS, EOS, Miniature, clip_config, make_vae
from shapes import Framing, describe_pairs

SIDE = 64
WIDTH = 64  # of the text encoder
# Single-file checkpoints of SD 1 carry no scaling factor; every reader takes this one for granted.
SCALING_FACTOR = 0.18215


def make_networks(tokenizer):
    text = clip_config(
        tokenizer, WIDTH, 3, num_attention_heads=4, hidden_act="quick_gelu", projection_dim=WIDTH
    )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 96, 96),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    return {"text_encoder": CLIPTextModel(text), "unet": unet}


def encode(networks, ids, time_ids, empty, dropped):
    """The U-Net's conditioning. A dropped caption becomes the empty text."""
    ids = torch.where(dropped[:, None], empty, ids)
    return {"encoder_hidden_states": networks["text_encoder"](ids).last_hidden_state}


def make_scheduler():
    """DDIM as it goes with SD 1.

    Not PNDM, which many SD 1 folders name: where a caption settles every colour, as here, guidance
    is stiff at high noise, and a multi-step method blows up below 50 steps.
    """
    return DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1)


MINIATURE = Miniature(
    name="mini-sd",
    side=SIDE,
    scaling_factor=SCALING_FACTOR,
    describe=describe_pairs,
    frame=lambda rng: Framing(original=SIDE),
    make_vae=lambda: make_vae(SIDE, SCALING_FACTOR),
    make_networks=make_networks,
    encode=encode,
    make_scheduler=make_scheduler,
    pipeline="StableDiffusionPipeline",
    index={
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    },
    paddings={"tokenizer": EOS},
    steps=25,
    guidance_scale=4.0,
)
