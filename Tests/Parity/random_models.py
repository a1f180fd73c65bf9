"""Random pipelines of every family and of many other shapes, small enough to run in a second."""

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from conftest import FIXTURES

CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
UP = {CROSS: "CrossAttnUpBlock2D", PLAIN: "UpBlock2D"}

# Differences from the topology of SD 1: widths, depths, head counts, block types, the mid block.
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
    """Moves norms away from 1 and biases away from 0, so that a test detects a missing one."""
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


# Differences of the families: (of the U-Net, of the pipeline).
LINEAR = dict(use_linear_projection=True, attention_head_dim=[1, 2, 4, 4])
SD = dict(channels=(16, 32, 64, 64), down=(CROSS, CROSS, CROSS, PLAIN))
XL = dict(
    channels=(16, 32, 64),
    down=(PLAIN, CROSS, CROSS),
    attention_head_dim=[1, 2, 4],
    use_linear_projection=True,
    transformer_layers_per_block=[1, 2, 3],
    addition_embed_type="text_time",
    addition_time_embed_dim=8,
    projection_class_embeddings_input_dim=40 + 6 * 8,
)
TRAILING = dict(timestep_spacing="trailing")
FAMILIES = {
    "sd-v1": (SD, {}),
    "sd-v1-inpainting": (SD | dict(in_channels=9), dict(pipeline=StableDiffusionInpaintPipeline)),
    "lcm": (
        SD | dict(time_cond_proj_dim=32),
        dict(pipeline=LatentConsistencyModelPipeline, scheduler=LCMScheduler),
    ),
    "sd-v2-base": (SD | LINEAR, dict(open_clip=True)),
    "sd-v2-v": (
        SD | LINEAR,
        dict(open_clip=True, scheduler=DDIMScheduler, options=dict(prediction_type="v_prediction")),
    ),
    "sd-turbo": (SD | LINEAR, dict(open_clip=True, scheduler=EulerDiscreteScheduler, options=TRAILING)),
    # With the published depths, because the recipes apply to these.
    "sdxl": (
        XL | dict(transformer_layers_per_block=[1, 2, 10]), dict(scheduler=EulerDiscreteScheduler)
    ),
    "sdxl-turbo": (XL, dict(scheduler=EulerAncestralDiscreteScheduler, options=TRAILING)),
    "ssd-1b": (
        XL
        | dict(
            mid_block_type="UNetMidBlock2D",
            transformer_layers_per_block=[[1], [2, 2], [2, 2]],
            reverse_transformer_layers_per_block=[[2, 2, 3], [2, 1, 1], 1],
        ),
        dict(scheduler=EulerDiscreteScheduler),
    ),
    "vega": (
        XL | dict(mid_block_type="UNetMidBlock2D", transformer_layers_per_block=[1, 1, 2]),
        dict(scheduler=EulerDiscreteScheduler),
    ),
    "koala-700m": (
        XL | dict(layers_per_block=1, mid_block_type=None, transformer_layers_per_block=[0, 2, 3]),
        dict(scheduler=EulerDiscreteScheduler),
    ),
    "koala-1b": (
        XL | dict(layers_per_block=1, transformer_layers_per_block=[0, 2, 3]),
        dict(scheduler=EulerDiscreteScheduler),
    ),
    "lcm-sdxl": (XL | dict(time_cond_proj_dim=32), dict(scheduler=LCMScheduler)),
    "refiner": (
        XL
        | dict(
            channels=(16, 32, 64, 64),
            down=(PLAIN, CROSS, CROSS, PLAIN),
            attention_head_dim=[1, 2, 4, 4],
            transformer_layers_per_block=2,
            projection_class_embeddings_input_dim=40 + 5 * 8,
        ),
        dict(scheduler=EulerDiscreteScheduler, pipeline=StableDiffusionXLImg2ImgPipeline),
    ),
}


def make_text(width, seed, act, vocabulary, cls=CLIPTextModel, **options):
    return perturb(
        cls(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=3,
                num_attention_heads=4,
                hidden_act=act,
                eos_token_id=2,
                bos_token_id=0,
                pad_token_id=1,
                **options,
            )
        )
    )


def make_tokenizer(padding):
    tokenizer = CLIPTokenizer.from_pretrained(FIXTURES / "mini-sd" / "tokenizer")
    if padding:
        tokenizer.pad_token = padding
    return tokenizer


def make_vae():
    return perturb(
        AutoencoderKL(
            block_out_channels=(8, 16, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=4,
            sample_size=64,
        )
    )


def make_family(name, seed=0):
    """Returns a random pipeline of a family of FAMILIES."""
    torch.manual_seed(seed)
    shape, extra = FAMILIES[name]
    shape = dict(shape)
    channels, down = shape.pop("channels"), shape.pop("down")
    is_xl = "addition_embed_type" in shape
    is_refiner = name == "refiner"
    tokenizer = make_tokenizer("!" if extra.get("open_clip") else None)
    vocabulary = len(tokenizer)
    scheduler = extra.get("scheduler", PNDMScheduler)
    common = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    if scheduler is not LCMScheduler:
        common |= dict(steps_offset=1)
    if scheduler is PNDMScheduler:
        common |= dict(skip_prk_steps=True, set_alpha_to_one=False)
    if scheduler is DDIMScheduler:
        common |= dict(clip_sample=False, set_alpha_to_one=False)
    if is_xl and scheduler is EulerDiscreteScheduler:
        common |= dict(timestep_spacing="leading")
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=channels,
        down_block_types=down,
        up_block_types=tuple(UP[kind] for kind in reversed(down)),
        cross_attention_dim=(48 if is_refiner else 32 + 48) if is_xl else 32,
        norm_num_groups=8,
        **(dict(attention_head_dim=4, layers_per_block=2) | shape),
    )
    parts = dict(
        vae=make_vae(),
        unet=perturb(unet),
        scheduler=scheduler(**common | extra.get("options", {})),
    )
    second = dict(
        text_encoder_2=make_text(
            48, seed, "gelu", vocabulary, CLIPTextModelWithProjection, projection_dim=40
        ),
        tokenizer_2=make_tokenizer("!"),
    ) if is_xl else {}
    act = "gelu" if extra.get("open_clip") else "quick_gelu"
    first = dict(text_encoder=make_text(32, seed, act, vocabulary), tokenizer=tokenizer)
    if is_refiner:
        return StableDiffusionXLImg2ImgPipeline(
            **parts, **second, text_encoder=None, tokenizer=None,
            requires_aesthetics_score=True, force_zeros_for_empty_prompt=False,
        )
    if is_xl:
        return extra.get("pipeline", StableDiffusionXLPipeline)(**parts, **first, **second)
    return extra.get("pipeline", StableDiffusionPipeline)(
        **parts, **first, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
