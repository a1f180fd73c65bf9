"""Writes images and latents of diffusers for tiny models of every kind of pipeline, for SamplingTests.

    python make_families.py            (torch 2.13, diffusers 0.42.1, transformers 5.23)

families.json      configs, what was asked, and the latents after the last step, in float32 on the CPU
pictures.json      PNG files of many kinds and what PIL reads in them; pictures resized by PIL

The weights are in no file: each tensor is drawn by torch from a seed of its own, as FamilyTests
draws it again. The pictures and masks that runs begin with are formulas.
"""
import io, os, struct, warnings, zlib

warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = os.environ["DIFFUSERS_VERBOSITY"] = "error"
import numpy as np, torch
import diffusers
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from make_sampling import HERE, SD1, bits, save

torch.set_num_threads(1)
CROSS, PLAIN = "CrossAttnDownBlock2D", "DownBlock2D"
BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
XL = dict(
    down_block_types=(PLAIN, CROSS), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=[2, 4],
    transformer_layers_per_block=[1, 2], use_linear_projection=True, addition_embed_type="text_time",
    addition_time_embed_dim=4, projection_class_embeddings_input_dim=16 + 6 * 4, cross_attention_dim=24 + 32)
REFINER = XL | dict(projection_class_embeddings_input_dim=16 + 5 * 4, cross_attention_dim=32)
SD2 = dict(attention_head_dim=[1, 2], use_linear_projection=True)


def draw(module, seed, prefix=""):
    """Fills a component with its tensors, in the order of Decant's names."""
    named = {(name if name.startswith(("text_model.", "text_projection")) else prefix + name): p for name, p in module.named_parameters()}
    with torch.no_grad():
        for index, name in enumerate(sorted(named)):
            tensor = named[name]
            noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1000 * seed + index))
            if tensor.ndim == 1:
                noise = 0.1 * noise + (1 if name.endswith("weight") else 0)
            elif "embedding.weight" not in name:
                noise = noise / (tensor.numel() / tensor.shape[0]) ** 0.5
            tensor.copy_(noise)
    return module.eval()


def tokenizer(padding=None):
    made = CLIPTokenizer.from_pretrained(os.path.join(HERE, "pipeline", "tokenizer"))
    if padding:
        made.pad_token = padding
    return made


def text(seed, width, act, **options):
    cls = CLIPTextModelWithProjection if options else CLIPTextModel
    words = tokenizer()
    return draw(cls(CLIPTextConfig(
        vocab_size=len(words), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=77, hidden_act=act, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, **options)),
        seed, "text_model.")


def picture(width, height):
    y, x, c = np.mgrid[:height, :width, :3]
    return Image.fromarray(((3 * x * x + 5 * (c + 1) * y + x * y) % 256).astype(np.uint8))


def mask(width, height):
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.where((16 <= x) & (x < 40) & (8 <= y) & (y < 51), 255, 0).astype(np.uint8))


def described(config):
    """Returns the config as JSON. A text encoder's has only the constructor's arguments, not transformers' defaults."""
    if not isinstance(config, CLIPTextConfig):
        return dict(config)
    names = [
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings",
        "hidden_act", "layer_norm_eps", "projection_dim", "bos_token_id", "eos_token_id"]
    return {name: getattr(config, name) for name in names}


cases = []


