"""Trains the text encoders and the U-Net of a miniature together, on captioned drawings.

    train.py MODEL RUN --minutes 120                    # goes on from RUN/state.pt
    train.py MODEL RUN --minutes 120 --start FOLDER     # from the weights of a diffusers folder
    train.py MODEL RUN --minutes 8 --device cuda --workers 1 --batch 512

RUN/vae is the miniature's VAE (`train_vae.py`). The learning rate follows the clock, not the step
count: it falls to its end when the minutes that the run has spent in all reach --minutes, so on a
busy machine the training still ends in time. A killed run is simply started again.
"""

import argparse
import os
import time

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from torch import multiprocessing

from dataset import latents
from miniature import (
    alphas_cumulative,
    cosine,
    log,
    read_miniature,
    read_tokenizer,
    signal_to_noise,
    token_ids,
    write_tokenizer,
)
from muon import Muon

SAVE_SECONDS = 180
WARM_UP = 200
AVERAGE = 0.999
LONGEST_STEP = 60  # seconds


def save(value, path):
    torch.save(value, path + ".new")
    os.replace(path + ".new", path)


class SharedText:
    """Attention in which several noisy copies of one picture read one encoded caption."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        rows, places, width = hidden_states.shape
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.to_q(hidden_states).view(context.shape[0], -1, width)
        query, key, value = (
            item.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for item in (query, attn.to_k(context), attn.to_v(context))
        )
        read = F.scaled_dot_product_attention(query, key, value)
        read = read.transpose(1, 2).reshape(rows, places, width)
        return attn.to_out[0](read)


class Trainee:
    """The text encoders and the U-Net, all their weights in one flat vector."""

    def __init__(self, mini, tokenizer, compiled=False):
        self.networks = mini.make_networks(tokenizer)
        self.networks["unet"].set_attn_processor(SharedText())
        for module in self.networks["unet"].modules():
            if compiled and isinstance(module, BasicTransformerBlock):
                module.compile()
        self.weights = [w for network in self.networks.values() for w in network.parameters()]
        self.size = sum(weight.numel() for weight in self.weights)

    def to(self, device):
        for network in self.networks.values():
            network.to(device)
        return self

    def views(self, flat):
        """One view of the flat vector for each weight; filters lie channels last."""
        start = 0
        for weight in self.weights:
            piece = flat[start : start + weight.numel()]
            start += weight.numel()
            if weight.dim() == 4:
                out, channels, height, width = weight.shape
                yield piece.view(out, height, width, channels).permute(0, 3, 1, 2)
            else:
                yield piece.view(weight.shape)

    def bind(self, flat, gradient=None):
        """From now on the weights (and gradients) are those in the flat vectors."""
        for weight, view in zip(self.weights, self.views(flat), strict=True):
            weight.data = view
        if gradient is not None:
            for weight, view in zip(self.weights, self.views(gradient), strict=True):
                weight.grad = view

    def flatten(self, flat):
        with torch.no_grad():
            for weight, view in zip(self.weights, self.views(flat), strict=True):
                view.copy_(weight)

    def load(self, folder):
        for name, network in self.networks.items():
            stored = type(network).from_pretrained(f"{folder}/{name}", dtype=torch.float32)
            network.load_state_dict(stored.state_dict())


class Sampler:
    """Draws the batches and weighs the loss."""

    def __init__(self, mini, trainee, data, empty, options):
        self.mini, self.trainee, self.empty = mini, trainee, empty
        self.batch, self.noises = options.batch, options.noises
        self.latents, self.cells, self.ids, self.time_ids = data
        self.device = self.latents.device
        self.alphas = alphas_cumulative().to(self.device)
        ratio = signal_to_noise().to(self.device)
        # Between the usual loss (which hardly sees what is decided at high noise) and that of
        # a velocity model, nearer the latter; the last, nearly noiseless steps count less.
        self.importance = (1 + 1 / ratio) ** 0.75 * (5 / ratio).clamp(max=1)

    def predict(self, pick, noisy, times, dropped):
        """The predicted noise of pictures, each of which is there in several noisy copies."""
        copies = len(noisy) // len(pick)
        given = self.mini.encode(
            self.trainee.networks, self.ids[pick], self.time_ids[pick], self.empty, dropped
        )
        # Cross attention reads one caption for all copies of a picture (SharedText).
        if "added_cond_kwargs" in given:
            added = given["added_cond_kwargs"]
            given["added_cond_kwargs"] = {
                name: value.repeat_interleave(copies, 0) for name, value in added.items()
            }
        return self.trainee.networks["unet"](noisy, times, **given).sample

    def loss(self, focus):
        pictures = self.batch // self.noises
        pick = torch.randint(0, len(self.latents), (pictures,), device=self.device)
        dropped = torch.rand(pictures, device=self.device) < 0.1
        clean = self.latents[pick].repeat_interleave(self.noises, 0)
        weight = 1 + focus * self.cells[pick].float().repeat_interleave(self.noises, 0)
        # Time steps spread evenly over the batch, and over the copies of each picture.
        spread = torch.randperm(pictures) + torch.rand(pictures)
        offsets = spread / pictures / self.noises
        part = torch.arange(self.noises) / self.noises
        times = ((offsets[:, None] + part).flatten() * len(self.alphas)).long().to(self.device)
        alpha = self.alphas[times][:, None, None, None]
        noise = torch.randn_like(clean)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        error = (self.predict(pick, noisy, times, dropped) - noise) ** 2
        plain = error.detach().mean()
        weight = weight * self.importance[times][:, None, None, None]
        return (error * weight).mean(), plain

    @torch.no_grad()
    def validate(self, count=192):
        """The loss on fixed pictures, times and noise: all of it, and its object cells alone."""
        draw = torch.Generator().manual_seed(5)
        pick = torch.arange(count, device=self.device)
        clean, cells = self.latents[:count], self.cells[:count]
        times = ((torch.arange(count) * 0.618034) % 1 * len(self.alphas)).long().to(self.device)
        alpha = self.alphas[times][:, None, None, None]
        noise = torch.randn(clean.shape, generator=draw).to(self.device)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        guess = self.predict(pick, noisy, times, torch.zeros_like(pick, dtype=torch.bool))
        error = ((guess - noise) ** 2).mean(1, keepdim=True)
        error *= self.importance[times][:, None, None, None]
        return error.mean().item(), error[cells].mean().item()


def schedule(step, progress):
    """Learning rate (relative) and the extra weight of cells with an object in them."""
    rate = min(1, (step + 1) / WARM_UP) * (0.02 + 0.98 * cosine((progress - 0.3) / 0.7))
    focus = 3 * cosine((progress - 0.5) / 0.3)
    return rate, focus


def share(trainee, rank, workers):
    """The worker's own weights: a slice of the flat vector, and one of the list of weights."""
    effort, bounds = 0, [0]
    efforts = [w.numel() * min(w.shape[0], 128) if w.dim() > 1 else 0 for w in trainee.weights]
    for i, effort_here in enumerate(efforts):
        effort += effort_here
        if effort >= sum(efforts) * len(bounds) / workers and len(bounds) < workers:
            bounds.append(i + 1)
    bounds.append(len(efforts))
    starts = [sum(w.numel() for w in trainee.weights[:bound]) for bound in bounds]
    return slice(*starts[rank : rank + 2]), slice(*bounds[rank : rank + 2])


