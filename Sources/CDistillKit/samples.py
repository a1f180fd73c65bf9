"""The samples that a student is trained on: noisy latents with captions.

They are from images that the teacher makes (`Trajectories`) or from the user's (`Recorded`).
"""

import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from diffusers import DDIMScheduler
from PIL import Image
from safetensors.torch import load_file


def read_captions(path):
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    captions = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not captions:
        raise SystemExit(f"{path}: no captions")
    return captions


class Diffusion:
    """The noise schedule, and what a prediction says about a noisy sample."""

    def __init__(self, scheduler, device):
        kind = scheduler.config.prediction_type
        if kind not in ("epsilon", "v_prediction"):
            raise SystemExit(f"teacher: prediction type {kind}; expected epsilon or v_prediction")
        self.velocity = kind == "v_prediction"
        alphas = DDIMScheduler.from_config(scheduler.config).alphas_cumprod
        self.alphas = alphas.float().clamp(1e-6).to(device)
        # w(t) = (1 + 1/snr)^0.75 min(1, 5/snr) is for the noise. An error of the velocity is one of
        # the noise divided by the root of alpha.
        ratio = self.alphas / (1 - self.alphas)
        weights = self.alphas ** (0.25 if self.velocity else -0.75) * (5 / ratio).clamp(max=1)
        self.weights = weights / weights.mean()

    def levels(self, times):
        alpha = self.alphas[times.clamp(0)][:, None, None, None]
        return alpha.sqrt(), (1 - alpha).sqrt()

    def noisy(self, clean, noise, times):
        a, s = self.levels(times)
        return a * clean + s * noise

    def target(self, clean, noise, times):
        a, s = self.levels(times)
        return a * noise - s * clean if self.velocity else noise

    def step(self, noisy, predicted, times, later):
        """DDIM from some times to later ones of less noise. Times below zero have no noise."""
        a, s = self.levels(times)
        if self.velocity:
            clean, noise = a * noisy - s * predicted, a * predicted + s * noisy
        else:
            clean, noise = (noisy - s * predicted) / a, predicted
        moved = self.noisy(clean, noise, later)
        return torch.where((later < 0)[:, None, None, None], clean, moved)


