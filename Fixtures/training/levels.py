"""Measures whether every level of a miniature's U-Net matters, on its held-out prompts.

    levels.py mini-sdxl [--model FOLDER] [--count 16]

For each part of the U-Net: by how much the guided prediction changes without it, as the relative
root mean square over all steps, along the trajectories of the whole model (teacher-forced). And
which share of the weights of convolutions and linear layers never meets a number but zero.
"""

import argparse
import contextlib

import torch
import torch.nn.functional as F

from miniature import read_miniature, read_pipeline


class Recorder:
    """Every call of a U-Net with its arguments and its result."""

    def __init__(self, unet):
        self.calls = []
        self.hook = unet.register_forward_hook(self.record, with_kwargs=True)

    def record(self, _, inputs, named, output):
        self.calls.append((inputs, named, output[0]))

    def stop(self):
        self.hook.remove()


def guided(predictions, scale):
    unconditional, conditional = predictions.chunk(2)
    return unconditional + scale * (conditional - unconditional)


def parts(unet):
    """What is taken out, by name: the modules that then give back what they were given."""
    for index, block in enumerate(unet.down_blocks):
        attentions = getattr(block, "attentions", [])
        yield (
            f"down, level {index}: second resnet and attention",
            [
                block.resnets[1],
                *attentions[1:2],
            ],
        )
    yield "mid block", [unet.mid_block]
    last = len(unet.up_blocks) - 1
    for index, block in enumerate(unet.up_blocks):
        if hasattr(block, "attentions"):
            yield f"up, level {last - index}: attentions", list(block.attentions)


@contextlib.contextmanager
def without(modules):
    def give_back(_, inputs, named, output):
        given = inputs[0] if inputs else named["hidden_states"]
        return given if torch.is_tensor(output) else (given,)

    hooks = [m.register_forward_hook(give_back, with_kwargs=True) for m in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class ZeroInputs:
    """Counts the weights whose input was zero in every call."""

    def __init__(self, unet):
        self.largest, self.layers, self.hooks = {}, {}, []
        for name, module in unet.named_modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                self.layers[name] = module
                self.hooks.append(
                    module.register_forward_hook(
                        lambda module, inputs, _, name=name: self.record(name, module, inputs[0])
                    )
                )

    def record(self, name, module, given):
        if isinstance(module, torch.nn.Conv2d):
            columns = F.unfold(
                given, module.kernel_size, module.dilation, module.padding, module.stride
            )
            largest = columns.abs().amax((0, 2))
        else:
            largest = given.abs().flatten(0, -2).amax(0)
        self.largest[name] = torch.maximum(self.largest.get(name, largest), largest)

    def share(self):
        for hook in self.hooks:
            hook.remove()
        idle = sum(
            (self.largest[name] == 0).float().mean().item() * layer.weight.numel()
            for name, layer in self.layers.items()
        )
        return idle / sum(layer.weight.numel() for layer in self.layers.values())


@torch.no_grad()
def measure(mini, folder, options):
    pipe = read_pipeline(mini, folder).to(options.device)
    count = options.count
    recorder, zeros = Recorder(pipe.unet), ZeroInputs(pipe.unet)
    prompts = mini.held_out()[:count]
    seeds = [torch.Generator().manual_seed(i) for i in range(count)]
    pipe(
        prompts,
        num_inference_steps=mini.steps,
        guidance_scale=mini.guidance_scale,
        generator=seeds,
        output_type="latent",
    )
    recorder.stop()
    print(f"weights that meet zeros alone: {zeros.share():.2%}")
    for name, modules in parts(pipe.unet):
        error = power = 0.0
        with without(modules):
            for inputs, named, output in recorder.calls:
                whole = guided(output, mini.guidance_scale)
                other = guided(pipe.unet(*inputs, **named)[0], mini.guidance_scale)
                error += (other - whole).square().sum().item()
                power += whole.square().sum().item()
        print(f"{name}: {(error / power) ** 0.5:.1%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("miniature", help="mini-sd or mini-sdxl")
    parser.add_argument("--model", help="diffusers folder; default: the fixture")
    parser.add_argument("--count", type=int, default=16, help="prompts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    mini = read_miniature(options.miniature)
    measure(mini, options.model or mini.folder, options)


if __name__ == "__main__":
    main()