def work(rank, options, shared, barrier):
    """One of the training processes: its own share of each batch and of the weights."""
    if options.device == "cpu":
        torch.set_num_threads(1)
    else:
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(int(time.time()) * options.workers + rank)
    mini = read_miniature(options.model)
    tokenizer = read_tokenizer(f"{options.run}/tokenizer")
    trainee = Trainee(mini, tokenizer, options.compile).to(options.device)
    trainee.bind(shared["weights"], shared["gradients"][rank])
    empty = token_ids(tokenizer, [""])[0].to(options.device)
    sampler = Sampler(mini, trainee, shared["data"], empty, options)

    mine, owned = share(trainee, rank, options.workers)
    momenta, squares, gradients = (
        list(trainee.views(flat))[owned]
        for flat in (shared["first"], shared["second"], shared["mean"])
    )
    local = [torch.nn.Parameter(weight.data) for weight in trainee.weights[owned]]
    for weight, gradient in zip(local, gradients, strict=True):
        weight.grad = gradient
    optimizer = Muon(local, momenta, squares, shared["state"]["step"])
    step = shared["state"]["step"]
    begun, first, mean, parent = time.time(), step, None, os.getppid()
    saved = last = begun
    while True:
        if os.getppid() != parent:  # the run was killed: leave no orphans
            barrier.abort()
        # Worker 0 holds the clock, which does not count the time that the run is stopped for.
        if rank == 0:
            now = time.time()
            shared["clock"][0] += min(now - last, LONGEST_STEP)
            last = now
        loss, plain = sampler.loss(float(shared["clock"][1]))
        loss.backward()
        shared["losses"][rank] = plain
        barrier.wait()

        gradient = shared["mean"][mine]
        torch.mean(shared["gradients"][:, mine], 0, out=gradient)
        shared["norms"][rank] = gradient.norm() ** 2
        progress = float(shared["clock"][0]) / (60 * options.minutes)
        rate, focus = schedule(step, progress)
        barrier.wait()

        shared["gradients"][rank].zero_()
        gradient *= min(1.0, 1.0 / (float(shared["norms"].sum()) ** 0.5 + 1e-6))
        optimizer.step(options.rate * rate)
        keep = min(AVERAGE, (step + 1) / (step + 10))
        shared["averages"][mine].lerp_(shared["weights"][mine], 1 - keep)
        if rank == 0:
            shared["clock"][1] = focus
        step += 1
        loss = float(shared["losses"].mean())
        mean = loss if mean is None else 0.98 * mean + 0.02 * loss
        barrier.wait()

        if rank == 0:
            if step % 50 == 0:
                pace = (time.time() - begun) / (step - first)
                log(f"unet {step} loss {mean:.4f} rate {rate:.3f} {pace:.2f} s/step")
            if time.time() - saved > SAVE_SECONDS or progress >= 1 or step >= options.steps:
                saved = time.time()
                state = {k: shared[k] for k in ("weights", "averages", "first", "second")}
                state.update(step=step, spent=float(shared["clock"][0]))
                save(state, f"{options.run}/state.pt")
                trainee.bind(shared["averages"])
                whole, objects = sampler.validate()
                log(f"validation: all {whole:.4f}, objects {objects:.4f}")
                trainee.bind(shared["weights"])
        if progress >= 1 or step >= options.steps:
            return