class Text:
    """Encodes captions as arguments of the U-Net: `encoder_hidden_states` and, for SDXL,
    `text_embeds` and `time_ids`."""

    def __init__(self, pipe, size, device):
        self.pipe, self.device = pipe, device
        self.large = getattr(pipe, "text_encoder_2", None) is not None
        self.sizes = (*size, 0, 0, *size)
        self.empty = self.encode([""])
        if self.large and pipe.config.get("force_zeros_for_empty_prompt"):
            for name in ("encoder_hidden_states", "text_embeds"):
                self.empty[name] = torch.zeros_like(self.empty[name])

    @torch.no_grad()
    def encode(self, captions, sizes=None):
        found = self.pipe.encode_prompt(
            captions,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        given = {"encoder_hidden_states": found[0].float()}
        if self.large:
            given["text_embeds"] = found[2].float()
            sizes = sizes or [self.sizes] * len(captions)
            given["time_ids"] = torch.tensor(sizes, device=self.device, dtype=torch.float32)
        return given

    def without(self, count):
        """The arguments of samples without a caption."""
        return {name: value.expand(count, *value.shape[1:]) for name, value in self.empty.items()}


def pair(first, second):
    return {name: torch.cat([first[name], second[name]]) for name in first}


def rows(given, index):
    return {name: value[index] for name, value in given.items()}


class Trajectories:
    """Images that the teacher makes of captions. Each training step takes a sample of each image,
    and uses the teacher's prediction for it to take the image one step further.

    The images are at different noise levels. A new one takes the place of each that is done.
    """

    def __init__(self, settings, diffusion, text, shape, count, generator):
        self.settings, self.diffusion, self.text = settings, diffusion, text
        self.captions = read_captions(settings.captions)
        self.generator, self.device = generator, diffusion.alphas.device
        self.state = {
            "noisy": torch.zeros(count, *shape, device=self.device),
            "done": torch.zeros(count, dtype=torch.long),  # steps
            # The first images end early, so that all are at different levels afterwards.
            "end": 1 + torch.arange(count) * settings.sampler_steps // count,
            "offset": torch.zeros(count),  # of the times, in steps
            "caption": torch.zeros(count, dtype=torch.long),
        }
        self.given = {name: value.clone() for name, value in self.text.without(count).items()}
        self.begin(torch.arange(count))

    def begin(self, places):
        count, draw, state = len(places), self.generator, self.state
        noise = torch.randn(count, *state["noisy"].shape[1:], generator=draw)
        state["noisy"][places] = noise.to(self.device)
        state["offset"][places] = torch.rand(count, generator=draw)
        state["caption"][places] = torch.randint(len(self.captions), (count,), generator=draw)
        state["done"][places] = 0
        self.encode(places)

    def encode(self, places):
        new = self.text.encode([self.captions[i] for i in self.state["caption"][places].tolist()])
        for name, value in new.items():
            self.given[name][places] = value

    def times(self, places, later=0):
        done = self.state["done"][places] + later + self.state["offset"][places]
        times = (1 - done / self.settings.sampler_steps) * len(self.diffusion.alphas)
        return times.floor().long().clamp(-1).to(self.device)

    def samples(self, places):
        """Noisy latents, times and arguments, without and with captions; which rows to train on;
        no target."""
        count = len(places)
        noisy, times = self.state["noisy"][places], self.times(places)
        given = pair(self.text.without(count), rows(self.given, places))
        captioned = torch.rand(count, generator=self.generator) >= self.settings.unconditional
        picked = torch.arange(count) + captioned * count
        return torch.cat([noisy, noisy]), torch.cat([times, times]), given, picked, None

    def advance(self, places, predicted):
        """Takes the images one step further with the predictions for their samples."""
        state = self.state
        empty, captioned = predicted.chunk(2)
        guided = empty + self.settings.guidance_scale * (captioned - empty)
        state["noisy"][places] = self.diffusion.step(
            state["noisy"][places], guided, self.times(places), self.times(places, 1)
        )
        state["done"][places] += 1
        over = places[state["done"][places] >= state["end"][places]]
        if len(over):
            state["end"][over] = self.settings.sampler_steps
            self.begin(over)

    def load_state(self, state):
        self.state = {name: value.to(self.state[name].device) for name, value in state.items()}
        self.encode(torch.arange(len(self.state["done"])))


class Recorded:
    """The user's images or latents, with noise at levels that are spread over each batch."""

    def __init__(self, settings, diffusion, text, vae, size, generator):
        self.diffusion, self.text, self.vae, self.size = diffusion, text, vae, size
        self.generator, self.device = generator, diffusion.alphas.device
        self.unconditional = settings.unconditional
        self.state = {}
        if settings.latents:
            path = pathlib.Path(settings.latents)
            self.items = load_file(path)["latents"]
            self.captions = path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
            if len(self.captions) != len(self.items):
                counts = f"{len(self.items)} latents, but {len(self.captions)} captions"
                raise SystemExit(f"{path}: {counts}")
            return
        images = [p for p in sorted(pathlib.Path(settings.images).iterdir()) if p.suffix != ".txt"]
        self.items = [path for path in images if path.with_suffix(".txt").exists()]
        if not self.items:
            raise SystemExit(f"{settings.images}: no image with a caption in a .txt file beside it")
        captions = [path.with_suffix(".txt").read_text(encoding="utf-8") for path in self.items]
        self.captions = [caption.strip() for caption in captions]

    def open(self, index):
        """The middle of an image at the size of the samples, and SDXL's sizes for it."""
        height, width = self.size
        image = Image.open(self.items[index]).convert("RGB")
        original = (image.height, image.width)
        scale = max(width / image.width, height / image.height)
        scaled = (
            max(width, round(image.width * scale)),
            max(height, round(image.height * scale)),
        )
        image = image.resize(scaled, Image.LANCZOS)
        top, left = (image.height - height) // 2, (image.width - width) // 2
        pixels = torch.tensor(np.asarray(image)[top : top + height, left : left + width])
        return pixels.permute(2, 0, 1) / 127.5 - 1, (*original, top, left, *self.size)

    @torch.no_grad()
    def clean(self, chosen):
        if torch.is_tensor(self.items):
            return self.items[chosen].float().to(self.device), None
        with ThreadPoolExecutor(8) as pool:
            pixels, sizes = zip(*pool.map(self.open, chosen), strict=True)
        latents = self.vae.encode(torch.stack(pixels).to(self.device)).latent_dist.mean
        return latents * self.vae.config.scaling_factor, list(sizes)

    def samples(self, places):
        """As those of `Trajectories`; the target is what the noise and the image say."""
        count, draw = len(places), self.generator
        chosen = torch.randint(len(self.items), (count,), generator=draw).tolist()
        clean, sizes = self.clean(chosen)
        given = self.text.encode([self.captions[i] for i in chosen], sizes)
        dropped = torch.rand(count, generator=draw) < self.unconditional
        for name in given.keys() - {"time_ids"}:
            given[name][dropped] = self.text.empty[name]
        part = torch.randperm(count, generator=draw) + torch.rand(count, generator=draw)
        times = (part / count * len(self.diffusion.alphas)).long().to(self.device)
        noise = torch.randn(clean.shape, generator=draw).to(self.device)
        noisy = self.diffusion.noisy(clean, noise, times)
        target = self.diffusion.target(clean, noise, times)
        return noisy, times, given, torch.arange(count), target

    def advance(self, places, predicted):
        """Images that exist take no step."""

    def load_state(self, state):
        """The random numbers are all that a step changes."""
