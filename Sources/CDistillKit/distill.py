"""Trains a student U-Net to predict what its teacher predicts.

    python distill.py                      # one GPU, or the CPU where there is none
    accelerate launch distill.py           # several GPUs or machines, as `accelerate config` says
    python distill.py --steps 2000         # another value than that of settings.json

A run that was interrupted continues from its last checkpoint. The loss is that of BK-SDM
(https://arxiv.org/abs/2305.15798) with an error of the prediction that is weighted by noise level.
"""

import argparse
import contextlib
import csv
import json
import math
import pathlib
import shutil
import sys
import time

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DiffusionPipeline, UNet2DConditionModel
from PIL import Image

from samples import Diffusion, Recorded, Text, Trajectories, pair, rows

# The value that a setting has where neither settings.json nor an option gives one, and its meaning.
SETTINGS = {
    "teacher": ("teacher", "diffusers folder"),
    "student": ("student", "diffusers folder"),
    "result": ("result", "diffusers folder to write: the distilled student"),
    "training": ("training", "folder for the checkpoint, the log and previews"),
    "captions": ("captions.txt", "file with a caption on each line, for the teacher's images"),
    "images": ("", "folder of images, each with its caption in a .txt file of its name"),
    "latents": ("", "safetensors file with scaled `latents`; captions in the .txt file beside it"),
    "steps": (50000, "steps of the whole training"),
    "batch": (256, "samples of a step, of all processes together"),
    "micro_batch": (8, "samples that a process evaluates at once"),
    "rate": (5e-5, "learning rate"),
    "warm_up": (500, "steps in which the rate rises"),
    "decay": (0.3, "share of the steps, the last ones, in which the rate falls to zero"),
    "clip": (1.0, "largest norm of the gradient"),
    "average": (0.999, "what the average of the weights, which is exported, keeps in a step"),
    "output_weight": (4.0, "weight of the prediction's error"),
    "feature_weight": (4.0, "weight of the error of the stages' outputs"),
    "task_weight": (1.0, "weight of the error from the true noise, with images or latents"),
    "unconditional": (0.25, "share of the samples without a caption"),
    "guidance_scale": (7.5, "guidance of the teacher's images"),
    "sampler_steps": (25, "sampling steps of the teacher's images"),
    "width": (0, "pixels; 0 is the teacher's own"),
    "height": (0, "pixels; 0 is the teacher's own"),
    "cpu": (False, "train on the CPU although there is a GPU"),
    "precision": ("auto", "bf16, fp16 or no (float32); auto is bf16 or fp16 on CUDA devices"),
    "type": ("float16", "number type of the result"),
    "gradient_checkpointing": (False, "less memory, more time"),
    "stage_local": (False, "no gradient from one stage to another: about a third of the memory"),
    "checkpoint_every": (500, "steps from one checkpoint to the next"),
    "preview_every": (500, "steps from one preview to the next; 0 makes none"),
    "export_every": (0, "steps from one intermediate result to the next; 0 writes none"),
    "seed": (0, "seed of the random numbers"),
}
PREVIEWS = 4  # captions
# Paths that are relative to the settings file, unless an option gives them.
PATHS = ("teacher", "student", "result", "training", "captions", "images", "latents")


def read_settings():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    own = pathlib.Path(__file__).resolve().parent / "settings.json"
    parser.add_argument("--settings", type=pathlib.Path, default=own, help="JSON file of settings")
    for key, (value, text) in SETTINGS.items():
        is_flag = isinstance(value, bool)
        how = {"action": argparse.BooleanOptionalAction} if is_flag else {"type": type(value)}
        parser.add_argument(f"--{key.replace('_', '-')}", help=f"{text} ({value})", **how)
    options = vars(parser.parse_args())
    path = options.pop("settings")
    stored = json.loads(path.read_text(encoding="utf-8"))
    if unknown := sorted(stored.keys() - SETTINGS.keys()):
        raise SystemExit(f"{path}: unknown settings: {', '.join(unknown)}")
    given = {key: value for key, value in options.items() if value is not None}
    values = {key: value for key, (value, _) in SETTINGS.items()} | stored
    folder = path.resolve().parent
    for key in PATHS:
        values[key] = values[key] and str(folder / values[key])
        if given.get(key):
            given[key] = str(pathlib.Path(given[key]))  # without a slash at its end
    settings = argparse.Namespace(**values | given)
    for key in ("steps", "batch", "micro_batch", "sampler_steps"):
        if getattr(settings, key) < 1:
            raise SystemExit(f"{key} is {getattr(settings, key)}, expected 1 or more")
    if not 0 < settings.rate < 1:
        raise SystemExit(f"rate is {settings.rate}, expected more than 0 and less than 1")
    for key in set(PATHS) - {"result", "training"}:
        value = getattr(settings, key)
        if value and not pathlib.Path(value).exists():
            raise SystemExit(f"{key}: {value} does not exist")
    return settings