def train(options):
    folder = options.run
    mini = read_miniature(options.model)
    if not os.path.exists(f"{folder}/tokenizer"):
        write_tokenizer(f"{folder}/tokenizer")
    tokenizer = read_tokenizer(f"{folder}/tokenizer")
    values, cells, captions, time_ids = latents(
        mini, folder, options.drawings, max(options.workers, os.cpu_count() // 2), log=log
    )
    log(f"{len(captions)} drawings; deviation of the latents", values.std((0, 2, 3)).tolist())

    trainee = Trainee(mini, tokenizer)
    names = ("weights", "averages", "first", "second")
    shared = {name: torch.zeros(trainee.size) for name in names}
    state = {"step": 0, "spent": 0.0}
    if os.path.exists(f"{folder}/state.pt"):
        stored = torch.load(f"{folder}/state.pt", map_location="cpu")
        state = {name: stored[name] for name in state}
        for name in names:
            shared[name].copy_(stored[name])
    else:
        if options.start:
            trainee.load(options.start)
        trainee.flatten(shared["weights"])
        shared["averages"].copy_(shared["weights"])
    shared["mean"] = torch.zeros(trainee.size)
    shared["gradients"] = torch.zeros(options.workers, trainee.size)
    shared["data"] = (values, cells, token_ids(tokenizer, captions), time_ids)
    shared["losses"] = torch.zeros(options.workers)
    shared["norms"] = torch.zeros(options.workers)
    _, focus = schedule(state["step"], state["spent"] / (60 * options.minutes))
    for name, value in shared.items():
        moved = [item.to(options.device) for item in (value if name == "data" else (value,))]
        for tensor in moved:
            tensor.share_memory_()
        shared[name] = tuple(moved) if name == "data" else moved[0]
    shared["clock"] = torch.tensor([state["spent"], focus], dtype=torch.float64).share_memory_()
    shared["state"] = state

    barrier = multiprocessing.get_context("spawn").Barrier(options.workers)
    if options.workers == 1:
        work(0, options, shared, barrier)
    else:
        multiprocessing.spawn(work, (options, shared, barrier), nprocs=options.workers)
    log("done")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="mini-sd or mini-sdxl")
    parser.add_argument("run", help="folder for data, checkpoints and caches")
    parser.add_argument("--start", help="diffusers folder whose weights to start from")
    parser.add_argument("--drawings", type=int, default=48000)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--minutes", type=float, default=120, help="in all, earlier runs included")
    parser.add_argument("--batch", type=int, default=48, help="noisy pictures a step and worker")
    parser.add_argument("--noises", type=int, default=2, help="noisy copies of each picture")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--compile", action="store_true", help="transformer blocks: 15 %% faster")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    os.makedirs(options.run, exist_ok=True)
    train(options)


if __name__ == "__main__":
    main()
