"""Compares models with their original in diffusers: errors of the U-Net's predictions on the same
inputs, and PSNR of the pictures.

    python Tests/Bench/judge.py ORIGINAL MODEL... --prompts FILE [--count 16] [--steps 25]
        [--guidance 4] [--scheduler ddim] [--sizes 64 128]

ORIGINAL and each MODEL are diffusers folders. A path with another ending is first converted with
`decant convert --type f32`. Prints one row for each model and size:

- g: the relative error of the guided prediction in per cent, pooled over the prompts at each step:
  mean, median and worst over the steps;
- dB: 10 log10(signal / noise) of the guided prediction, mean over the steps;
- PSNR of the pictures, mean and least; size of the file.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

import numpy as np
import torch
from diffusers import DDIMScheduler, DiffusionPipeline


def folder(path, decant, scratch):
    if os.path.isdir(path):
        return path
    out = os.path.join(scratch, pathlib.Path(path).name + ".folder") + "/"
    subprocess.run([decant, "convert", path, "-o", out, "--type", "f32", "--quiet"], check=True)
    return out


def pipeline(path, scheduler):
    pipe = DiffusionPipeline.from_pretrained(
        path, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False)
    if scheduler == "ddim":
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def paint(pipe, prompts, options, size, record=None):
    """The pictures of the prompts; `record` receives the arguments and outputs of the U-Net."""
    forward = pipe.unet.forward

    def recording(*arguments, **named):
        output = forward(*arguments, **named)
        record.append((arguments, named, output[0].clone()))
        return output

    if record is not None:
        pipe.unet.forward = recording
    pictures = []
    for index, prompt in enumerate(prompts):
        generator = torch.Generator("cpu").manual_seed(index)
        image = pipe(
            prompt, num_inference_steps=options.steps, guidance_scale=options.guidance,
            generator=generator, height=size, width=size, output_type="np").images[0]
        pictures.append(np.round(image * 255) / 255)
    pipe.unet.forward = forward
    return pictures


def guided(output, scale):
    if scale <= 1:
        return output
    without, text = output.chunk(2)
    return without + scale * (text - without)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("original")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--prompts", required=True)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4)
    parser.add_argument("--scheduler", default="own")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64])
    parser.add_argument("--decant", default=".build/release/decant")
    options = parser.parse_args()
    prompts = json.loads(pathlib.Path(options.prompts).read_text())[: options.count]
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as scratch:
        original = pipeline(folder(options.original, options.decant, scratch), options.scheduler)
        print("| model | size | g mean | median | worst | dB | PSNR mean | least | bytes |")
        print("|---|---|---|---|---|---|---|---|---|")
        expected = {}
        for size in options.sizes:
            calls = []
            expected[size] = paint(original, prompts, options, size, calls), calls
        for path in options.models:
            pipe = pipeline(folder(path, options.decant, scratch), options.scheduler)
            for size in options.sizes:
                pictures, calls = expected[size]
                errors = np.zeros(options.steps)
                signals = np.zeros(options.steps)
                for index, (arguments, named, output) in enumerate(calls):
                    found = pipe.unet.forward(*arguments, **named)[0]
                    reference = guided(output, options.guidance)
                    difference = guided(found, options.guidance) - reference
                    errors[index % options.steps] += float((difference.double() ** 2).sum())
                    signals[index % options.steps] += float((reference.double() ** 2).sum())
                relative = np.sqrt(errors / signals) * 100
                decibels = np.mean(10 * np.log10(signals / np.maximum(errors, 1e-300)))
                painted = paint(pipe, prompts, options, size)
                psnr = [
                    10 * np.log10(1 / max(1e-12, float(np.mean((a - b) ** 2))))
                    for a, b in zip(pictures, painted)]
                bytes_ = os.path.getsize(path) if os.path.isfile(path) else 0
                print(
                    f"| {pathlib.Path(path).name} | {size} | {relative.mean():.3f} "
                    f"| {statistics.median(relative):.3f} | {relative.max():.2f} | {decibels:.1f} "
                    f"| {statistics.mean(psnr):.1f} | {min(psnr):.1f} | {bytes_} |", flush=True)


if __name__ == "__main__":
    main()