def predict(unet, noisy, times, given):
    text = given["encoder_hidden_states"]
    added = {name: value for name, value in given.items() if name != "encoder_hidden_states"}
    found = unet(noisy, times, text, added_cond_kwargs=added or None, return_dict=False)
    return found[0].float()


def stages(unet):
    """The blocks of a U-Net, by names that a student shares with its teacher."""
    named = {f"down {i}": block for i, block in enumerate(unet.down_blocks)}
    if unet.mid_block is not None:
        named["mid"] = unet.mid_block
    count = len(unet.up_blocks)
    return named | {f"up {i - count}": block for i, block in enumerate(unet.up_blocks)}


class Features:
    """The last outputs of the stages of a U-Net, in `found`."""

    def __init__(self, unet):
        self.found = {}
        self.hooks = [
            block.register_forward_hook(lambda _, __, output, name=name: self.keep(name, output))
            for name, block in stages(unet).items()
        ]

    def keep(self, name, output):
        self.found[name] = output[0] if isinstance(output, tuple) else output

    def remove(self):
        for hook in self.hooks:
            hook.remove()


def feature_error(found, target):
    found, target = found.float(), target.float()
    return (found - target).square().sum() / target.square().sum().clamp(1e-12)


class StageLocal(Features):
    """Cuts the gradient between the stages of a U-Net. Each learns from its own features as soon as
    it has run, which frees its activations. The last one also learns from the prediction."""

    def __init__(self, unet, backward):
        self.backward, self.last = backward, list(stages(unet))[-1]
        self.targets, self.scale, self.errors, self.cuts = {}, 0, {}, []
        super().__init__(unet)
        # Several stages read the output of the first convolution and of the embeddings. Their
        # gradients are collected and follow at the end.
        for module in (unet.conv_in, unet.time_embedding, getattr(unet, "add_embedding", None)):
            if module is not None:
                module.register_forward_hook(self.cut)

    def cut(self, module, inputs, output):
        if not torch.is_grad_enabled():
            return None
        leaf = output.detach().requires_grad_()
        self.cuts.append((output, leaf))
        return leaf

    def keep(self, name, output):
        if not torch.is_grad_enabled():
            return None
        if name == self.last:
            return super().keep(name, output)
        feature = output[0] if isinstance(output, tuple) else output
        if name in self.targets:
            error = feature_error(feature, self.targets[name])
            self.backward(error * self.scale)
            self.errors[name] = error.detach()
            feature = feature.detach()
        if not isinstance(output, tuple):
            return feature
        return feature, tuple(skip.detach() for skip in output[1])

    def finish(self):
        for output, leaf in self.cuts:
            if leaf.grad is not None:
                output.backward(leaf.grad)
        self.cuts, self.errors = [], {}


