"""Trains mini-sd on captioned drawings.

    train.py RUN --stage vae  --steps 6000     # writes RUN/vae; goes on from it
    train.py RUN --stage unet --minutes 120    # text encoder and U-Net; goes on from RUN/state.pt

Without a RUN/state.pt the U-Net stage starts from the diffusers folder named by --start, or from
nothing. The learning rate follows the clock, not the step count: it falls to its end when the
minutes that the run has spent in all reach --minutes, so on a busy machine the training still
ends in time. A killed run is simply started again.
"""

import argparse
import os
import time

import torch
import torch.multiprocessing as multiprocessing
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

from dataset import drawings, encode, latents
from mini import (
    alphas_cumulative,
    cosine,
    make_text_encoder,
    make_unet,
    make_vae,
    read_tokenizer,
    signal_to_noise,
    standardize,
    token_ids,
    write_tokenizer,
)
from shapes import captions_drawn

SAVE_EVERY = 50
WARM_UP = 200
AVERAGE = 0.999
NOISES = 2  # noisy copies of each picture in a batch: the text is encoded once for all of them


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, flush=True)


def save(value, path):
    torch.save(value, path + ".new")
    os.replace(path + ".new", path)


# The VAE


def train_vae(options):
    torch.set_num_threads(options.workers)
    images, _ = drawings(options.drawings)
    path = f"{options.run}/vae"
    vae = (
        AutoencoderKL.from_pretrained(path, dtype=torch.float32)
        if os.path.exists(path)
        else make_vae()
    )
    vae = vae.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=0, weight_decay=1e-4, betas=(0.9, 0.98))
    start = time.time()
    for step in range(options.steps):
        rate = 2e-3 * min(1, (step + 1) / 100) * (0.02 + 0.98 * cosine(step / options.steps))
        optimizer.param_groups[0]["lr"] = rate
        pick = torch.randint(0, len(images), (16,))
        pixels = (images[pick].float() / 127.5 - 1).to(memory_format=torch.channels_last)
        loss, parts = vae_loss(vae, pixels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            pace = (time.time() - start) / (step + 1)
            rebuilt, edges, spread = parts
            log(f"vae {step} rec {rebuilt:.4f} edge {edges:.4f} kl {spread:.2f} {pace:.2f} s/step")
        if (step + 1) % 500 == 0:
            vae.save_pretrained(path)
    standardize(vae, encode(vae, images[:6000]))
    vae.save_pretrained(path)


def vae_loss(vae, pixels):
    posterior = vae.encode(pixels).latent_dist
    painted = vae.decode(posterior.sample()).sample
    rebuilt = F.l1_loss(painted, pixels) + 0.5 * F.mse_loss(painted, pixels)
    edges = sum(F.l1_loss(painted.diff(dim=d), pixels.diff(dim=d)) for d in (-1, -2))
    spread = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
    loss = rebuilt + 0.7 * edges + 2e-4 * spread
    return loss, (rebuilt.item(), edges.item(), spread.item())


# The text encoder and the U-Net


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
    """The text encoder and the U-Net with all their weights in one flat vector."""

    def __init__(self, tokenizer):
        self.text = make_text_encoder(tokenizer)
        self.unet = make_unet()
        self.unet.set_attn_processor(SharedText())
        self.weights = [*self.text.parameters(), *self.unet.parameters()]
        self.size = sum(weight.numel() for weight in self.weights)

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
        text = CLIPTextModel.from_pretrained(f"{folder}/text_encoder", dtype=torch.float32)
        unet = UNet2DConditionModel.from_pretrained(f"{folder}/unet", dtype=torch.float32)
        self.text.load_state_dict(text.state_dict())
        self.unet.load_state_dict(unet.state_dict())


class Sampler:
    """Draws the batches and weighs the loss."""

    def __init__(self, trainee, data, empty, batch):
        self.trainee, self.empty, self.batch = trainee, empty, batch
        self.latents, self.cells, self.ids = data
        self.alphas = alphas_cumulative()
        ratio = signal_to_noise()
        # Between the usual loss (which hardly sees what is decided at high noise) and that of
        # a velocity model, nearer the latter; the last, nearly noiseless steps count less.
        self.importance = (1 + 1 / ratio) ** 0.75 * (5 / ratio).clamp(max=1)

    def loss(self, focus):
        pictures = self.batch // NOISES
        pick = torch.randint(0, len(self.latents), (pictures,))
        ids = self.ids[pick]
        ids[torch.rand(pictures) < 0.1] = self.empty
        clean = self.latents[pick].repeat_interleave(NOISES, 0)
        weight = 1 + focus * self.cells[pick].float().repeat_interleave(NOISES, 0)
        # Time steps spread evenly over the batch, and over the copies of each picture.
        offsets = (torch.randperm(pictures) + torch.rand(pictures)) / pictures / NOISES
        part = torch.arange(NOISES) / NOISES
        times = ((offsets[:, None] + part).flatten() * len(self.alphas)).long()
        alpha = self.alphas[times][:, None, None, None]
        noise = torch.randn_like(clean)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        context = self.trainee.text(ids).last_hidden_state
        guess = self.trainee.unet(noisy, times, context).sample
        error = (guess - noise) ** 2
        plain = error.detach().mean()
        weight = weight * self.importance[times][:, None, None, None]
        return (error * weight).mean(), plain

    @torch.no_grad()
    def validate(self, count=192):
        """The loss on fixed pictures, times and noise: all of it, and its object cells alone."""
        draw = torch.Generator().manual_seed(5)
        clean, cells, ids = (item[:count] for item in (self.latents, self.cells, self.ids))
        times = ((torch.arange(count) * 0.618034) % 1 * len(self.alphas)).long()
        alpha = self.alphas[times][:, None, None, None]
        noise = torch.randn(clean.shape, generator=draw)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        guess = self.trainee.unet(noisy, times, self.trainee.text(ids).last_hidden_state).sample
        error = ((guess - noise) ** 2).mean(1, keepdim=True)
        error *= self.importance[times][:, None, None, None]
        return error.mean().item(), error[cells].mean().item()


class Muon:
    """Orthogonalized momentum for the matrices and filters, Adam for everything else.

    The update of a matrix has the size that Adam's would have, so one learning rate does for both.
    """

    def __init__(self, weights, first, second, step):
        self.groups, vectors = {}, []
        for weight, momentum, square in zip(weights, first, second, strict=True):
            if weight.dim() < 2 or min(weight.shape[0], weight[0].numel()) < 16:
                vectors.append((weight, momentum, square))
            else:
                shape = (weight.shape[0], weight[0].numel())
                self.groups.setdefault(shape, []).append((weight, momentum))
        self.adam = torch.optim.AdamW([item[0] for item in vectors], weight_decay=1e-3, fused=True)
        for weight, momentum, square in vectors:
            self.adam.state[weight] = {
                "step": torch.tensor(float(step)),
                "exp_avg": momentum,
                "exp_avg_sq": square,
            }

    @torch.no_grad()
    def step(self, rate):
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()
        for (rows, columns), members in self.groups.items():
            updates = []
            for weight, momentum in members:
                momentum.lerp_(weight.grad, 0.05)
                updates.append(flat_matrix(weight.grad.lerp(momentum, 0.95)))
            updates = orthogonalize(torch.stack(updates))
            size = rate * 0.2 * max(rows, columns) ** 0.5
            for (weight, _), update in zip(members, updates, strict=True):
                flat_matrix(weight.data).sub_(update, alpha=size)


def flat_matrix(tensor):
    """A view as a matrix, with the filters in the order in which they lie in memory."""
    if tensor.dim() == 4:
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.view(tensor.shape[0], -1)


def orthogonalize(matrices, rounds=5):
    """Newton-Schulz iterations towards the nearest orthogonal matrix of each."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
    for _ in range(rounds):
        gram = x @ x.mT
        x = torch.baddbmm(x, -4.7750 * gram + 2.0315 * gram @ gram, x, beta=3.4445)
    return x.mT if tall else x


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
    torch.set_num_threads(1)
    torch.manual_seed(int(time.time()) * options.workers + rank)
    tokenizer = read_tokenizer(f"{options.run}/tokenizer")
    trainee = Trainee(tokenizer)
    trainee.bind(shared["weights"], shared["gradients"][rank])
    empty = token_ids(tokenizer, [""])[0]
    sampler = Sampler(trainee, shared["data"], empty, options.batch)

    mine, owned = share(trainee, rank, options.workers)
    momenta, squares, gradients = (
        list(trainee.views(flat))[owned]
        for flat in (shared["first"], shared["second"], shared["mean"])
    )
    local = [torch.nn.Parameter(weight.data) for weight in trainee.weights[owned]]
    for weight, gradient in zip(local, gradients, strict=True):
        weight.grad = gradient
    optimizer = Muon(local, momenta, squares, shared["state"]["step"])
    step, spent = shared["state"]["step"], shared["state"]["spent"]
    begun, first, mean, parent = time.time(), step, None, os.getppid()
    while True:
        if os.getppid() != parent:  # the run was killed: leave no orphans
            barrier.abort()
        # Worker 0 holds the clock.
        if rank == 0:
            shared["clock"][0] = spent + time.time() - begun
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
        now = float(shared["losses"].mean())
        mean = now if mean is None else 0.98 * mean + 0.02 * now
        barrier.wait()

        if rank == 0:
            if step % 50 == 0:
                pace = (time.time() - begun) / (step - first)
                log(f"unet {step} loss {mean:.4f} rate {rate:.3f} {pace:.2f} s/step")
            if step % SAVE_EVERY == 0 or progress >= 1:
                state = {k: shared[k] for k in ("weights", "averages", "first", "second")}
                state.update(step=step, spent=float(shared["clock"][0]))
                save(state, f"{options.run}/state.pt")
                trainee.bind(shared["averages"])
                whole, objects = sampler.validate()
                log(f"validation: all {whole:.4f}, objects {objects:.4f}")
                trainee.bind(shared["weights"])
        if progress >= 1 or step >= options.steps:
            return


def train_unet(options):
    folder = options.run
    if not os.path.exists(f"{folder}/tokenizer"):
        write_tokenizer(f"{folder}/tokenizer", captions_drawn(24000))
    tokenizer = read_tokenizer(f"{folder}/tokenizer")
    vae = AutoencoderKL.from_pretrained(f"{folder}/vae", dtype=torch.float32).eval()
    values, cells, captions = latents(folder, vae, options.drawings, log=log)
    log(f"{len(captions)} drawings; deviation of the latents", values.std((0, 2, 3)).tolist())

    trainee = Trainee(tokenizer)
    names = ("weights", "averages", "first", "second")
    shared = {name: torch.zeros(trainee.size) for name in names}
    state = {"step": 0, "spent": 0.0}
    if os.path.exists(f"{folder}/state.pt"):
        stored = torch.load(f"{folder}/state.pt")
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
    shared["data"] = (values, cells, token_ids(tokenizer, captions))
    shared["losses"] = torch.zeros(options.workers)
    shared["norms"] = torch.zeros(options.workers)
    _, focus = schedule(state["step"], state["spent"] / (60 * options.minutes))
    shared["clock"] = torch.tensor([state["spent"], focus], dtype=torch.float64)
    for value in shared.values():
        for tensor in value if isinstance(value, tuple) else (value,):
            tensor.share_memory_()
    shared["state"] = state

    barrier = multiprocessing.get_context("spawn").Barrier(options.workers)
    multiprocessing.spawn(work, (options, shared, barrier), nprocs=options.workers)
    log("done")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="folder for data, checkpoints and caches")
    parser.add_argument("--stage", choices=("vae", "unet"), required=True)
    parser.add_argument("--start", help="diffusers folder whose weights to start from")
    parser.add_argument("--drawings", type=int, default=48000)
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--minutes", type=float, default=120, help="in all, earlier runs included")
    parser.add_argument("--batch", type=int, default=48, help="noisy pictures a step and worker")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    os.makedirs(options.run, exist_ok=True)
    train_vae(options) if options.stage == "vae" else train_unet(options)


if __name__ == "__main__":
    main()
