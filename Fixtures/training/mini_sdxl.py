"""mini-sdxl: Stable Diffusion XL, scaled down.

Two CLIP text encoders, the second with a projection, of which the U-Net reads the penultimate
layers. A U-Net of SDXL's topology (three levels, the first without attention, transformer depths
0, 2 and 10), conditioned on original size and crop. Pictures of 128 x 128 pixels.
"""

import torch
from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from miniature import BETAS, EOS, Miniature, clip_config, make_vae
from shapes import Framing, describe_triples

SIDE = 128
SCALING_FACTOR = 0.13025
WIDTH = 32  # of each text encoder
TIME_WIDTH = 32  # of the embedding of each of the six numbers of size and crop
LARGEST_CROP = 40
PADDING = "!"  # of SDXL's second tokenizer; its token 0


def make_networks(tokenizer):
    common = {"num_attention_heads": 2, "projection_dim": WIDTH}
    first = clip_config(tokenizer, WIDTH, 4, hidden_act="quick_gelu", **common)
    second = clip_config(tokenizer, WIDTH, 5, hidden_act="gelu", **common)
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(1, 2, 4),
        cross_attention_dim=2 * WIDTH,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_WIDTH,
        projection_class_embeddings_input_dim=WIDTH + 6 * TIME_WIDTH,
        norm_num_groups=8,
    )
    return {
        "text_encoder": CLIPTextModel(first),
        "text_encoder_2": CLIPTextModelWithProjection(second),
        "unet": unet,
    }


def encode(networks, ids, time_ids, empty, dropped):
    """The U-Net's conditioning.

    A dropped caption becomes zeros, as in SDXL's pipeline (`force_zeros_for_empty_prompt`). Every
    third one becomes the empty text instead, which an empty negative prompt is encoded as.
    """
    spoken = torch.rand(len(ids), device=ids.device) < 1 / 3
    ids = torch.where((dropped & spoken)[:, None], empty, ids)
    first = networks["text_encoder"](ids, output_hidden_states=True)
    # The second tokenizer fills up with token 0 after the end of the text.
    end = (ids == empty[-1]).long()
    ids = ids.masked_fill(end.cumsum(1) > end, 0)
    second = networks["text_encoder_2"](ids, output_hidden_states=True)
    kept = (~(dropped & ~spoken)).float()[:, None]
    states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
    return {
        "encoder_hidden_states": states * kept[..., None],
        "added_cond_kwargs": {"text_embeds": second.text_embeds * kept, "time_ids": time_ids},
    }


def frame(rng):
    """Most pictures are whole and sharp; others are cut, or scaled up from a smaller one."""
    draw = rng.random()
    if draw < 0.25:
        top = rng.choice([0, rng.randint(1, LARGEST_CROP)])
        left = rng.choice([0, rng.randint(1, LARGEST_CROP)])
        return Framing(original=SIDE, top=top, left=left)
    if draw < 0.4:
        return Framing(original=rng.randint(24, SIDE - 1))
    return Framing(original=SIDE)


def make_scheduler():
    return EulerDiscreteScheduler(**BETAS, steps_offset=1, timestep_spacing="leading")


MINIATURE = Miniature(
    name="mini-sdxl",
    side=SIDE,
    scaling_factor=SCALING_FACTOR,
    describe=describe_triples,
    frame=frame,
    make_vae=lambda: make_vae(SIDE, SCALING_FACTOR),
    make_networks=make_networks,
    encode=encode,
    make_scheduler=make_scheduler,
    pipeline="StableDiffusionXLPipeline",
    index={
        "feature_extractor": [None, None],
        "force_zeros_for_empty_prompt": True,
        "image_encoder": [None, None],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    },
    paddings={"tokenizer": EOS, "tokenizer_2": PADDING},
    steps=25,
    guidance_scale=1.5,
)