class Training:
    def __init__(self, settings):
        self.settings, self.step, self.run = settings, 0, pathlib.Path(settings.training)
        cpu, precision = settings.cpu or not torch.accelerator.is_available(), settings.precision
        if precision == "auto":
            cuda = torch.cuda.is_available() and not cpu
            precision = "no" if not cuda else "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        self.accelerator = accelerator = Accelerator(mixed_precision=precision, cpu=cpu)
        self.device, self.main = accelerator.device, accelerator.is_main_process
        self.count = settings.batch // accelerator.num_processes
        if not self.count or settings.batch % accelerator.num_processes:
            share = f"{accelerator.num_processes} processes"
            raise SystemExit(f"a batch of {settings.batch} does not divide by {share}")
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
        pipe = DiffusionPipeline.from_pretrained(settings.teacher, dtype=half).to(self.device)
        self.vae = pipe.vae.float()
        self.teacher = pipe.unet.requires_grad_(False).eval()
        self.student = UNet2DConditionModel.from_pretrained(
            settings.student, subfolder="unet", dtype=torch.float32
        ).to(self.device)
        if settings.gradient_checkpointing:
            self.student.enable_gradient_checkpointing()
        self.weights = list(self.student.parameters())
        self.averages = [weight.detach().clone() for weight in self.weights]

        self.diffusion = Diffusion(pipe.scheduler, self.device)
        factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        own = self.teacher.config.sample_size * factor
        size = (settings.height or own, settings.width or own)
        self.shape = (self.teacher.config.in_channels, size[0] // factor, size[1] // factor)
        self.text = Text(pipe, size, self.device)
        self.generator = torch.Generator().manual_seed(
            1000003 * settings.seed + accelerator.process_index
        )
        common = (settings, self.diffusion, self.text)
        if settings.images or settings.latents:
            self.source = Recorded(*common, self.vae, size, self.generator)
        else:
            self.source = Trajectories(*common, self.shape, self.count, self.generator)

        self.expected = Features(self.teacher)
        self.matched = self.match()
        self.local = None
        if settings.stage_local:
            self.found = self.local = StageLocal(self.student, accelerator.backward)
        else:
            self.found = Features(self.student)
        optimizer = torch.optim.Adam(self.weights, lr=settings.rate, betas=(0.9, 0.99))
        self.optimizer = accelerator.prepare(optimizer)
        # With stage_local, `update` averages the gradients of the processes instead.
        self.model = self.student if self.local else accelerator.prepare(self.student)

    def say(self, *words):
        if self.main:
            print(time.strftime("%H:%M:%S"), *words, flush=True)

    def match(self):
        """The stages whose outputs have one shape in student and teacher."""
        probe, expected = Features(self.student), self.expected.found
        noisy = torch.zeros(1, *self.shape, device=self.device)
        times = torch.zeros(1, dtype=torch.long, device=self.device)
        with torch.no_grad(), self.accelerator.autocast():
            for unet in (self.teacher, self.student):
                predict(unet, noisy, times, self.text.without(1))
        probe.remove()
        shapes = {name: value.shape for name, value in expected.items()}
        return [name for name, value in probe.found.items() if shapes.get(name) == value.shape]

    def learn(self, places, share):
        """Adds the gradient of some samples, and returns the parts of their loss."""
        settings = self.settings
        noisy, times, given, picked, task = self.source.samples(places)
        with torch.no_grad(), self.accelerator.autocast():
            predicted = predict(self.teacher, noisy, times, given)
        self.source.advance(places, predicted)
        picked = picked.to(self.device)
        targets = {name: self.expected.found[name][picked] for name in self.matched}
        predicted, times = predicted[picked], times[picked]
        scale = settings.feature_weight / max(1, len(self.matched))
        if self.local:
            self.local.targets, self.local.scale = targets, scale * share
        with self.accelerator.autocast():
            guess = predict(self.model, noisy[picked], times, rows(given, picked))
        weights = self.diffusion.weights[times]
        output = ((guess - predicted).square().mean((1, 2, 3)) * weights).mean()
        loss = settings.output_weight * output
        errors = dict(self.local.errors) if self.local else {}
        for name in self.matched:
            if name not in errors:
                errors[name] = feature_error(self.found.found[name], targets[name])
                loss = loss + scale * errors[name]
        nothing = real = torch.zeros((), device=self.device)
        if task is not None:
            real = ((guess - task).square().mean((1, 2, 3)) * weights).mean()
            loss = loss + settings.task_weight * real
        self.accelerator.backward(loss * share)
        if self.local:
            self.local.finish()
        features = sum((error.detach() for error in errors.values()), nothing)
        features = features / max(1, len(self.matched))
        return torch.stack([output.detach(), features, real.detach()]) * share

    def rate(self):
        """The learning rate of a step: it rises, stays, and falls to zero as half a cosine."""
        settings = self.settings
        left = (settings.steps - self.step) / max(1, settings.decay * settings.steps)
        fall = 0.5 * (1 - math.cos(math.pi * min(1, left)))
        return settings.rate * min(1, (self.step + 1) / max(1, settings.warm_up)) * fall

    def update(self):
        """One step; returns a row of the log."""
        settings, accelerator = self.settings, self.accelerator
        begun, rate, losses = time.time(), self.rate(), 0
        self.optimizer.zero_grad(set_to_none=True)
        parts = torch.arange(self.count).split(settings.micro_batch)
        for i, places in enumerate(parts):
            waits = i + 1 < len(parts) and not self.local
            with accelerator.no_sync(self.model) if waits else contextlib.nullcontext():
                losses = losses + self.learn(places, len(places) / self.count)
        if self.local:
            for weight in self.weights:
                if weight.grad is not None:
                    weight.grad = accelerator.reduce(weight.grad, "mean")
        norm = accelerator.clip_grad_norm_(self.weights, settings.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        keep = min(settings.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for average, weight in zip(self.averages, self.weights, strict=True):
                average.lerp_(weight, 1 - keep)
        self.step += 1
        output, features, task = accelerator.reduce(losses, "mean").tolist()
        loss = settings.output_weight * output + settings.feature_weight * features
        loss += settings.task_weight * task
        if not math.isfinite(loss):
            raise SystemExit(f"step {self.step}: the loss is {loss}; try a lower rate, or bf16")
        values = (loss, output, features, task, rate, float(norm), time.time() - begun)
        return [self.step, *(float(f"{value:.6g}") for value in values)]

    def save(self):
        """Replaces the checkpoint. Each process has its samples and random numbers in it."""
        accelerator, new = self.accelerator, self.run / "checkpoint.new"
        if self.main:
            shutil.rmtree(new, ignore_errors=True)  # of a run with other processes
        accelerator.wait_for_everyone()
        new.mkdir(parents=True, exist_ok=True)
        own = {"samples": self.source.state, "random": self.generator.get_state()}
        torch.save(own, new / f"process-{accelerator.process_index}.pt")
        if self.main:
            state = {
                "step": self.step,
                "settings": vars(self.settings),
                "weights": [weight.detach() for weight in self.weights],
                "averages": self.averages,
                "optimizer": self.optimizer.state_dict(),
                "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
            }
            torch.save(state, new / "state.pt")
        accelerator.wait_for_everyone()
        if self.main:
            now, old = self.run / "checkpoint", self.run / "checkpoint.old"
            if now.exists():
                shutil.rmtree(old, ignore_errors=True)
                now.rename(old)
            new.rename(now)
            shutil.rmtree(old, ignore_errors=True)
        accelerator.wait_for_everyone()

    def restore(self):
        folders = [self.run / name for name in ("checkpoint", "checkpoint.old")]
        folder = next((folder for folder in folders if folder.exists()), None)
        if folder is None:
            return
        state = torch.load(folder / "state.pt", map_location=self.device)
        stored = state["weights"] + state["averages"]
        for own, value in zip(self.weights + self.averages, stored, strict=True):
            own.data.copy_(value)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]
        # Samples of other settings do not fit, nor do those of another number of processes.
        keys = ("batch", "captions", "images", "latents", "sampler_steps", "width", "height")
        fits = all(state["settings"][key] == getattr(self.settings, key) for key in keys)
        files = sorted(folder.glob("process-*.pt"))
        if fits and len(files) == self.accelerator.num_processes:
            path = folder / f"process-{self.accelerator.process_index}.pt"
            own = torch.load(path, map_location="cpu")
            self.generator.set_state(own["random"])
            self.source.load_state(own["samples"])
        else:
            self.say("the samples begin anew, because settings or the number of processes differ")
        self.say(f"continues from step {self.step} in {folder}")

    def open_log(self):
        """The log, without rows after the checkpoint."""
        path = self.run / "log.csv"
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines[1:] if int(line.split(",")[0]) <= self.step]
        header = "step,loss,output,features,task,rate,norm,seconds"
        path.write_text("\n".join([header, *kept, ""]))
        return path.open("a", newline="")

    @torch.no_grad()
    def paint(self, unet, captions):
        """Images of the captions, always from the same noise."""
        settings, diffusion, count = self.settings, self.diffusion, len(captions)
        given = pair(self.text.without(count), self.text.encode(captions))
        draw = torch.Generator().manual_seed(settings.seed)
        latents = torch.randn(count, *self.shape, generator=draw).to(self.device)
        total, steps = len(diffusion.alphas), settings.sampler_steps
        levels = [total * (steps - k) // steps - 1 for k in range(steps + 1)]
        times = torch.tensor(levels, device=self.device)[:, None].expand(-1, count)
        for now, later in zip(times, times[1:], strict=False):
            with self.accelerator.autocast():
                found = predict(unet, torch.cat([latents] * 2), torch.cat([now] * 2), given)
            empty, captioned = found.chunk(2)
            guided = empty + settings.guidance_scale * (captioned - empty)
            latents = diffusion.step(latents, guided, now, later)
        images = self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]
        images = ((images / 2 + 0.5).clamp(0, 1) * 255).round().byte().cpu()
        return np.concatenate(list(images.permute(0, 2, 3, 1).numpy()), 1)

    def preview(self):
        """Writes a grid: images of the teacher above those of the averaged student."""
        captions = self.source.captions[:PREVIEWS]
        own = [weight.detach().clone() for weight in self.weights]
        self.put(self.averages, self.student)
        grid = [self.paint(unet, captions) for unet in (self.teacher, self.student)]
        self.put(own, self.student)
        Image.fromarray(np.concatenate(grid)).save(self.run / f"preview-{self.step:06}.png")

    @staticmethod
    def put(values, unet):
        for weight, value in zip(unet.parameters(), values, strict=True):
            weight.data.copy_(value)

    def export(self, folder):
        """Writes the student with its averaged weights as a diffusers folder."""
        new = pathlib.Path(f"{folder}.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(self.settings.student, new, ignore=shutil.ignore_patterns("unet"))
        config = {k: v for k, v in self.student.config.items() if k != "_name_or_path"}
        unet = UNet2DConditionModel.from_config(config)
        self.put(self.averages, unet)
        unet.to(getattr(torch, self.settings.type)).save_pretrained(new / "unet")
        for path in (new / "unet").iterdir():
            path.chmod(0o644)
        history = new / "decant.json"  # what Decant did to the student
        if history.exists():
            value = json.loads(history.read_text(encoding="utf-8"))
            value["steps"].append({"step": "distill", "training_steps": self.step})
            history.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        self.say(f"wrote {folder}")

    def train(self):
        settings = self.settings
        is_new = not any((self.run / name).exists() for name in ("checkpoint", "checkpoint.old"))
        if is_new and pathlib.Path(settings.result).exists():
            raise SystemExit(f"{settings.result} exists already; name another --result")
        self.run.mkdir(parents=True, exist_ok=True)
        self.restore()
        log = self.open_log() if self.main else None
        count = sum(weight.numel() for weight in self.weights)
        self.say(f"{count:,} parameters; features of stages {', '.join(self.matched)}")
        if self.step >= settings.steps:
            self.say(f"the training has its {settings.steps} steps already")
        while self.step < settings.steps:
            row = self.update()
            is_last = self.step == settings.steps

            def due(every, is_last=is_last):
                return every and (is_last or self.step % every == 0)

            if self.main:
                csv.writer(log).writerow(row)
                log.flush()
                if due(50):
                    loss, output, features, pace = *row[1:4], row[-1]
                    self.say(
                        f"step {self.step}: loss {loss:.4f}, output {output:.4f}, "
                        f"features {features:.4f}, {pace:.2f} s"
                    )
                if due(settings.preview_every):
                    self.preview()
                if due(settings.export_every) and not is_last:
                    self.export(f"{settings.result}-{self.step}")
            if due(settings.checkpoint_every):
                self.save()
        if self.main:
            self.export(settings.result)
        self.accelerator.end_training()


if __name__ == "__main__":
    try:
        Training(read_settings()).train()
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue from the last checkpoint")
        sys.exit(130)
