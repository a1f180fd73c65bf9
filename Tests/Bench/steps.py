"""Compares the time of U-Net steps, text encoders and VAE decoders in decant, torch and OpenVINO.

Everything runs on one thread and counts processor seconds, which are steadier than wall seconds on
a shared machine. Each time is the minimum over the rounds. The programs take turns within a round,
because the speed of a shared machine changes over time. Models have random weights. Prints a table
in Markdown.

    python Tests/Bench/steps.py --decant .build/release/decant --family sd-v1-4 --size 512x512
"""

import argparse
import gc
import json
import pathlib
import platform
import subprocess
import tempfile
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel


def seconds_of(body):
    start = time.process_time()
    body()
    return time.process_time() - start


def least(rounds, body):
    body()
    return min(seconds_of(body) for _ in range(rounds))


def unet_inputs(unet, width, height):
    config = unet.config
    inputs = {
        "sample": torch.randn(1, config.in_channels, height // 8, width // 8),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(1, 77, config.cross_attention_dim),
    }
    if config.addition_embed_type == "text_time":
        ids = 6
        pooled = config.projection_class_embeddings_input_dim - ids * config.addition_time_embed_dim
        inputs["added_cond_kwargs"] = {
            "text_embeds": torch.randn(1, pooled), "time_ids": torch.full((1, ids), 512.0)}
    return inputs


def torch_step(folder, width, height):
    """Returns a U-Net step in torch that has run once, so that caches are warm."""
    unet = UNet2DConditionModel.from_pretrained(
        folder, subfolder="unet", torch_dtype=torch.float32).eval()
    inputs = unet_inputs(unet, width, height)

    def step():
        unet(**inputs)

    step()
    return step


def openvino_steps(folder, width, height, rounds):
    """Returns the seconds of a step in float32 and in int8 (NNCF, W8A8), if OpenVINO is installed."""
    try:
        import nncf
        import openvino
    except ImportError:
        return {}
    unet = UNet2DConditionModel.from_pretrained(
        folder, subfolder="unet", torch_dtype=torch.float32).eval()
    inputs = unet_inputs(unet, width, height)
    if "added_cond_kwargs" in inputs:
        return {}
    unet.set_attn_processor(__import__(
        "diffusers.models.attention_processor", fromlist=["AttnProcessor2_0"]).AttnProcessor2_0())
    arrays = [inputs["sample"], inputs["timestep"], inputs["encoder_hidden_states"]]
    model = openvino.convert_model(unet, example_input=tuple(arrays))
    del unet
    gc.collect()
    core = openvino.Core()
    feed = [array.numpy() for array in arrays]

    def measured(model, precision):
        compiled = core.compile_model(
            model, "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision})
        return least(rounds, lambda: compiled(feed))

    found = {"OpenVINO f32": measured(model, "f32")}
    quantized = nncf.quantize(
        model, nncf.Dataset([feed]), subset_size=1,
        preset=nncf.QuantizationPreset.MIXED, model_type=nncf.ModelType.TRANSFORMER)
    found["OpenVINO int8"] = measured(quantized, "f32")
    return found


def torch_parts(folder):
    """Returns a call of the text encoder and a call of the VAE decoder."""
    text = CLIPTextModel.from_pretrained(
        folder, subfolder="text_encoder", torch_dtype=torch.float32).eval()
    ids = torch.randint(0, 49000, (1, 77))
    vae = AutoencoderKL.from_pretrained(
        folder, subfolder="vae", torch_dtype=torch.float32).eval()
    latent = torch.randn(1, vae.config.latent_channels, 64, 64)
    return lambda: text(ids), lambda: vae.decode(latent)


def seconds_of_blocks(decant, folder, size, prefixes):
    """Returns the processor seconds that the blocks with these prefixes take for one image."""
    facts = bench(decant, folder, size, 1, ["f32"], more=["--profile"])["f32"]
    return sum(
        block.get("cpu_seconds", 0) for block in facts["profile"]["blocks"]
        if block["name"].startswith(prefixes))


def bench(decant, model, size, steps, computes, threads=1, more=()):
    text = subprocess.run(
        [decant, "bench", str(model), "--size", size, "--steps", str(steps), "--guidance-scale", "1",
         "--threads", str(threads), "--compute", ",".join(computes), "--json", "--quiet", *more],
        check=True, capture_output=True, text=True).stdout
    return {row["compute"]: row for row in json.loads(text)["models"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decant", required=True)
    parser.add_argument("--family", required=True)
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--folder", help="a diffusers folder of the family; default: a synthesized one")
    parser.add_argument("--also", action="append", default=[], help="the same model with another stored type")
    parser.add_argument(
        "--stored", action="store_true", help="measure a float32 folder and an int8 .decant as well")
    parser.add_argument("--compute", default="f32,f32-direct,int8")
    parser.add_argument("--one-thread", action="store_true", help="leave out the comparison of two threads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", action="store_true", help="measure the text encoder and the VAE decoder as well")
    parser.add_argument("--openvino", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    width, height = map(int, arguments.size.split("x"))

    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder
        if not folder:
            folder = str(pathlib.Path(temporary) / "model")
            subprocess.run(
                [arguments.decant, "synthesize", "--family", arguments.family, "-o", folder,
                 "--type", "f16", "--quiet"], check=True, stdout=subprocess.DEVNULL)

        also = list(arguments.also)
        if arguments.stored:
            for command, kind, name in [("convert", "f32", "float32"), ("quantize", "int8", "int8.decant")]:
                also.append(str(pathlib.Path(temporary) / name))
                subprocess.run(
                    [arguments.decant, command, folder, "-o", also[-1], "--type", kind, "--quiet"],
                    check=True, stdout=subprocess.DEVNULL)

        def row(work, seconds, reference):
            print(f"| {work} | {seconds:.3g} | {seconds / reference:.2f} |", flush=True)

        print(f"\n{arguments.family}, {arguments.size}\n\n| CPU seconds of one thread | s | of torch |")
        print("|---|---|---|")
        step = torch_step(folder, width, height)
        models = [("", folder, compute) for compute in arguments.compute.split(",")]
        models += [(f" from {pathlib.Path(model).name}", model, "f32") for model in also]
        torch_times, times = [], {}
        for _ in range(arguments.rounds):
            torch_times.append(seconds_of(step))
            for name, model, compute in models:
                facts = bench(arguments.decant, model, arguments.size, 2, [compute])[compute]
                times.setdefault(compute + name, []).append(facts["cpu_seconds_per_step"])
        del step
        gc.collect()
        reference = min(torch_times)
        row("U-Net step, torch f32", reference, reference)
        for name, found in times.items():
            row(f"U-Net step, decant {name}", min(found), reference)
        for compute in () if arguments.one_thread else ("f32", "int8"):
            one, two = (
                bench(arguments.decant, folder, arguments.size, 3, [compute], threads)[compute]
                for threads in (1, 2))
            ratio = one["seconds_per_step"] / two["seconds_per_step"]
            print(f"| speed of two threads against one, wall time, {compute} | {ratio:.2f} times | |", flush=True)
        if arguments.openvino:
            for name, seconds in openvino_steps(folder, width, height, arguments.rounds).items():
                row(f"U-Net step, {name}", seconds, reference)
        if arguments.parts:
            encode, decode = torch_parts(folder)
            for name, body, size, prefixes, rounds in [
                ("text encoder", encode, "64x64", ("text_model", "text_encoder."), 2 * arguments.rounds),
                ("VAE decode, 512x512", decode, "512x512", ("decoder.", "post_quant_conv"), 1),
            ]:
                body()
                pairs = [
                    (seconds_of(body), seconds_of_blocks(arguments.decant, folder, size, prefixes))
                    for _ in range(rounds)
                ]
                theirs, ours = map(min, zip(*pairs))
                row(f"{name}, torch f32", theirs, theirs)
                row(f"{name}, decant f32", ours, theirs)
    print(f"\ntorch {torch.__version__}, {platform.processor() or platform.machine()}")


if __name__ == "__main__":
    main()
