"""The drawings of a miniature and their latents, cached in a run folder; the held-out prompts."""

import os
import random
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from miniature import read_miniature
from shapes import COLORS, captions_drawn, render

SEED = 1
FIRST = 24000  # no held-out caption is among those of the first drawings


def choose_prompts(mini, count=96):
    """Captions in the data set's own mix that are not among its first drawings."""
    seen = set(captions_drawn(mini.describe, FIRST, SEED))
    rng = random.Random(count)
    chosen = []
    while len(chosen) < count:
        caption = mini.describe(rng).caption
        if caption not in seen and caption not in chosen:
            chosen.append(caption)
    return chosen


def drawings(mini, count, skip=0):
    """Pictures (uint8, channels first), scenes and framings; held-out captions are left out."""
    forbidden = set(mini.held_out())
    rng, framing_rng = random.Random(SEED), random.Random(SEED + 1)
    images, scenes, framings = [], [], []
    for i in range(skip + count):
        scene, framing = mini.describe(rng), mini.frame(framing_rng)
        if i >= skip and scene.caption not in forbidden:
            images.append(np.asarray(render(scene, mini.side, framing)).transpose(2, 0, 1))
            scenes.append(scene)
            framings.append(framing)
    return torch.from_numpy(np.stack(images)), scenes, framings


def time_ids(mini, framing):
    """SDXL's six numbers: original height and width, crop from top and left, target size."""
    return [framing.original, framing.original, framing.top, framing.left, mini.side, mini.side]


def object_cells(images, scenes):
    """Which of the latent cells, 8 pixels wide, hold something that is not background."""
    ground = torch.tensor([COLORS[scene.background] for scene in scenes])[:, :, None, None]
    other = ((images.int() - ground).abs().amax(1, keepdim=True) > 24).float()
    return F.avg_pool2d(other, 8) > 0.03


@torch.no_grad()
def encode_images(vae, images, batch=32):
    parts = []
    for i in range(0, len(images), batch):
        pixels = images[i : i + batch].to(vae.device).float() / 127.5 - 1
        parts.append(vae.encode(pixels).latent_dist.mean.cpu())
    return torch.cat(parts)


def read_vae(folder):
    return AutoencoderKL.from_pretrained(f"{folder}/vae", dtype=torch.float32).eval()


def make_shard(name, folder, device, path, size, skip):
    """One part of the data set, drawn and encoded."""
    mini = read_miniature(name)
    if device == "cpu":
        torch.set_num_threads(1)
    images, scenes, framings = drawings(mini, size, skip)
    part = {
        "latents": encode_images(read_vae(folder).to(device), images) * mini.scaling_factor,
        "cells": object_cells(images, scenes),
        "captions": [scene.caption for scene in scenes],
        "time_ids": torch.tensor([time_ids(mini, framing) for framing in framings]).float(),
    }
    torch.save(part, path + ".new")
    os.replace(path + ".new", path)


def latents(mini, folder, count, workers, device="cpu", shard=4000, log=print):
    """Scaled latents, object cells, captions and time ids of the data set, cached in shards."""
    changed = max(entry.stat().st_mtime for entry in os.scandir(f"{folder}/vae"))
    paths, missing = [], []
    for skip in range(0, count, shard):
        size = min(shard, count - skip)
        path = f"{folder}/latents-{skip}-{size}.pt"
        paths.append(path)
        if not os.path.exists(path) or os.path.getmtime(path) < changed:
            missing.append((mini.name, folder, device, path, size, skip))
    if missing:
        log("drawing and encoding:", len(missing), "parts of", len(paths))
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(make_shard, *zip(*missing, strict=True)))
    parts = [torch.load(path) for path in paths]
    return (
        torch.cat([part["latents"] for part in parts]),
        torch.cat([part["cells"] for part in parts]),
        [caption for part in parts for caption in part["captions"]],
        torch.cat([part["time_ids"] for part in parts]),
    )
