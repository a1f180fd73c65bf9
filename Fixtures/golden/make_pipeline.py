"""Writes a tiny random pipeline and the images and latents of diffusers for it, for SamplingTests.

    python make_pipeline.py            (torch 2.13, diffusers 0.42.1, transformers 5.23)

pipeline/          a Stable Diffusion 1 folder of about 700 KB with random weights, stored in float16
pipeline.json      latents after the last step and trajectories, in float32 on the CPU, of several requests
pipeline-*.png     pictures of some of them
"""
import json, os, shutil, warnings

warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = os.environ["DIFFUSERS_VERBOSITY"] = "error"
import numpy as np, torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from make_sampling import CLASSES, HERE, MERGES, SD1, added, bits, folder_of, save

FOLDER = os.path.join(HERE, "pipeline")
torch.set_num_threads(1)


def make():
    torch.manual_seed(20)
    merges = [m for m in open(MERGES, encoding="utf-8").read().split("\n")[1:200] if m.isascii()]
    token = dict(bos_token=added("<|startoftext|>", True), eos_token=added("<|endoftext|>", True), unk_token=added("<|endoftext|>", True))
    folder = folder_of(merges, {
        "tokenizer_config.json": dict(model_max_length=77, tokenizer_class="CLIPTokenizer", pad_token="<|endoftext|>"),
        "special_tokens_map.json": dict(token, pad_token="<|endoftext|>")})
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ends = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=ends[0], eos_token_id=ends[1], pad_token_id=ends[1]))
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=32, attention_head_dim=4, norm_num_groups=8)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    with torch.no_grad():
        # The output of a random text encoder is nearly the same for every text; larger embeddings change that.
        text.get_input_embeddings().weight.mul_(30)
        for name, parameter in unet.named_parameters():
            if "attn2.to_out.0.weight" in name:
                parameter.mul_(20)
        # The whole range of colors instead of gray.
        vae.decoder.conv_out.weight.mul_(4)
    scheduler = PNDMScheduler.from_config(SD1)
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False)
    shutil.rmtree(FOLDER, ignore_errors=True)
    pipe.to(torch.float16).save_pretrained(FOLDER)
    # As in Stable Diffusion 1.
    shutil.rmtree(os.path.join(FOLDER, "tokenizer"))
    shutil.copytree(folder, os.path.join(FOLDER, "tokenizer"))
    for place, _, names in os.walk(FOLDER):
        for name in [".", *names]:
            os.chmod(os.path.join(place, name), 0o755 if name == "." else 0o644)


def run():
    cases = []

    def case(name, prompt, negative="", steps=4, scheduler=None, scale=7.5, seed=0, width=64, height=64, count=1, given=False, picture=False, changes=None):
        pipe = StableDiffusionPipeline.from_pretrained(FOLDER, torch_dtype=torch.float32, safety_checker=None)
        pipe.set_progress_bar_config(disable=True)
        config = {**pipe.scheduler.config, **(changes or {})}
        if scheduler or changes:
            base, karras = (scheduler or "pndm").removesuffix("-karras"), (scheduler or "").endswith("-karras")
            pipe.scheduler = CLASSES[base].from_config(config, **({"use_karras_sigmas": True} if karras else {}))
        path = []
        latents = torch.randn((count, 4, height // 8, width // 8), generator=torch.Generator().manual_seed(99)) if given else None

        def keep(pipe, index, timestep, values):
            path.append(values["latents"].clone())
            return values

        def generate(kind):
            return pipe(prompt, negative_prompt=negative or None, num_inference_steps=steps, guidance_scale=scale, width=width, height=height,
                        num_images_per_prompt=count, generator=torch.Generator("cpu").manual_seed(seed), latents=latents, output_type=kind,
                        callback_on_step_end=keep).images

        last = generate("latent")
        trajectory = [float(p.double().pow(2).mean().sqrt()) for p in path]
        if picture:
            for index, image in enumerate(generate("pil")):
                image.save(os.path.join(HERE, f"pipeline-{name}-{index}.png"))
        cases.append(dict(
            name=name, prompt=prompt, negative=negative, steps=steps, scheduler=scheduler, scale=scale, seed=str(seed), width=width, height=height,
            count=count, given=bits(latents.numpy().ravel()) if given else None, changes=changes or {}, shape=list(last.shape),
            sizes=trajectory, latents=bits(last.numpy().ravel()), picture=picture))

    case("short", "a red cat", picture=True)
    case("long", "a red cat on the sofa", "the dog", steps=20, seed=42, picture=True)
    case("unguided", "a red cat", "the dog", scale=1.0, seed=7)
    case("negative", "a red cat", "the dog", scale=1.5, seed=7)
    case("many", "an old house", steps=5, scheduler="euler-a", seed=3, count=3, picture=True)
    case("wide", "water and trees", scheduler="euler", steps=6, seed=5, width=104, height=56)
    case("ddim", "a red cat", scheduler="ddim", steps=20, seed=1)
    case("dpm", "a red cat", scheduler="dpm++2m", steps=20, seed=1)
    case("karras", "a red cat", scheduler="dpm++2m-karras", steps=20, seed=1)
    case("euler", "a red cat", scheduler="euler", steps=20, seed=1)
    case("ancestral", "a red cat", scheduler="euler-a", steps=20, seed=1)
    case("given", "a red cat", given=True, steps=4)
    case("velocity", "a red cat", steps=6, changes=dict(prediction_type="v_prediction", timestep_spacing="trailing"))
    case("seed", "a red cat", steps=2, seed=2**63 + 5)
    save("pipeline.json", dict(cases=cases))


if __name__ == "__main__":
    make()
    run()
