"""Compares one call of a full-size U-Net in decant and diffusers: error, CPU seconds, peak memory.

    .venv-parity/bin/python Tests/Parity/full_size.py FOLDER [--threads N]

FOLDER is a diffusers folder in float32, as `decant synthesize --family sd-v1-4 -o FOLDER/` writes it.
It takes about 8 GB of memory and is no part of `make parity`.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from conftest import run
from measures import relative_rms


def cpu_seconds(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    inputs = dict(
        sample=torch.randn(1, 4, 64, 64),
        timestep=torch.tensor(501),
        encoder_hidden_states=torch.randn(1, 77, 768),
    )
    with tempfile.TemporaryDirectory() as work:
        save_file(inputs, Path(work) / "in.safetensors")
        start, clock = cpu_seconds(resource.RUSAGE_CHILDREN), time.perf_counter()
        run("forward", arguments.folder, "--component", "unet", "--inputs", f"{work}/in.safetensors",
            "-o", f"{work}/out.safetensors", "--threads", arguments.threads)
        ours = cpu_seconds(resource.RUSAGE_CHILDREN) - start, time.perf_counter() - clock
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        found = load_file(f"{work}/out.safetensors")["sample"]
    start, clock = cpu_seconds(resource.RUSAGE_SELF), time.perf_counter()
    unet = UNet2DConditionModel.from_pretrained(arguments.folder, subfolder="unet").eval()
    loaded = cpu_seconds(resource.RUSAGE_SELF) - start, time.perf_counter() - clock
    start, clock = cpu_seconds(resource.RUSAGE_SELF), time.perf_counter()
    expected = unet(**inputs).sample
    theirs = cpu_seconds(resource.RUSAGE_SELF) - start, time.perf_counter() - clock
    print(f"relative RMS error        {relative_rms(found, expected):.2e}")
    print(f"decant, reading included  {ours[0]:.1f} CPU s, {ours[1]:.1f} s, peak {peak:.2f} GB")
    print(f"diffusers, forward alone  {theirs[0]:.1f} CPU s, {theirs[1]:.1f} s")
    print(f"diffusers, loading        {loaded[0]:.1f} CPU s, {loaded[1]:.1f} s")


if __name__ == "__main__":
    main()
