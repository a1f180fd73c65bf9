"""Trains the VAE of a miniature on its drawings.

train_vae.py MODEL RUN --steps 7500                    # writes RUN/vae; goes on from it
train_vae.py MODEL RUN --steps 600 --start ../mini-sd  # from another miniature's VAE
"""

import argparse
import os
import time

import torch
import torch.nn.functional as F

from dataset import drawings, encode_images, read_vae
from miniature import cosine, log, read_miniature, standardize

SAVE_EVERY = 500


def train(mini, options):
    torch.set_num_threads(options.threads)
    images, _, _ = drawings(mini, options.drawings)
    path = f"{options.run}/vae"
    vae = mini.make_vae()
    if os.path.exists(path):
        vae.load_state_dict(read_vae(options.run).state_dict())
    elif options.start:
        vae.load_state_dict(read_vae(options.start).state_dict())
    vae = vae.to(options.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=0, weight_decay=1e-4, betas=(0.9, 0.98))
    start = time.time()
    for step in range(options.steps):
        rate = min(1, (step + 1) / 100) * (0.02 + 0.98 * cosine(step / options.steps))
        optimizer.param_groups[0]["lr"] = options.rate * rate
        pick = torch.randint(0, len(images), (options.batch,))
        pixels = images[pick].to(options.device).float() / 127.5 - 1
        loss, parts = vae_loss(vae, pixels.to(memory_format=torch.channels_last))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            pace = (time.time() - start) / (step + 1)
            rebuilt, edges, spread = parts
            log(f"vae {step} rec {rebuilt:.4f} edge {edges:.4f} kl {spread:.2f} {pace:.2f} s/step")
        if (step + 1) % SAVE_EVERY == 0:
            vae.save_pretrained(path)
    standardize(vae, encode_images(vae, images[:4000]), mini.scaling_factor)
    vae.save_pretrained(path)


def vae_loss(vae, pixels):
    posterior = vae.encode(pixels).latent_dist
    painted = vae.decode(posterior.sample()).sample
    rebuilt = F.l1_loss(painted, pixels) + 0.5 * F.mse_loss(painted, pixels)
    edges = sum(F.l1_loss(painted.diff(dim=d), pixels.diff(dim=d)) for d in (-1, -2))
    spread = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    loss = rebuilt + 0.7 * edges + 2e-4 * spread
    return loss, (rebuilt.item(), edges.item(), spread.item())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="mini-sd or mini-sdxl")
    parser.add_argument("run", help="folder for data, checkpoints and caches")
    parser.add_argument("--start", help="diffusers folder whose VAE to start from")
    parser.add_argument("--drawings", type=int, default=12000)
    parser.add_argument("--steps", type=int, default=7500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    os.makedirs(options.run, exist_ok=True)
    train(read_miniature(options.model), options)


if __name__ == "__main__":
    main()