def case(name, pipeline, scheduler, unet={}, steps=4, image=None, mask_of=None, **ask):
    is_xl, is_refiner = "addition_embed_type" in unet, unet is REFINER
    is_2 = unet is SD2
    parts = dict(
        unet=draw(UNet2DConditionModel(**dict(
            sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=4, cross_attention_dim=24,
            down_block_types=(CROSS, PLAIN), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D")) | unet), 1),
        vae=draw(AutoencoderKL(
            block_out_channels=(4, 4, 8, 8), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=64,
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4), 2))
    if not is_refiner:
        parts["text_encoder"] = text(3, 24, "gelu" if is_2 else "quick_gelu")
    if is_xl:
        parts["text_encoder_2"] = text(4, 32, "gelu", projection_dim=16)
    paddings = {key.replace("text_encoder", "tokenizer"): "!" if is_2 or key.endswith("2") else None for key in parts if key.startswith("text")}
    words = {key: tokenizer(padding) for key, padding in paddings.items()}
    none = dict(text_encoder=None, tokenizer=None) if is_refiner else {}
    extra = dict(requires_aesthetics_score=is_refiner, force_zeros_for_empty_prompt=not is_refiner) if is_xl else dict(
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    if pipeline == "StableDiffusionXLPipeline":
        extra.pop("requires_aesthetics_score")
    cls, options = scheduler
    pipe = getattr(diffusers, pipeline)(**parts, **words, **none, scheduler=getattr(diffusers, cls).from_config(dict(options)), **extra)
    pipe.set_progress_bar_config(disable=True)
    # From the written config. A scheduler in memory also records which members were defaults.
    config = dict(options, _class_name=cls)
    given = dict(ask)
    if image:
        given["image"] = picture(*image)
    if mask_of:
        given |= dict(mask_image=mask(*mask_of), width=image[0], height=image[1])
    if not image:
        given |= dict(width=given.get("width", 64), height=given.get("height", 64))
    latents = pipe(
        "a red cat", num_inference_steps=steps, generator=torch.Generator("cpu").manual_seed(7), output_type="latent", **given).images
    components = {key: {"class": type(value).__name__, "config": described(value.config)} for key, value in parts.items()}
    cases.append(dict(
        name=name, pipeline=pipeline, force_zeros=extra.get("force_zeros_for_empty_prompt"), scheduler=config, components=components,
        paddings=paddings, steps=steps, image=image, mask=mask_of, ask=ask, shape=list(latents.shape), latents=bits(latents)))
    print(name, list(latents.shape), float(latents.std()))


def png(width, height, depth, color, rows, interlaced=0):
    """Returns a PNG of a kind that PIL does not write."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def adam7(pixels):
    """Returns the seven passes of an interlaced image."""
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    passes = [pixels[y::dy, x::dx] for x, y, dx, dy in steps]
    return b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)


def kinds():
    base = picture(9, 7)
    pixels = np.asarray(base)
    for name, image in [
        ("color", base), ("gray", base.convert("L")), ("gray and alpha", base.convert("LA")), ("palette", base.quantize(16)),
        ("one bit", base.convert("1")), ("transparent", Image.fromarray(np.dstack([pixels, pixels[..., 0]]))),
    ]:
        file = io.BytesIO()
        image.save(file, "PNG")
        yield name, file.getvalue()
    wide = (pixels.astype(">u2") * 257 + 20).astype(">u2")
    yield "sixteen bits", png(9, 7, 16, 2, b"".join(b"\0" + row.tobytes() for row in wide))
    yield "interlaced", png(9, 7, 8, 2, adam7(pixels), 1)


def pictures():
    read = [dict(name=name, png=data.hex(), pixels=np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).tobytes().hex()) for name, data in kinds()]
    resized = [dict(size=size, pixels=np.asarray(picture(24, 20).resize(size, Image.LANCZOS)).tobytes().hex()) for size in [(16, 32), (40, 32), (8, 8), (24, 24)]]
    save("pictures.json", dict(read=read, resized=resized))


EULER = ("EulerDiscreteScheduler", BETAS | dict(timestep_spacing="leading", steps_offset=1))
TURBO = ("EulerAncestralDiscreteScheduler", BETAS | dict(timestep_spacing="trailing"))
PNDM = ("PNDMScheduler", dict(SD1))
ZERO = ("DDIMScheduler", BETAS | dict(
    prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False, steps_offset=1, set_alpha_to_one=False))
XL_TEXT, XL_IMAGE, XL_INPAINT = ("StableDiffusionXL" + kind + "Pipeline" for kind in ("", "Img2Img", "Inpaint"))
TEXT, IMAGE, INPAINT = ("StableDiffusion" + kind + "Pipeline" for kind in ("", "Img2Img", "Inpaint"))

if __name__ == "__main__":
    with torch.no_grad():
        case("sdxl", XL_TEXT, EULER, XL, guidance_scale=5.0, width=72, original_size=(100, 200), crops_coords_top_left=(16, 8), target_size=(72, 96))
        case("sdxl with a typed empty text", XL_TEXT, EULER, XL, guidance_scale=5.0, negative_prompt="")
        case("turbo", XL_TEXT, TURBO, XL, guidance_scale=0.0, num_images_per_prompt=2)
        case("refiner", XL_IMAGE, EULER, REFINER, guidance_scale=4.0, image=(64, 72), strength=0.6, negative_prompt="blurry")
        case("sdxl inpainting", XL_INPAINT, EULER, XL, guidance_scale=4.0, image=(64, 64), mask_of=(64, 64), strength=0.7)
        case("lcm", "LatentConsistencyModelPipeline", ("LCMScheduler", BETAS), dict(time_cond_proj_dim=16), guidance_scale=8.0, num_images_per_prompt=2)
        case("v-prediction", TEXT, ZERO, SD2, guidance_scale=4.0, negative_prompt="blurry")
        case("image", IMAGE, PNDM, guidance_scale=4.0, image=(72, 64), strength=0.75, num_images_per_prompt=2)
        case("inpainting", INPAINT, TURBO, guidance_scale=4.0, image=(64, 64), mask_of=(64, 64), strength=0.6)
        case("inpainting model", INPAINT, PNDM, dict(in_channels=9), guidance_scale=4.0, image=(64, 64), mask_of=(64, 64), strength=1.0, num_images_per_prompt=2)
        case("inpainting model, half way", INPAINT, EULER, dict(in_channels=9), guidance_scale=4.0, image=(64, 64), mask_of=(64, 64), strength=0.6)
    save("families.json", dict(cases=cases))
    pictures()
