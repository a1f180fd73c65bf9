"""The drawings and their latents, cached in a run folder; the held-out prompts."""

import json
import os
import pathlib
import random

import numpy as np
import torch
import torch.nn.functional as F

from mini import SCALING_FACTOR
from shapes import COLORS, captions_drawn, describe, render

PROMPTS = pathlib.Path(__file__).parent.parent / "prompts.json"
SEED = 1
FIRST = 24000  # the drawings that the first 2,500 steps were trained on


def held_out():
    """The captions of the evaluation: never trained on."""
    return json.loads(PROMPTS.read_text(encoding="utf-8"))


def choose_prompts(count=96):
    """Captions in the data set's own mix that are not among its first drawings."""
    seen = set(captions_drawn(FIRST, SEED))
    rng = random.Random(count)
    chosen = []
    while len(chosen) < count:
        caption = describe(rng).caption
        if caption not in seen and caption not in chosen:
            chosen.append(caption)
    return chosen


def drawings(count, skip=0):
    """Pictures (uint8, channels first) and scenes; those of held-out captions are left out."""
    forbidden = set(held_out())
    rng = random.Random(SEED)
    images, scenes = [], []
    for i in range(skip + count):
        scene = describe(rng)
        if i >= skip and scene.caption not in forbidden:
            images.append(np.asarray(render(scene)).transpose(2, 0, 1))
            scenes.append(scene)
    return torch.from_numpy(np.stack(images)), scenes


def object_cells(images, scenes):
    """Which of the 8 x 8 latent cells hold something that is not background."""
    ground = torch.tensor([COLORS[scene.background] for scene in scenes])[:, :, None, None]
    other = ((images.int() - ground).abs().amax(1, keepdim=True) > 24).float()
    return F.avg_pool2d(other, 8) > 0.03


@torch.no_grad()
def encode(vae, images, batch=64):
    parts = []
    for i in range(0, len(images), batch):
        pixels = images[i : i + batch].float() / 127.5 - 1
        parts.append(vae.encode(pixels).latent_dist.mean)
    return torch.cat(parts)


def latents(folder, vae, count, shard=12000, log=print):
    """Scaled latents, object cells and captions of the data set, cached in shards."""
    parts = []
    changed = max(entry.stat().st_mtime for entry in os.scandir(f"{folder}/vae"))
    for skip in range(0, count, shard):
        size = min(shard, count - skip)
        path = f"{folder}/latents-{skip}-{size}.pt"
        if not os.path.exists(path) or os.path.getmtime(path) < changed:
            log("drawing and encoding from", skip)
            images, scenes = drawings(size, skip)
            part = {
                "latents": encode(vae, images) * SCALING_FACTOR,
                "cells": object_cells(images, scenes),
                "captions": [scene.caption for scene in scenes],
            }
            torch.save(part, path + ".new")
            os.replace(path + ".new", path)
        parts.append(torch.load(path))
    return (
        torch.cat([part["latents"] for part in parts]),
        torch.cat([part["cells"] for part in parts]),
        [caption for part in parts for caption in part["captions"]],
    )
